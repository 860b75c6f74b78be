package stele;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import java.util.concurrent.TimeUnit;
import org.apache.camel.CamelContext;
import org.apache.camel.Exchange;
import org.apache.camel.NamedNode;
import org.apache.camel.Route;
import org.apache.camel.spi.RoutePolicy;
import org.apache.camel.spi.RoutePolicyFactory;
import org.apache.camel.support.RoutePolicySupport;

/**
 * Measures every route: {@code route_seconds} (count and sum) and {@code route_failures_total}. Camel's own policy does the
 * same and loads 350 classes of a JSON binder on the way.
 */
final class RouteMetrics implements RoutePolicyFactory {
    private final MeterRegistry metrics;

    RouteMetrics(MeterRegistry metrics) {
        this.metrics = metrics;
    }

    @Override
    public RoutePolicy createRoutePolicy(CamelContext camel, String route, NamedNode definition) {
        Timer timer = Timer.builder("route").tag("route", route).description("Exchanges of a route.").register(metrics);
        Counter failures = Counter.builder("route.failures")
                .tag("route", route)
                .description("Exchanges that ended with an error nobody handled.")
                .register(metrics);
        return new RoutePolicySupport() {
            @Override
            public void onExchangeDone(Route route, Exchange exchange) {
                timer.record(exchange.getClock().elapsed(), TimeUnit.MILLISECONDS);
                if (exchange.isFailed()) {
                    failures.increment();
                }
            }
        };
    }
}
