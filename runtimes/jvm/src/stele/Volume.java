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
    /** Between two attempts. Whoever waits for a lock on NFS asks its server after ever longer pauses, up to 30 s. */
    private static final long PAUSE_MILLIS = 200;

    /** Held for the life of the process: a channel that nobody refers to is closed by the garbage collector, and unlocked. */
    private static FileLock held;

    private Volume() {}

    /** Blocks until the predecessor has gone, then owns {@code /data} until the process's end. */
    public static void own() throws IOException, InterruptedException {
        Path file = Settings.path("/data/.stele-lock");
        FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        FileLock lock = channel.tryLock();
        while (lock == null) {
            Thread.sleep(PAUSE_MILLIS);
            lock = channel.tryLock();
        }
        synchronized (Volume.class) {
            held = lock;
        }
    }

    /** Whether this process owns the volume. */
    public static synchronized boolean isOwned() {
        return held != null && held.isValid();
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
