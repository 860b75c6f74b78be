package stele;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * All addresses behind a service name. While a stateful runtime hands over, its name answers with the old and the new task,
 * and only one of them listens. The system sorts addresses always the same way, so whoever tries just the first may never
 * meet the one that listens: try them all. Nothing is remembered (the image's java.security): tasks come and go within seconds.
 */
final class Addresses {
    private Addresses() {}

    /** The numeric addresses of a name, in random order; at least one. Throws UnknownHostException. */
    static List<String> of(String name) throws UnknownHostException {
        List<String> found = Arrays.asList(
                Arrays.stream(InetAddress.getAllByName(name)).map(InetAddress::getHostAddress).toArray(String[]::new));
        Collections.shuffle(found);
        return found;
    }
}
