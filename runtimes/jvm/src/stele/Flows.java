package stele;

import java.io.IOException;
import java.lang.reflect.Modifier;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import org.apache.camel.builder.RouteBuilder;

/** Layer 3: every route and service found in {@code /opt/stele/flows/flows.jar}. There is no list to keep. */
record Flows(List<RouteBuilder> routes, List<Service> services) {

    /** Loads and creates them, in the order of their names. Throws IOException when there is none. */
    static Flows load() throws IOException, ReflectiveOperationException {
        Path file = Settings.path("/opt/stele/flows/flows.jar");
        Flows flows = new Flows(new ArrayList<>(), new ArrayList<>());
        try (JarFile jar = new JarFile(file.toFile())) {
            for (String name : jar.stream().map(JarEntry::getName).filter(Flows::isTopLevelClass).sorted().toList()) {
                flows.add(Class.forName(name.replace('/', '.').substring(0, name.length() - ".class".length())));
            }
        }
        if (flows.routes.isEmpty() && flows.services.isEmpty()) {
            throw new IOException(file + " holds no flow: no class extends stele.Flow or implements stele.Service");
        }
        return flows;
    }

    private static boolean isTopLevelClass(String entry) {
        return entry.endsWith(".class") && !entry.contains("$") && !entry.startsWith("META-INF/");
    }

    private void add(Class<?> found) throws ReflectiveOperationException {
        if (Modifier.isAbstract(found.getModifiers())) {
            return;
        }
        if (RouteBuilder.class.isAssignableFrom(found)) {
            routes.add((RouteBuilder) found.getDeclaredConstructor().newInstance());
        } else if (Service.class.isAssignableFrom(found)) {
            services.add((Service) found.getDeclaredConstructor().newInstance());
        }
    }
}
