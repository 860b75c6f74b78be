package stele;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.camel.Processor;
import org.apache.camel.component.platform.http.PlatformHttpEndpoint;
import org.apache.camel.component.platform.http.spi.PlatformHttpConsumer;
import org.apache.camel.component.platform.http.spi.PlatformHttpEngine;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Serves the flows' {@code platform-http:} routes on the application port. */
final class HttpEngine implements PlatformHttpEngine {
    private static final Logger LOG = LoggerFactory.getLogger(HttpEngine.class);

    private final List<HttpRoute> routes = new CopyOnWriteArrayList<>();
    private final AtomicInteger atWork = new AtomicInteger();
    private final Readiness readiness;
    private final int port;
    private final int threads;
    private final int bodyLimit;
    private HttpServer server;

    HttpEngine(Settings settings, Readiness readiness) {
        this.readiness = readiness;
        port = settings.number("HTTP_PORT", 8080);
        threads = settings.number("HTTP_THREADS", 64);
        bodyLimit = settings.number("HTTP_BODY_LIMIT", 16 * 1024);
    }

    @Override
    public PlatformHttpConsumer createConsumer(PlatformHttpEndpoint endpoint, Processor processor) {
        return new HttpRoute(endpoint, processor, bodyLimit, this);
    }

    void add(HttpRoute route) {
        routes.add(route);
    }

    void remove(HttpRoute route) {
        routes.remove(route);
    }

    /** Opens the application port, if there are routes. */
    synchronized void open() throws IOException {
        if (!routes.isEmpty()) {
            server = HttpServers.start(port, threads, "http", this::handle);
        }
    }

    /** Waits until what runs has been answered, at most {@code seconds}, then closes the port. */
    synchronized void close(int seconds) throws InterruptedException {
        if (server == null) {
            return;
        }
        long latest = System.nanoTime() + seconds * 1_000_000_000L;
        while (atWork.get() > 0 && System.nanoTime() < latest) {
            Thread.sleep(20);
        }
        server.stop(0);
        server = null;
    }

    private void handle(HttpExchange exchange) throws IOException {
        atWork.incrementAndGet();
        try {
            if (readiness.isDraining()) {
                // The caller's next request takes a new connection, and so another task.
                exchange.getResponseHeaders().set("Connection", "close");
            }
            dispatch(exchange);
        } catch (IOException gone) {
            LOG.debug("caller went away: {}", gone.toString());
        } catch (RuntimeException broken) {
            LOG.error("{} {} failed", exchange.getRequestMethod(), exchange.getRequestURI(), broken);
            fail(exchange, 500, "internal error");
        } finally {
            exchange.close();
            atWork.decrementAndGet();
        }
    }

    private void dispatch(HttpExchange exchange) throws IOException {
        boolean known = false;
        for (HttpRoute route : routes) {
            Map<String, String> parameters = route.match(exchange.getRequestURI().getPath());
            if (parameters != null) {
                known = true;
                if (route.allows(exchange.getRequestMethod())) {
                    route.serve(exchange, parameters);
                    return;
                }
            }
        }
        fail(exchange, known ? 405 : 404, known ? "method not allowed here" : "no such resource");
    }

    static void fail(HttpExchange exchange, int status, String reason) throws IOException {
        HttpServers.answer(
                exchange, status, "application/json", HttpServers.utf8(Json.write(Map.of("error", reason)) + "\n"));
    }

    @Override
    public int getServerPort() {
        return port;
    }

    @Override
    public String getScheme() {
        return "http";
    }
}
