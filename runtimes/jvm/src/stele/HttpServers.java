package stele;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** The JDK's own HTTP server, set up for a life behind a load balancer. No framework: it is there within milliseconds. */
final class HttpServers {
    static {
        // Without it every answer waits 40 ms for the peer's delayed acknowledgement.
        System.setProperty("sun.net.httpserver.nodelay", "true");
        // The balancer closes idle connections, never this side: a request may be on its way on one.
        System.setProperty("sun.net.httpserver.idleInterval", "3600");
        System.setProperty("sun.net.httpserver.maxIdleConnections", "10000");
    }

    private HttpServers() {}

    /** Starts a server on all addresses with at most {@code threads} requests at work. Throws IOException if the port is taken. */
    static HttpServer start(int port, int threads, String name, HttpHandler handler) throws IOException {
        ThreadPoolExecutor workers = new ThreadPoolExecutor(
                threads, threads, 30, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), work -> thread(work, name));
        workers.allowCoreThreadTimeOut(true);
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 1024);
        server.setExecutor(workers);
        server.createContext("/", handler);
        server.start();
        return server;
    }

    private static Thread thread(Runnable work, String name) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        return thread;
    }

    /** Answers and ends an exchange. */
    static void answer(HttpExchange exchange, int status, String type, byte[] body) throws IOException {
        boolean bodyless = status == 204 || status == 304 || exchange.getRequestMethod().equals("HEAD");
        exchange.getResponseHeaders().set("Content-Type", type);
        exchange.sendResponseHeaders(status, bodyless || body.length == 0 ? -1 : body.length);
        if (!bodyless && body.length > 0) {
            exchange.getResponseBody().write(body);
        }
        exchange.close();
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
