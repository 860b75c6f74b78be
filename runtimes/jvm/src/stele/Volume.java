package stele;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.stream.Stream;

/** The data volume of a stateful runtime: owned by one task at a time, whichever holds the lock file. */
public final class Volume {
    private Volume() {}

    /** Blocks until the predecessor has gone, then owns {@code /data} until {@link FileLock#release} or the process's end. */
    @SuppressWarnings("resource") // closing the channel would release the lock
    public static FileLock own() throws IOException {
        Path file = Settings.path("/data/.stele-lock");
        return FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE).lock();
    }

    /** An empty folder outside the volume, for a rehearsal. */
    public static Path scratch() throws IOException {
        return Files.createTempDirectory("rehearsal-");
    }

    /** Deletes a folder with all that is in it. */
    public static void delete(Path folder) throws IOException {
        try (Stream<Path> found = Files.walk(folder)) {
            for (Path path : found.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
