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
    private static final Path CAPTURED = NOTES.resolve("captured.jsonl");
    private static final Path RESTORE = NOTES.resolve("messages.jsonl");
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
        Files.delete(RESTORE);
        LOG.info("took in {} messages of a backup", count);
    }

    private void put(Map<String, Object> line, TransactionImpl batch) throws Exception {
        Queue queue = server.locateQueue(SimpleString.of((String) line.get("queue")));
        if (queue == null) {
            throw new IllegalStateException("a backup holds messages of queue '" + line.get("queue") + "', which this release lacks");
        }
        byte[] encoded = Base64.getDecoder().decode((String) line.get("message"));
        ActiveMQBuffer buffer = ActiveMQBuffers.wrappedBuffer(encoded);
        Message message = MessagePersister.getInstance().decode(buffer, null, null, server.getStorageManager());
        message.setMessageID(server.getStorageManager().generateID());
        RoutingContextImpl context = new RoutingContextImpl(batch);
        queue.route(message, context);
        server.getPostOffice().processRoute(message, context, false);
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

    private void answer() throws Exception {
        if (!Files.exists(REQUEST) || Files.exists(CAPTURED)) {
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
        try {
            Files.delete(REQUEST);
        } catch (NoSuchFileException withdrawn) {
            Files.delete(beside);
            return;
        }
        Files.move(beside, CAPTURED, StandardCopyOption.ATOMIC_MOVE);
        LOG.info("handed over {} messages", seen.size());
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
