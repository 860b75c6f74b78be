package stele;

import jakarta.jms.Connection;
import jakarta.jms.ConnectionFactory;
import jakarta.jms.JMSContext;
import jakarta.jms.JMSException;
import java.io.IOException;
import java.net.UnknownHostException;
import java.util.HashMap;
import java.util.Map;
import org.apache.activemq.artemis.api.core.TransportConfiguration;
import org.apache.activemq.artemis.core.remoting.impl.netty.NettyConnectorFactory;
import org.apache.activemq.artemis.core.remoting.impl.netty.TransportConstants;
import org.apache.activemq.artemis.jms.client.ActiveMQConnectionFactory;

/**
 * Connections to whichever task behind the broker's name is serving. A lost connection is an exception at once (no silent
 * reconnection inside the client): the caller asks again, and by then may get the successor.
 */
final class BrokerConnections implements ConnectionFactory {
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

    /** Set up by hand rather than by a URL, whose parser takes 50 ms at its first use. */
    private ActiveMQConnectionFactory factory(String address) {
        Map<String, Object> where = new HashMap<>();
        where.put(TransportConstants.HOST_PROP_NAME, address);
        where.put(TransportConstants.PORT_PROP_NAME, port);
        where.put(TransportConstants.NETTY_CONNECT_TIMEOUT, 1000);
        where.put(TransportConstants.HANDSHAKE_TIMEOUT, 3);
        where.put(TransportConstants.USE_EPOLL_PROP_NAME, false);
        where.put(TransportConstants.USE_KQUEUE_PROP_NAME, false);
        TransportConfiguration transport = new TransportConfiguration(NettyConnectorFactory.class.getName(), where);
        ActiveMQConnectionFactory factory = new ActiveMQConnectionFactory(false, transport);
        factory.setReconnectAttempts(0);
        factory.setInitialConnectAttempts(1);
        // A clean stop is noticed at once, the silent death of the broker's machine within 10 s.
        factory.setCallTimeout(10_000);
        factory.setClientFailureCheckPeriod(5_000);
        factory.setConnectionTTL(10_000);
        factory.setBlockOnDurableSend(true);
        return factory;
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
