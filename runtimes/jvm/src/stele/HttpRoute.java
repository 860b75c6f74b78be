package stele;

import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.camel.Exchange;
import org.apache.camel.ExchangePattern;
import org.apache.camel.Message;
import org.apache.camel.Processor;
import org.apache.camel.component.platform.http.PlatformHttpEndpoint;
import org.apache.camel.component.platform.http.spi.PlatformHttpConsumer;
import org.apache.camel.support.DefaultConsumer;

/** One {@code platform-http:} route: its path, with {@code {name}} parameters, and its methods. */
final class HttpRoute extends DefaultConsumer implements PlatformHttpConsumer {
    private final String[] path;
    private final Set<String> methods = new TreeSet<>();
    private final int bodyLimit;
    private final HttpEngine engine;

    HttpRoute(PlatformHttpEndpoint endpoint, Processor processor, int bodyLimit, HttpEngine engine) {
        super(endpoint, processor);
        this.engine = engine;
        this.bodyLimit = bodyLimit;
        path = endpoint.getPath().split("/");
        String restrict = endpoint.getHttpMethodRestrict();
        for (String method : (restrict == null ? "GET" : restrict).split(",")) {
            methods.add(method.strip().toUpperCase());
        }
    }

    @Override
    public PlatformHttpEndpoint getEndpoint() {
        return (PlatformHttpEndpoint) super.getEndpoint();
    }

    @Override
    protected void doStart() throws Exception {
        super.doStart();
        engine.add(this);
    }

    @Override
    protected void doStop() throws Exception {
        engine.remove(this);
        super.doStop();
    }

    boolean allows(String method) {
        return methods.contains(method);
    }

    /** The path's parameters, or null when the path is another one. */
    Map<String, String> match(String asked) {
        String[] parts = asked.split("/");
        if (parts.length != path.length) {
            return null;
        }
        Map<String, String> parameters = new LinkedHashMap<>();
        for (int i = 0; i < parts.length; i++) {
            if (path[i].startsWith("{") && !parts[i].isEmpty()) {
                parameters.put(path[i].substring(1, path[i].length() - 1), parts[i]);
            } else if (!path[i].equals(parts[i])) {
                return null;
            }
        }
        return parameters;
    }

    /** Runs the route and answers with its result; a route that fails unhandled is a 500. */
    void serve(HttpExchange http, Map<String, String> parameters) throws IOException {
        byte[] body = http.getRequestBody().readNBytes(bodyLimit + 1);
        if (body.length > bodyLimit) {
            // The rest stays unread, so the connection cannot be used again.
            http.getResponseHeaders().set("Connection", "close");
            HttpEngine.fail(http, 413, "the body is longer than " + bodyLimit + " bytes");
            return;
        }
        Exchange exchange = createExchange(true);
        try {
            exchange.setPattern(ExchangePattern.InOut);
            Message in = exchange.getMessage();
            in.setBody(body);
            in.setHeader(Exchange.HTTP_METHOD, http.getRequestMethod());
            in.setHeader(Exchange.HTTP_PATH, http.getRequestURI().getPath());
            parameters.forEach(in::setHeader);
            process(exchange);
            answer(http, exchange);
        } finally {
            releaseExchange(exchange, false);
        }
    }

    private void process(Exchange exchange) {
        try {
            createUoW(exchange);
            getProcessor().process(exchange);
        } catch (Exception failed) {
            exchange.setException(failed);
        }
    }

    private void answer(HttpExchange http, Exchange exchange) throws IOException {
        try {
            if (exchange.getException() != null) {
                getExceptionHandler().handleException("request failed", exchange, exchange.getException());
                HttpEngine.fail(http, 500, "internal error");
                return;
            }
            Message out = exchange.getMessage();
            int status = out.getHeader(Exchange.HTTP_RESPONSE_CODE, 200, Integer.class);
            byte[] body = out.getBody(byte[].class);
            String type = out.getHeader(Exchange.CONTENT_TYPE, "application/json", String.class);
            HttpServers.answer(http, status, type, body == null ? new byte[0] : body);
        } finally {
            doneUoW(exchange);
        }
    }
}
