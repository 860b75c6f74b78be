package stele;

import com.sun.net.httpserver.HttpExchange;
import io.micrometer.core.instrument.binder.jvm.ClassLoaderMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmGcMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmMemoryMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmThreadMetrics;
import io.micrometer.core.instrument.binder.system.ProcessorMetrics;
import io.micrometer.core.instrument.binder.system.UptimeMetrics;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.io.IOException;
import java.util.Collection;
import java.util.Map;
import org.apache.camel.CamelContext;
import org.apache.camel.health.HealthCheck;
import org.apache.camel.health.HealthCheckHelper;

/** The management port: {@code /live}, {@code /ready} and {@code /metrics} (Prometheus text), apart from the application's. */
final class Management {
    private final PrometheusMeterRegistry metrics = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final Readiness readiness;
    private volatile CamelContext camel;

    Management(Readiness readiness) {
        this.readiness = readiness;
    }

    PrometheusMeterRegistry metrics() {
        return metrics;
    }

    /** From now on {@code /live} asks this context's liveness checks too. */
    void watch(CamelContext camel) {
        this.camel = camel;
    }

    void start(int port) throws IOException {
        HttpServers.start(port, 2, "management", this::handle);
    }

    /** The JVM's own figures. Bound late: they cost 100 ms that a starting runtime needs elsewhere. */
    @SuppressWarnings("resource") // the collectors' listener lives as long as the process
    void bindJvm() {
        new ClassLoaderMetrics().bindTo(metrics);
        new JvmMemoryMetrics().bindTo(metrics);
        new JvmGcMetrics().bindTo(metrics);
        new JvmThreadMetrics().bindTo(metrics);
        new ProcessorMetrics().bindTo(metrics);
        new UptimeMetrics().bindTo(metrics);
    }

    private void handle(HttpExchange exchange) throws IOException {
        switch (exchange.getRequestURI().getPath()) {
            case "/ready" -> state(exchange, readiness.isReady(), readiness.reason());
            case "/live" -> live(exchange);
            case "/metrics" -> HttpServers.answer(
                    exchange, 200, "text/plain; version=0.0.4; charset=utf-8", HttpServers.utf8(metrics.scrape()));
            default -> state(exchange, 404, "no such resource");
        }
    }

    private void live(HttpExchange exchange) throws IOException {
        CamelContext watched = camel;
        if (watched == null || readiness.isDraining()) {
            state(exchange, true, "alive");
            return;
        }
        Collection<HealthCheck.Result> results = HealthCheckHelper.invokeLiveness(watched);
        String down = results.stream()
                .filter(result -> result.getState() == HealthCheck.State.DOWN)
                .map(result -> result.getCheck().getId() + ": " + result.getMessage().orElse("down"))
                .findFirst()
                .orElse(null);
        state(exchange, down == null, down == null ? "alive" : down);
    }

    private static void state(HttpExchange exchange, boolean good, String reason) throws IOException {
        state(exchange, good ? 200 : 503, reason);
    }

    private static void state(HttpExchange exchange, int status, String reason) throws IOException {
        String body = Json.write(Map.of("reason", reason)) + "\n";
        HttpServers.answer(exchange, status, "application/json", HttpServers.utf8(body));
    }
}
