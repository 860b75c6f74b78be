import java.util.Map;
import java.util.TreeMap;
import org.apache.camel.Exchange;
import stele.Flow;

/** GET /orders/{id} and GET /orders: what is stored. */
public class Read extends Flow {
    @Override
    public void configure() {
        answerCaller();

        from("platform-http:/orders/{id}?httpMethodRestrict=GET")
                .routeId("order")
                .to("sql:select id, item, quantity from orders where id = :#id?dataSource=#database&outputType=SelectOne")
                .process(Read::order);

        from("platform-http:/orders?httpMethodRestrict=GET")
                .routeId("count")
                .to("sql:select count(*) from orders?dataSource=#database&outputType=SelectOne")
                .process(exchange -> answer(exchange, 200, "count", exchange.getMessage().getBody(Long.class)));
    }

    @SuppressWarnings("unchecked")
    private static void order(Exchange exchange) {
        // Without a row the body is still the request's.
        if (exchange.getMessage().getBody() instanceof Map<?, ?> row) {
            answer(exchange, 200, new TreeMap<>((Map<String, Object>) row));
        } else {
            answer(exchange, 404, "error", "no such order");
        }
    }
}
