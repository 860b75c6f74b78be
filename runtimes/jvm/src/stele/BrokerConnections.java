package stele;

import jakarta.jms.Connection;
import jakarta.jms.ConnectionFactory;
import jakarta.jms.JMSContext;
import jakarta.jms.JMSException;
import java.io.IOException;
import java.net.UnknownHostException;
import org.apache.activemq.artemis.jms.client.ActiveMQConnectionFactory;

/**
 * Connections to whichever task behind the broker's name is serving. A lost connection is an exception at once (no silent
 * reconnection inside the client): the caller asks again, and by then may get the successor.
 */
final class BrokerConnections implements ConnectionFactory {
    /** Fails within 10 s of a silent death of the broker's machine; a clean stop is noticed at once. */
    private static final String OPTIONS = "?reconnectAttempts=0&initialConnectAttempts=1&connect-timeout-millis=1000&handshake-timeout=3"
            + "&callTimeout=10000&clientFailureCheckPeriod=5000&connectionTTL=10000&useEpoll=false&blockOnDurableSend=true";

    private final String host;
    private final int port;
    private final String user;
    private final String password;

    BrokerConnections(Settings settings) throws IOException {
        host = settings.get("BROKER_HOST", "broker");
        port = settings.number("BROKER_PORT", 61616);
        user = settings.get("BROKER_USER", "stele");
        password = Settings.secret("broker-password");
    }

    @Override
    public Connection createConnection() throws JMSException {
        JMSException last = new JMSException("no address of broker '" + host + "' answers");
        try {
            for (String address : Addresses.of(host)) {
                // A factory for each connection: closing a shared one would close, and wait for, everybody's connections.
                ActiveMQConnectionFactory factory = factory(address);
                try {
                    return factory.createConnection(user, password);
                } catch (JMSException refused) {
                    last = refused;
                    factory.close();
                }
            }
        } catch (UnknownHostException unknown) {
            last = new JMSException("the name of broker '" + host + "' is unknown");
        }
        throw last;
    }

    private ActiveMQConnectionFactory factory(String address) {
        String literal = address.contains(":") ? "[" + address + "]" : address;
        return new ActiveMQConnectionFactory("tcp://" + literal + ":" + port + OPTIONS);
    }

    @Override
    public Connection createConnection(String user, String password) throws JMSException {
        return createConnection();
    }

    @Override
    public JMSContext createContext() {
        throw new UnsupportedOperationException("use createConnection");
    }

    @Override
    public JMSContext createContext(String user, String password) {
        return createContext();
    }

    @Override
    public JMSContext createContext(String user, String password, int sessionMode) {
        return createContext();
    }

    @Override
    public JMSContext createContext(int sessionMode) {
        return createContext();
    }
}
