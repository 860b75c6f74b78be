package stele;

import com.zaxxer.hikari.HikariDataSource;
import io.micrometer.core.instrument.MeterRegistry;
import jakarta.jms.ConnectionFactory;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.camel.CamelContext;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.component.jms.JmsComponent;
import org.apache.camel.component.platform.http.PlatformHttpComponent;
import org.apache.camel.health.HealthCheckRegistry;
import org.apache.camel.impl.DefaultCamelContext;
import org.apache.camel.impl.engine.ExplicitCamelContextNameStrategy;
import org.apache.camel.impl.health.DefaultHealthCheckRegistry;
import org.messaginghub.pooled.jms.JmsPoolConnectionFactory;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The Camel routes of a runtime and the connections they share: a runtime that was given a password needs that dependency. */
final class Routes {
    private static final Logger LOG = LoggerFactory.getLogger(Routes.class);

    private final Settings settings;
    private final Readiness readiness;
    private final HttpEngine http;
    private final DefaultCamelContext camel = new DefaultCamelContext(false);
    private JmsPoolConnectionFactory brokerPool;
    private HikariDataSource databasePool;

    Routes(Settings settings, Readiness readiness) {
        this.settings = settings;
        this.readiness = readiness;
        http = new HttpEngine(settings, readiness);
    }

    CamelContext camel() {
        return camel;
    }

    /** Returns when every dependency was reached once, all routes run and the port is open. */
    void start(List<RouteBuilder> builders, MeterRegistry metrics) throws Exception {
        camel.setNameStrategy(new ExplicitCamelContextNameStrategy("flows"));
        addLivenessCheck();
        camel.getPropertiesComponent().setInitialProperties(settings.asProperties());
        camel.getRegistry().bind("metricsRegistry", MeterRegistry.class, metrics);
        camel.addRoutePolicyFactory(new RouteMetrics(metrics));
        camel.getShutdownStrategy().setTimeout(20);
        camel.getShutdownStrategy().setLogInflightExchangesOnTimeout(false);
        PlatformHttpComponent component = new PlatformHttpComponent();
        component.setEngine(http);
        camel.addComponent("platform-http", component);
        if (Settings.hasSecret("broker-password")) {
            connectBroker();
        }
        if (Settings.hasSecret("database-password")) {
            connectDatabase();
        }
        for (RouteBuilder builder : builders) {
            camel.addRoutes(builder);
        }
        camel.start();
        http.open();
    }

    /** The one check of Camel's that is about liveness. Named: its own way to find it reads every byte of the jar it is in. */
    private void addLivenessCheck() {
        HealthCheckRegistry checks = new DefaultHealthCheckRegistry(camel);
        checks.register(checks.resolveById("route-controller"));
        camel.getCamelContextExtension().addContextPlugin(HealthCheckRegistry.class, checks);
    }

    private void connectBroker() throws Exception {
        ConnectionFactory broker = new BrokerConnections(settings);
        brokerPool = new JmsPoolConnectionFactory();
        brokerPool.setConnectionFactory(broker);
        brokerPool.setMaxConnections(settings.number("BROKER_CONNECTIONS", 2));
        brokerPool.setConnectionIdleTimeout(0);
        camel.getRegistry().bind("broker", ConnectionFactory.class, broker);
        JmsComponent component = new JmsComponent();
        component.setConnectionFactory(brokerPool);
        camel.addComponent("jms", component);
        await("broker", brokerPool::createConnection);
    }

    private void connectDatabase() throws Exception {
        databasePool = DatabaseConnections.pool(settings);
        camel.getRegistry().bind("database", javax.sql.DataSource.class, databasePool);
        await("database", databasePool::getConnection);
    }

    /** Tries until the dependency answers once; the reason shows on {@code /ready} meanwhile. */
    private void await(String name, Callable<? extends AutoCloseable> connect) throws InterruptedException {
        while (true) {
            try (AutoCloseable reached = connect.call()) {
                LOG.info("{} reached", name);
                return;
            } catch (InterruptedException stop) {
                throw stop;
            } catch (Exception unreachable) {
                readiness.note("waiting for " + name + ": " + rootOf(unreachable).getMessage());
                TimeUnit.MILLISECONDS.sleep(100);
            }
        }
    }

    private static Throwable rootOf(Throwable failure) {
        return failure.getCause() == null ? failure : rootOf(failure.getCause());
    }

    /** Answers what runs, gives back what was consumed but not done, closes the connections. */
    void stop() throws Exception {
        http.close(30);
        camel.stop();
        if (brokerPool != null) {
            brokerPool.stop();
        }
        if (databasePool != null) {
            databasePool.close();
        }
    }
}
