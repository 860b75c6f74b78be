package stele;

import java.util.List;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import sun.misc.Signal;

/** Starts a runtime of the jvm family: management port, then services and routes; and ends it in good order on SIGTERM. */
public final class Launcher {
    private final Settings settings;
    private final Readiness readiness = new Readiness();
    private final Management management = new Management(readiness);
    private final Logger log = LoggerFactory.getLogger(Launcher.class);
    private volatile Routes routes;
    private volatile List<Service> services = List.of();

    private Launcher(Settings settings) {
        this.settings = settings;
    }

    public static void main(String[] arguments) {
        LineFormatter.install();
        Launcher launcher = null;
        try {
            launcher = new Launcher(Settings.read());
            launcher.start();
        } catch (Throwable broken) {
            if (launcher == null || !launcher.readiness.isDraining()) {
                LoggerFactory.getLogger(Launcher.class).error("cannot start", broken);
                System.out.flush();
                Runtime.getRuntime().halt(1);
            }
        }
    }

    private void start() throws Exception {
        Signal.handle(new Signal("TERM"), signal -> stop());
        Signal.handle(new Signal("INT"), signal -> stop());
        management.start(settings.number("MANAGEMENT_PORT", 9000));
        Flows flows = Flows.load();
        services = flows.services();
        for (Service service : services) {
            service.start(new Surroundings(settings, readiness, management.metrics()));
        }
        if (!flows.routes().isEmpty()) {
            routes = new Routes(settings, readiness);
            routes.start(flows.routes(), management.metrics());
            management.watch(routes.camel());
            readiness.ready("serving");
        }
        // The entry script's clock: the JVM's own takes 100 classes of its management to read, and leaves out the script.
        long started = Long.getLong("stele.started", 0) / 1000;
        log.info("ready {} ms after the start", started == 0 ? "?" : System.currentTimeMillis() - started);
        management.bindJvm();
    }

    /** Runs on the signal's own thread, once. */
    private void stop() {
        if (readiness.isDraining()) {
            return;
        }
        readiness.drain();
        log.info("stopping");
        try {
            if (routes != null && routes.camel().isStarted()) {
                // The balancer needs a health check or two to notice; until then it still sends work, and gets it done.
                TimeUnit.SECONDS.sleep(settings.number("DRAIN_SECONDS", 3));
                routes.stop();
            }
            for (Service service : services) {
                service.stop();
            }
            log.info("stopped");
            System.out.flush();
            Runtime.getRuntime().halt(0);
        } catch (Throwable broken) {
            log.error("did not stop in good order", broken);
            System.out.flush();
            Runtime.getRuntime().halt(1);
        }
    }
}
