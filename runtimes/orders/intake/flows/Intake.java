import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.camel.Exchange;
import org.apache.camel.ExchangePattern;
import stele.Flow;
import stele.Json;
import stele.Refused;

/** POST /orders: checks an order and answers 202 once the broker has stored it durably. */
public class Intake extends Flow {
    private static final Set<String> FIELDS = Set.of("id", "item", "quantity");
    private static final Pattern ID = Pattern.compile("[A-Za-z0-9_-]{1,64}");
    private static final int LONGEST_ITEM = 200;
    private static final int MOST = 1_000_000;

    @Override
    public void configure() {
        answerCaller();

        from("platform-http:/orders?httpMethodRestrict=POST")
                .routeId("intake")
                .process(this::check)
                .to(ExchangePattern.InOnly, queue("orders"))
                .process(exchange -> answer(exchange, 202, "id", exchange.getProperty("id")));
    }

    private void check(Exchange exchange) {
        Map<String, Object> order = Json.object(exchange.getMessage().getBody(byte[].class));
        for (String field : order.keySet()) {
            require(FIELDS.contains(field), "unknown field '" + field + "': allowed are id, item, quantity");
        }
        for (String field : FIELDS.stream().sorted().toList()) {
            require(order.containsKey(field), "field '" + field + "' is missing");
        }
        require(order.get("id") instanceof String id && ID.matcher(id).matches(), "id must be 1 to 64 of A-Z a-z 0-9 _ -");
        require(order.get("item") instanceof String item && isText(item), "item must be 1 to " + LONGEST_ITEM + " characters of text");
        require(
                order.get("quantity") instanceof Integer quantity && quantity >= 1 && quantity <= MOST,
                "quantity must be a whole number from 1 to " + MOST);
        exchange.setProperty("id", order.get("id"));
        exchange.getMessage().removeHeaders("*");
        exchange.getMessage().setBody(Json.write(order));
    }

    /** Control characters and halves of a character cannot be stored faithfully by everyone further on. */
    private static boolean isText(String item) {
        int length = item.codePointCount(0, item.length());
        return !item.isBlank()
                && length <= LONGEST_ITEM
                && item.codePoints().noneMatch(c -> Character.isISOControl(c) || Character.getType(c) == Character.SURROGATE);
    }

    private static void require(boolean holds, String reason) {
        if (!holds) {
            throw new Refused(reason);
        }
    }
}
