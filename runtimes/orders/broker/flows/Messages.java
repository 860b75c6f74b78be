import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;
import org.apache.activemq.artemis.api.core.ActiveMQBuffer;
import org.apache.activemq.artemis.api.core.ActiveMQBuffers;
import org.apache.activemq.artemis.api.core.Message;
import org.apache.activemq.artemis.api.core.SimpleString;
import org.apache.activemq.artemis.core.persistence.Persister;
import org.apache.activemq.artemis.core.postoffice.impl.LocalQueueBinding;
import org.apache.activemq.artemis.core.server.ActiveMQServer;
import org.apache.activemq.artemis.core.server.MessageReference;
import org.apache.activemq.artemis.core.server.Queue;
import org.apache.activemq.artemis.core.server.impl.RoutingContextImpl;
import org.apache.activemq.artemis.core.transaction.impl.TransactionImpl;
import org.apache.activemq.artemis.spi.core.protocol.MessagePersister;
import org.apache.activemq.artemis.utils.collections.LinkedListIterator;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import stele.Json;
import stele.Settings;

/**
 * Hands every stored message to the task runner when a note in the volume asks for it, and takes in what a backup held.
 *
 * <p>A message that a consumer has and has not acknowledged is among them. So a message may be handed over although it is consumed
 * a moment later: whoever consumes must store a repeated one once.
 */
final class Messages {
    private static final Logger LOG = LoggerFactory.getLogger(Messages.class);
    private static final Path NOTES = Settings.path("/data/.stele");
    private static final Path REQUEST = NOTES.resolve("capture");
    private static final Path RESTORE = NOTES.resolve("messages.jsonl");
    /** Of a backup. It becomes part of a file's name, so that nothing else is answered. */
    private static final Pattern NAME = Pattern.compile("\\d{4}-\\d\\d-\\d\\dT\\d\\d-\\d\\d-\\d\\dZ");

    private static final int BATCH = 500;

    private final ActiveMQServer server;

    Messages(ActiveMQServer server) {
        this.server = server;
    }

