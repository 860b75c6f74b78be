package stele;

import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.logging.ConsoleHandler;
import java.util.logging.Formatter;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/** One line per event: time, level, logger, message, and for an error its causes and where it arose. */
final class LineFormatter extends Formatter {
    static {
        // Otherwise the log manager first reads and applies the JDK's own configuration, 20 ms for nothing.
        System.setProperty("java.util.logging.config.class", Empty.class.getName());
    }

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
        List<Logger> loggers = new ArrayList<>();
        for (String name : names) {
            loggers.add(Logger.getLogger(name));
        }
        return loggers;
    }

    /** Sends everything of level INFO and above to stdout, in this format. */
    static void install() {
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

    /** Configures nothing. */
    public static final class Empty {}

    @Override
    public String format(LogRecord event) {
        StringBuilder line = new StringBuilder(160);
        appendTime(line, event.getMillis());
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

    /** UTC, as 2026-01-31T23:59:59.123Z. By hand: java.time's formatters cost 40 ms at their first use. */
    private static void appendTime(StringBuilder line, long millis) {
        LocalDateTime time = LocalDateTime.ofEpochSecond(millis / 1000, 0, ZoneOffset.UTC);
        line.append(time.toLocalDate()).append('T');
        appendPadded(line, time.getHour(), 10).append(':');
        appendPadded(line, time.getMinute(), 10).append(':');
        appendPadded(line, time.getSecond(), 10).append('.');
        appendPadded(line, (int) (millis % 1000), 100).append("Z ");
    }

    private static StringBuilder appendPadded(StringBuilder line, int number, int digits) {
        for (int limit = digits; number < limit && limit > 1; limit /= 10) {
            line.append('0');
        }
        return line.append(number);
    }
}
