import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.camel.Exchange;
import org.apache.camel.ExchangePattern;
import stele.Flow;
import stele.Json;
import stele.Refused;

/**
 * Takes orders from the queue into the database, then tells every subscriber. The message is acknowledged after both, so a
 * crash in between repeats it: storing twice changes nothing, and the event carries what is stored, not what was sent again.
 */
public class Store extends Flow {
    /** A repeated id keeps the first order; the pointless update is what makes PostgreSQL return the row that is there. */
    private static final String INSERT = "sql:insert into orders (id, item, quantity) values (:#id, :#item, :#quantity)"
            + " on conflict (id) do update set id = orders.id returning id, item, quantity?dataSource=#database&outputType=SelectList";

    @Override
    public void configure() {
        keepTrying("orders");

        fromQueue("orders", 8)
                .routeId("store")
                .process(Store::parse)
                .to(INSERT)
                .process(Store::event)
                .to(ExchangePattern.InOnly, topic("orders.stored"));
    }

    private static void parse(Exchange exchange) {
        byte[] text = exchange.getMessage().getBody(byte[].class);
        Map<String, Object> order = Json.object(text == null ? new byte[0] : text);
        if (!(order.get("id") instanceof String && order.get("item") instanceof String && order.get("quantity") instanceof Integer)) {
            throw new Refused("not an order: id, item and quantity are needed");
        }
        order.forEach(exchange.getMessage()::setHeader);
    }

    @SuppressWarnings("unchecked")
    private static void event(Exchange exchange) {
        List<Map<String, Object>> rows = exchange.getMessage().getBody(List.class);
        exchange.getMessage().removeHeaders("*");
        exchange.getMessage().setBody(Json.write(new TreeMap<>(rows.get(0))));
    }
}