    /** Takes in what the task runner left, if anything. Killed in between, it begins again: repeated messages do no harm. */
    void restore() throws Exception {
        if (!Files.exists(RESTORE)) {
            return;
        }
        prove();
        LOG.info("taking in the messages of a backup");
        int count = 0;
        try (BufferedReader lines = Files.newBufferedReader(RESTORE)) {
            TransactionImpl batch = new TransactionImpl(server.getStorageManager());
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                put(Json.object(line.getBytes(StandardCharsets.UTF_8)), batch);
                if (++count % BATCH == 0) {
                    batch.commit();
                    batch = new TransactionImpl(server.getStorageManager());
                }
            }
            batch.commit();
        }
        server.getStorageManager().waitOnOperations(); // a commit returns before it is on the disk
        Files.delete(RESTORE);
        LOG.info("took in {} messages of a backup", count);
    }

    /**
     * Every line can be put. Found out before the first is: this process ends at one that cannot, is started again, and would put
     * those before it once more each time.
     */
    private void prove() throws IOException {
        try (BufferedReader lines = Files.newBufferedReader(RESTORE)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                Map<String, Object> fields = Json.object(line.getBytes(StandardCharsets.UTF_8));
                queue(fields);
                message(fields);
            }
        }
    }

    private void put(Map<String, Object> line, TransactionImpl batch) throws Exception {
        Message message = message(line);
        message.setMessageID(server.getStorageManager().generateID());
        RoutingContextImpl context = new RoutingContextImpl(batch);
        queue(line).route(message, context);
        server.getPostOffice().processRoute(message, context, false);
    }

    private Queue queue(Map<String, Object> line) {
        Queue queue = server.locateQueue(SimpleString.of((String) line.get("queue")));
        if (queue == null) {
            throw new IllegalStateException("a backup holds messages of queue '" + line.get("queue") + "', which this release lacks");
        }
        return queue;
    }

    private Message message(Map<String, Object> line) {
        ActiveMQBuffer buffer = ActiveMQBuffers.wrappedBuffer(Base64.getDecoder().decode((String) line.get("message")));
        return MessagePersister.getInstance().decode(buffer, null, null, server.getStorageManager());
    }

    /** Answers requests until the process ends. */
    void answerRequests() {
        Thread thread = new Thread(
                () -> {
                    while (server.isStarted()) {
                        LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(200));
                        try {
                            answer();
                        } catch (Exception failed) {
                            LOG.error("the messages cannot be handed over", failed);
                            LockSupport.parkNanos(TimeUnit.SECONDS.toNanos(5));
                        }
                    }
                },
                "messages");
        thread.setDaemon(true);
        thread.start();
    }

    /**
     * The answer bears the name of its request, so that what was collected for a backup that was killed is never taken for the
     * next one's. Requests are the runner's to remove: one that outlives this process is answered by the next.
     */
    private void answer() throws Exception {
        String name = requested();
        if (name == null || Files.exists(answerTo(name))) {
            return;
        }
        Path beside = NOTES.resolve("captured.new");
        Set<String> seen = new HashSet<>();
        try (BufferedWriter out = Files.newBufferedWriter(beside)) {
            // A message that leads to one in another queue is gone only once that one is there. Whatever moved to a queue that
            // had been looked at before is there when it is looked at again.
            for (int pass = 0; pass < 2; pass++) {
                for (LocalQueueBinding binding : bindings()) {
                    capture(binding.getQueue(), seen, out);
                }
            }
        }
        try (FileChannel file = FileChannel.open(beside, StandardOpenOption.WRITE)) {
            file.force(true);
        }
        if (!name.equals(requested())) {
            Files.delete(beside); // nobody waits for it any more
            return;
        }
        Files.move(beside, answerTo(name), StandardCopyOption.ATOMIC_MOVE);
        LOG.info("handed over {} messages", seen.size());
    }

    private static Path answerTo(String name) {
        return NOTES.resolve("captured-" + name + ".jsonl");
    }

    /** The name of the backup that asks; null when none does. */
    private static String requested() throws IOException {
        try {
            Object name = Json.object(Files.readAllBytes(REQUEST)).get("name");
            return name instanceof String text && NAME.matcher(text).matches() ? text : null;
        } catch (NoSuchFileException none) {
            return null;
        }
    }

    private List<LocalQueueBinding> bindings() {
        return server.getPostOffice()
                .getAllBindings()
                .filter(LocalQueueBinding.class::isInstance)
                .map(LocalQueueBinding.class::cast)
                .filter(binding -> binding.getQueue().isDurable() && !binding.getQueue().isInternalQueue())
                .toList();
    }

    /**
     * While a queue is paused for this moment, messages go from its consumers back to it, but not the other way: who looks at the
     * consumers first sees every message.
     */
    private void capture(Queue queue, Set<String> seen, BufferedWriter out) throws Exception {
        queue.pause();
        try {
            queue.flushExecutor();
            for (List<MessageReference> references : queue.getDeliveringMessages().values()) {
                for (MessageReference reference : references) {
                    write(queue, reference, seen, out);
                }
            }
            for (MessageReference reference : queue.getScheduledMessages()) {
                write(queue, reference, seen, out);
            }
            try (LinkedListIterator<MessageReference> waiting = queue.browserIterator()) {
                while (waiting.hasNext()) {
                    write(queue, waiting.next(), seen, out);
                }
            }
        } finally {
            queue.resume();
        }
    }

    private static void write(Queue queue, MessageReference reference, Set<String> seen, BufferedWriter out) throws IOException {
        Message message = reference.getMessage();
        if (!message.isDurable() || !seen.add(queue.getName() + " " + message.getMessageID())) {
            return;
        }
        if (message.isLargeMessage()) {
            throw new IOException("a message of queue '" + queue.getName() + "' is too large to be captured: " + message.getMessageID());
        }
        Persister<Message> persister = message.getPersister();
        ActiveMQBuffer buffer = ActiveMQBuffers.dynamicBuffer(persister.getEncodeSize(message));
        persister.encode(buffer, message);
        byte[] encoded = new byte[buffer.readableBytes()];
        buffer.readBytes(encoded);
        out.write(Json.write(Map.of("queue", queue.getName().toString(), "message", Base64.getEncoder().encodeToString(encoded))));
        out.newLine();
    }
}
