package stele;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whether the edge may send work here. Turns ready once, and stays so although a dependency blinks (a hand-over takes a
 * second or two, and callers are held meanwhile), until the runtime is told to stop.
 */
public final class Readiness {
    private static final Logger LOG = LoggerFactory.getLogger(Readiness.class);
    private volatile boolean ready;
    private volatile boolean draining;
    private volatile String reason = "starting";

    /** Says what the runtime waits for, or does; a reason for people, who find it in the log too. */
    public void note(String reason) {
        if (!reason.equals(this.reason)) {
            LOG.info("not ready: {}", reason);
        }
        this.reason = reason;
    }

    /** The runtime can do its job. */
    public void ready(String reason) {
        this.reason = reason;
        ready = true;
    }

    /** The runtime is about to stop: no new work, please. */
    public void drain() {
        draining = true;
    }

    public boolean isReady() {
        return ready && !draining;
    }

    public boolean isDraining() {
        return draining;
    }

    public String reason() {
        return draining ? "draining" : reason;
    }
}
