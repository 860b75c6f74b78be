package stele;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * What a runtime is configured with: layer 4 of the image ({@code /opt/stele/config/*.properties}), overridden by the
 * environment's configuration object ({@code /etc/stele/environment.properties}). Secrets are files and stay apart.
 */
public final class Settings {
    /** Prefix of every absolute path; empty in an image, a scratch folder where parts run outside one. */
    private static final String ROOT = System.getProperty("stele.root", "");

    private final Map<String, String> values = new TreeMap<>();

    private Settings() {}

    /** Reads both layers. Throws IOException when a file that exists cannot be read. */
    public static Settings read() throws IOException {
        Settings settings = new Settings();
        Path config = path("/opt/stele/config");
        if (Files.isDirectory(config)) {
            TreeSet<Path> files = new TreeSet<>();
            try (DirectoryStream<Path> found = Files.newDirectoryStream(config, "*.properties")) {
                found.forEach(files::add);
            }
            for (Path file : files) {
                settings.add(file);
            }
        }
        Path environment = path("/etc/stele/environment.properties");
        if (Files.exists(environment)) {
            settings.add(environment);
        }
        return settings;
    }

    private void add(Path file) throws IOException {
        Properties read = new Properties();
        try (var reader = Files.newBufferedReader(file)) {
            read.load(reader);
        }
        read.forEach((key, value) -> values.put((String) key, ((String) value).trim()));
    }

    /** An absolute path of the image. */
    public static Path path(String absolute) {
        return Path.of(ROOT + absolute);
    }

    /** The value of a key, or {@code fallback}. */
    public String get(String key, String fallback) {
        return values.getOrDefault(key, fallback);
    }

    /** The value of a key as a whole number. Throws IllegalArgumentException naming key and value. */
    public int number(String key, int fallback) {
        String value = values.get(key);
        try {
            return value == null ? fallback : Integer.parseInt(value);
        } catch (NumberFormatException wrong) {
            throw new IllegalArgumentException(key + "=" + value + " is not a whole number");
        }
    }

    /** The content of secret file {@code /run/secrets/<name>}, without the line end. */
    public static String secret(String name) throws IOException {
        Path file = path("/run/secrets/" + name);
        if (!Files.isReadable(file)) {
            throw new IOException("secret '" + name + "' is missing: " + file + " cannot be read");
        }
        return Files.readString(file).strip();
    }

    /** Whether the runtime was given this secret. */
    public static boolean hasSecret(String name) {
        return Files.exists(path("/run/secrets/" + name));
    }

    /** All keys with their values, for Camel's property placeholders. */
    public Properties asProperties() {
        Properties copy = new Properties();
        copy.putAll(values);
        return copy;
    }
}
