import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.activemq.artemis.api.core.QueueConfiguration;
import org.apache.activemq.artemis.api.core.RoutingType;
import org.apache.activemq.artemis.api.core.SimpleString;
import org.apache.activemq.artemis.api.core.TransportConfiguration;
import org.apache.activemq.artemis.api.core.client.ActiveMQClient;
import org.apache.activemq.artemis.api.core.client.ClientMessage;
import org.apache.activemq.artemis.api.core.client.ClientProducer;
import org.apache.activemq.artemis.api.core.client.ClientSession;
import org.apache.activemq.artemis.api.core.client.ClientSessionFactory;
import org.apache.activemq.artemis.api.core.client.ServerLocator;
import org.apache.activemq.artemis.core.config.Configuration;
import org.apache.activemq.artemis.core.remoting.impl.AbstractAcceptor;
import org.apache.activemq.artemis.core.remoting.impl.invm.InVMAcceptorFactory;
import org.apache.activemq.artemis.core.remoting.impl.invm.InVMConnectorFactory;
import org.apache.activemq.artemis.core.remoting.impl.netty.NettyAcceptorFactory;
import org.apache.activemq.artemis.core.remoting.impl.netty.TransportConstants;
import org.apache.activemq.artemis.core.server.ActiveMQServer;

/** What a generation of the broker proves of itself on a scratch store, while its predecessor still serves. */
final class Rehearsal {
    private static final String QUEUE = "stele.rehearsal";
    private static final int PATIENCE_MS = 10_000;

    private Rehearsal() {}

    /** The release's configuration with its acceptors on free ports that only this container sees, and one inside the JVM. */
    static void prepare(Configuration configuration) {
        Set<TransportConfiguration> hidden = new HashSet<>();
        for (TransportConfiguration acceptor : configuration.getAcceptorConfigurations()) {
            Map<String, Object> where = new HashMap<>(acceptor.getParams());
            if (NettyAcceptorFactory.class.getName().equals(acceptor.getFactoryClassName())) {
                where.put(TransportConstants.HOST_PROP_NAME, "127.0.0.1");
                where.put(TransportConstants.PORT_PROP_NAME, 0);
            }
            hidden.add(new TransportConfiguration(
                    acceptor.getFactoryClassName(), where, acceptor.getName(), acceptor.getExtraParams()));
        }
        hidden.add(new TransportConfiguration(InVMAcceptorFactory.class.getName(), Map.of(), QUEUE));
        configuration.setAcceptorConfigurations(hidden);
    }

    /** Throws IllegalStateException unless the server is active with all that is configured: Artemis only logs what fails. */
    static void check(ActiveMQServer server, Configuration configuration) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!server.waitForActivation(100, TimeUnit.MILLISECONDS)) {
            if (!server.isStarted() || System.nanoTime() > end) {
                throw new IllegalStateException("the broker did not become active, its reason is above");
            }
        }
        for (var address : configuration.getAddressConfigurations()) {
            require(server.getAddressInfo(SimpleString.of(address.getName())) != null, "address", address.getName());
        }
        for (TransportConfiguration wanted : configuration.getAcceptorConfigurations()) {
            var acceptor = server.getRemotingService().getAcceptor(wanted.getName());
            require(acceptor != null && acceptor.isStarted(), "acceptor", wanted.getName());
            if (acceptor instanceof AbstractAcceptor spoken) {
                checkProtocols(spoken, wanted);
            }
        }
    }

    private static void checkProtocols(AbstractAcceptor acceptor, TransportConfiguration wanted) {
        Object names = wanted.getCombinedParams().get(TransportConstants.PROTOCOLS_PROP_NAME);
        for (String name : names == null ? new String[0] : names.toString().split(",")) {
            require(acceptor.getProtocolMap().containsKey(name.trim()), "protocol", name);
        }
    }

    private static void require(boolean there, String what, String name) {
        if (!there) {
            throw new IllegalStateException("the broker has no " + what + " '" + name + "', its reason is above");
        }
    }

    /** Sends one durable message through the store and consumes it, with the account that callers use. */
    static void exchange(ActiveMQServer server, String user, String password) throws Exception {
        server.createQueue(QueueConfiguration.of(QUEUE)
                .setRoutingType(RoutingType.ANYCAST)
                .setDurable(true)
                .setAutoCreateAddress(true));
        TransportConfiguration here = new TransportConfiguration(InVMConnectorFactory.class.getName());
        try (ServerLocator locator = ActiveMQClient.createServerLocatorWithoutHA(here)
                        .setUseGlobalPools(false)
                        .setBlockOnDurableSend(true)
                        .setBlockOnAcknowledge(true)
                        .setCallTimeout(PATIENCE_MS);
                ClientSessionFactory factory = locator.createSessionFactory();
                ClientSession session = factory.createSession(user, password, false, true, true, false, 0);
                ClientProducer producer = session.createProducer(QUEUE)) {
            ClientMessage sent = session.createMessage(true);
            sent.getBodyBuffer().writeString(QUEUE);
            producer.send(sent);
            session.start();
            ClientMessage received = session.createConsumer(QUEUE).receive(PATIENCE_MS);
            if (received == null || !QUEUE.equals(received.getBodyBuffer().readString())) {
                throw new IllegalStateException("the rehearsal sent a message and did not get it back");
            }
            received.acknowledge();
        }
    }
}
