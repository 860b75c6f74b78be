package stele;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.logging.ConsoleHandler;
import java.util.logging.Formatter;
import java.util.logging.Level;
import java.util.logging.LogManager;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.stream.Stream;

/** One line per event: time, level, logger, message, and for an error its causes and where it arose. */
final class LineFormatter extends Formatter {
    /** Held, since the log manager keeps only weak references. */
    private static final Logger ROOT = Logger.getLogger("");

    /** They report each connection, or repeat the configuration line by line. */
    private static final List<Logger> QUIET =
            loggers("org.apache.activemq.audit", "org.apache.activemq.artemis.core.server");

    /** They report each session and message that a hand-over interrupts. The flows try again, and say so when it lasts. */
    private static final List<Logger> SILENT = loggers(
            "org.messaginghub.pooled.jms",
            "com.zaxxer.hikari.pool",
            "org.apache.camel.component.jms.EndpointMessageListener",
            "org.apache.camel.component.jms.DefaultJmsMessageListenerContainer");

    private static List<Logger> loggers(String... names) {
        return Stream.of(names).map(Logger::getLogger).toList();
    }

    /** Sends everything of level INFO and above to stdout, in this format. */
    static void install() {
        LogManager.getLogManager().reset();
        ConsoleHandler handler = new ConsoleHandler() {
            {
                setOutputStream(System.out);
            }
        };
        handler.setFormatter(new LineFormatter());
        handler.setLevel(Level.ALL);
        ROOT.addHandler(handler);
        ROOT.setLevel(Level.INFO);
        QUIET.forEach(logger -> logger.setLevel(Level.WARNING));
        SILENT.forEach(logger -> logger.setLevel(Level.OFF));
    }

    @Override
    public String format(LogRecord event) {
        StringBuilder line = new StringBuilder(160);
        line.append(Instant.ofEpochMilli(event.getMillis()).truncatedTo(ChronoUnit.MILLIS)).append(' ');
        line.append(event.getLevel()).append(' ').append(event.getLoggerName()).append(": ");
        line.append(formatMessage(event));
        int causes = 0;
        for (Throwable cause = event.getThrown(); cause != null && causes < 5; cause = cause.getCause(), causes++) {
            line.append(" | ").append(cause);
            StackTraceElement[] trace = cause.getStackTrace();
            if (trace.length > 0) {
                line.append(" at ").append(trace[0]);
            }
        }
        return line.toString().replace('\n', ' ').replace('\r', ' ') + "\n";
    }
}
