package stele;

/** A flow that is not a Camel route: something that runs until it is stopped, such as a broker. */
public interface Service {
    /** Starts; blocks while it stands by; calls {@link Readiness#ready} when it may replace its predecessor. */
    void start(Surroundings surroundings) throws Exception;

    /** Stops cleanly. Called once, possibly while {@link #start} still blocks. */
    void stop() throws Exception;
}
