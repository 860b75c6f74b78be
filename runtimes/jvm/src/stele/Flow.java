package stele;

import jakarta.jms.JMSException;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Map;
import org.apache.camel.Exchange;
import org.apache.camel.ExchangePattern;
import org.apache.camel.LoggingLevel;
import org.apache.camel.Predicate;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.model.OnExceptionDefinition;
import org.apache.camel.model.ProcessorDefinition;
import org.springframework.dao.DataAccessException;
import org.springframework.dao.DataIntegrityViolationException;
import org.springframework.jms.JmsException;

/** A Camel route with the template's conventions: what to do while a dependency hands over, and how refusals are answered. */
public abstract class Flow extends RouteBuilder {
    /** How long a caller is held while the broker or the database hands over. Below usual client time-outs of 30 s. */
    protected static final Duration PATIENCE = Duration.ofSeconds(25);

    /**
     * For routes with a caller: {@link Refused} becomes 400 with its reason; a broker or database that cannot be reached is
     * tried again for {@link #PATIENCE}, then becomes 503 with a reason.
     */
    protected void answerCaller() {
        onException(Refused.class).handled(true).process(exchange -> answer(exchange, 400, "error", reason(exchange)));
        retrying(exchange -> exchange.getClock().elapsed() < PATIENCE.toMillis())
                .redeliveryDelay(100)
                .logExhaustedMessageHistory(false)
                .logStackTrace(false)
                .handled(true)
                .process(exchange -> answer(exchange, 503, "error", "not available now, try again: " + reason(exchange)));
    }

    /**
     * For routes that consume: a broker or database that cannot be reached is tried again until the runtime stops (the
     * message then goes back to its queue). What no retry mends goes to queue {@code <queue>.dead} with its reason.
     */
    protected void keepTrying(String queue) {
        onException(Refused.class, DataIntegrityViolationException.class)
                .handled(true)
                .process(exchange -> exchange.getMessage().setHeader("reason", reason(exchange)))
                .log(LoggingLevel.WARN, "a message of '" + queue + "' went to '" + queue + ".dead': ${exception.message}")
                .to(ExchangePattern.InOnly, "jms:queue:" + queue + ".dead");
        retrying(exchange -> true)
                .redeliveryDelay(100)
                .maximumRedeliveryDelay(1000)
                .backOffMultiplier(1.5)
                .useExponentialBackOff()
                .logExhausted(false);
    }

    private OnExceptionDefinition retrying(Predicate condition) {
        return onException(JMSException.class, JmsException.class, SQLException.class, DataAccessException.class)
                .retryWhile(exchange -> {
                    mention(exchange);
                    return condition.matches(exchange);
                })
                .retryAttemptedLogLevel(LoggingLevel.TRACE);
    }

    /** Trying again is normal for a second or two; what lasts longer is worth a line in the log now and then. */
    private void mention(Exchange exchange) {
        int attempts = exchange.getMessage().getHeader(Exchange.REDELIVERY_COUNTER, 0, Integer.class);
        if (attempts > 0 && attempts % 40 == 0) {
            log.warn("tried {} times so far: {}", attempts, reason(exchange));
        }
    }

    /**
     * Consumes a queue with up to {@code consumers} threads, as many as the work keeps busy: one is there at the start, the
     * others would delay it. A message is acknowledged when its route has ended.
     */
    protected ProcessorDefinition<?> fromQueue(String queue, int consumers) {
        return from("jms:queue:" + queue + "?connectionFactory=#broker&cacheLevelName=CACHE_CONSUMER&transacted=true"
                + "&lazyCreateTransactionManager=false&recoveryInterval=100&receiveTimeout=1000&acceptMessagesWhileStopping=false"
                + "&concurrentConsumers=1&maxConcurrentConsumers=" + consumers);
    }

    /** Where to send what one consumer gets; returns once the broker has stored it durably. */
    protected static String queue(String name) {
        return "jms:queue:" + name;
    }

    /** Where to publish what every subscriber gets; returns once the broker has stored it durably. */
    protected static String topic(String name) {
        return "jms:topic:" + name;
    }

    /** Sets the HTTP answer: a status and a JSON object with one field. */
    protected static void answer(Exchange exchange, int status, String field, Object value) {
        answer(exchange, status, Map.of(field, value));
    }

    /** Sets the HTTP answer: a status and a JSON object. Headers of the route do not leak into it. */
    protected static void answer(Exchange exchange, int status, Map<String, ?> fields) {
        exchange.getMessage().removeHeaders("*");
        exchange.getMessage().setHeader(Exchange.HTTP_RESPONSE_CODE, status);
        exchange.getMessage().setBody(Json.write(fields) + "\n");
    }

    private static String reason(Exchange exchange) {
        Throwable cause = exchange.getProperty(Exchange.EXCEPTION_CAUGHT, Throwable.class);
        while (cause.getCause() != null) {
            cause = cause.getCause();
        }
        String message = cause.getMessage() == null ? cause.getClass().getSimpleName() : cause.getMessage();
        return message.lines().findFirst().orElse("");
    }
}
