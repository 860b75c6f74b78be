package stele;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.UnknownHostException;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.List;
import java.util.logging.Logger;
import javax.sql.DataSource;
import org.postgresql.ds.PGSimpleDataSource;

/** Connections to whichever task behind the database's name is serving; pooled by {@link #pool}. */
final class DatabaseConnections implements DataSource {
    private final String host;
    private final int port;
    private final String user;
    private final String database;
    private final String password;

    DatabaseConnections(Settings settings) throws IOException {
        host = settings.get("DATABASE_HOST", "database");
        port = settings.number("DATABASE_PORT", 5432);
        user = settings.get("DATABASE_USER", "stele");
        database = settings.get("DATABASE_NAME", user);
        password = Settings.secret("database-password");
    }

    /** A pool of at most DATABASE_CONNECTIONS (default 12) connections that gives up on a borrower after 2 s. */
    static HikariDataSource pool(Settings settings) throws IOException {
        HikariConfig config = new HikariConfig();
        config.setPoolName("database");
        config.setDataSource(new DatabaseConnections(settings));
        config.setMaximumPoolSize(settings.number("DATABASE_CONNECTIONS", 12));
        config.setMinimumIdle(2);
        config.setConnectionTimeout(2000);
        config.setValidationTimeout(1000);
        config.setInitializationFailTimeout(-1);
        return new HikariDataSource(config);
    }

    @Override
    public Connection getConnection() throws SQLException {
        List<String> addresses;
        try {
            addresses = Addresses.of(host);
        } catch (UnknownHostException unknown) {
            throw new SQLException("the name of database '" + host + "' is unknown", "08001", unknown);
        }
        int[] ports = new int[addresses.size()];
        Arrays.fill(ports, port);
        PGSimpleDataSource source = new PGSimpleDataSource();
        source.setServerNames(addresses.toArray(String[]::new));
        source.setPortNumbers(ports);
        source.setDatabaseName(database);
        source.setConnectTimeout(1);
        source.setLoginTimeout(3);
        source.setSocketTimeout(20);
        source.setTcpKeepAlive(true);
        // Otherwise an address that once refused is tried last for 10 s, although it may serve by now.
        source.setHostRecheckSeconds(0);
        return source.getConnection(user, password);
    }

    @Override
    public Connection getConnection(String user, String password) throws SQLException {
        return getConnection();
    }

    @Override
    public PrintWriter getLogWriter() {
        return null;
    }

    @Override
    public void setLogWriter(PrintWriter out) {}

    @Override
    public void setLoginTimeout(int seconds) {}

    @Override
    public int getLoginTimeout() {
        return 0;
    }

    @Override
    public Logger getParentLogger() {
        return Logger.getLogger("stele");
    }

    @Override
    public <T> T unwrap(Class<T> type) throws SQLException {
        throw new SQLException("not a wrapper");
    }

    @Override
    public boolean isWrapperFor(Class<?> type) {
        return false;
    }
}
