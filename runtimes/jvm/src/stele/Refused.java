package stele;

/** Input that no retry can mend. The message is the reason, written for the caller. */
public class Refused extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public Refused(String reason) {
        super(reason, null, false, false);
    }
}
