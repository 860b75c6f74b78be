import io.micrometer.core.instrument.MeterRegistry;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.logging.Level;
import org.apache.activemq.artemis.core.config.Configuration;
import org.apache.activemq.artemis.core.config.FileDeploymentManager;
import org.apache.activemq.artemis.core.config.MetricsConfiguration;
import org.apache.activemq.artemis.core.config.impl.FileConfiguration;
import org.apache.activemq.artemis.core.config.impl.SecurityConfiguration;
import org.apache.activemq.artemis.core.security.CheckType;
import org.apache.activemq.artemis.core.security.Role;
import org.apache.activemq.artemis.core.server.ActiveMQServer;
import org.apache.activemq.artemis.core.server.embedded.EmbeddedActiveMQ;
import org.apache.activemq.artemis.core.server.metrics.ActiveMQMetricsPlugin;
import org.apache.activemq.artemis.spi.core.security.ActiveMQSecurityManager;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import stele.Service;
import stele.Settings;
import stele.Surroundings;
import stele.Volume;

/**
 * The message broker. A new generation rehearses in a scratch folder, reports ready (standby), and starts on the volume once
 * its predecessor has let go of it.
 */
public class Broker implements Service {
    private static final Logger LOG = LoggerFactory.getLogger(Broker.class);

    private Surroundings surroundings;
    private Account account;
    private EmbeddedActiveMQ broker;
    private volatile boolean stopped;

    @Override
    public void start(Surroundings surroundings) throws Exception {
        this.surroundings = surroundings;
        account = new Account(surroundings.settings().get("BROKER_USER", "stele"), Settings.secret("broker-password"));
        rehearse();
        surroundings.readiness().ready("standby: waiting for the predecessor to release the volume");
        Volume.own();
        serve();
        surroundings.readiness().ready("serving");
    }

    /** Proves that this image starts a broker with this configuration and stores a message; touches neither volume nor port. */
    private void rehearse() throws Exception {
        Path scratch = Volume.scratch();
        Configuration configuration = configuration(scratch);
        Rehearsal.prepare(configuration);
        EmbeddedActiveMQ rehearsal = broker(configuration);
        rehearsal.start();
        try {
            Rehearsal.check(rehearsal.getActiveMQServer(), configuration);
            Rehearsal.exchange(rehearsal.getActiveMQServer(), account.user(), account.password());
        } finally {
            rehearsal.stop();
            Volume.delete(scratch);
        }
        LOG.info("rehearsal passed");
    }

    private synchronized void serve() throws Exception {
        if (stopped) {
            return;
        }
        Configuration configuration = configuration(Settings.path("/data"));
        MeterRegistry metrics = surroundings.metrics();
        configuration.setMetricsConfiguration(new MetricsConfiguration().setJvmMemory(false).setPlugin(new Metrics(metrics)));
        broker = broker(configuration);
        broker.start();
        Rehearsal.check(broker.getActiveMQServer(), configuration);
        watch(broker.getActiveMQServer());
        Messages messages = new Messages(broker.getActiveMQServer());
        messages.restore();
        messages.answerRequests();
        LOG.info("owns the volume and serves");
    }

    /**
     * When the disk fails or is full, Artemis stops its server by itself and leaves the JVM alone, which would keep the volume
     * for ever, ready and of no use. So the process ends too, and is started again.
     */
    private void watch(ActiveMQServer server) {
        Thread watcher = new Thread(
                () -> {
                    while (server.isStarted()) {
                        LockSupport.parkNanos(TimeUnit.SECONDS.toNanos(1));
                    }
                    if (!stopped) {
                        LOG.error("the broker stopped by itself, its reason is above: this process ends, to be started again");
                        System.out.flush();
                        Runtime.getRuntime().halt(1);
                    }
                },
                "watcher");
        watcher.setDaemon(true);
        watcher.start();
    }

    @Override
    public synchronized void stop() throws Exception {
        stopped = true;
        if (broker != null) {
            // It complains of every message that was under way, although each stays in its queue: hundreds of lines.
            java.util.logging.Logger.getLogger("org.apache.activemq.artemis.core.server").setLevel(Level.OFF);
            shutDown(broker);
        }
    }

    /** Returns as soon as everything is written and the files are closed; what is left is threads, which the exit ends. */
    private static void shutDown(EmbeddedActiveMQ broker) throws InterruptedException {
        var storage = broker.getActiveMQServer().getStorageManager();
        Thread stopping = new Thread(() -> stopLogged(broker), "stopping");
        stopping.start();
        while (stopping.isAlive() && storage.isStarted()) {
            stopping.join(10);
        }
        stopping.join(250);
    }

    private static void stopLogged(EmbeddedActiveMQ broker) {
        try {
            broker.stop();
        } catch (Exception failed) {
            LOG.error("the broker did not stop in good order", failed);
        }
    }

    private EmbeddedActiveMQ broker(Configuration configuration) {
        return new EmbeddedActiveMQ().setConfiguration(configuration).setSecurityManager(account);
    }

    /** Layer 4's broker.xml, with its data under {@code data}. */
    private static Configuration configuration(Path data) throws Exception {
        FileConfiguration configuration = new FileConfiguration();
        String url = Settings.path("/opt/stele/config/broker.xml").toUri().toString();
        FileDeploymentManager reader = new FileDeploymentManager(url);
        reader.addDeployable(configuration);
        reader.readConfiguration();
        configuration.setBrokerInstance(data.toFile());
        return configuration;
    }

    /** The one account of this broker. */
    private record Account(String user, String password) implements ActiveMQSecurityManager {
        @Override
        public boolean validateUser(String user, String password) {
            return this.user.equals(user) && this.password.equals(password);
        }

        @Override
        public boolean validateUserAndRole(String user, String password, Set<Role> roles, CheckType check) {
            return validateUser(user, password);
        }
    }

    /** Queue depths and the like, on the runtime's own /metrics. */
    private static final class Metrics implements ActiveMQMetricsPlugin {
        private static final long serialVersionUID = 1L;
        private final transient MeterRegistry registry;

        Metrics(MeterRegistry registry) {
            this.registry = registry;
        }

        @Override
        public ActiveMQMetricsPlugin init(Map<String, String> options) {
            return this;
        }

        @Override
        public MeterRegistry getRegistry() {
            return registry;
        }
    }
}
