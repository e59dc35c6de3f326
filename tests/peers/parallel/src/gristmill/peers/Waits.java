package gristmill.peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Waits as its events ask for, by Confluent's parallel consumer ordered by key. Settings are system
 * properties; everything that is not set is a default of the library. It emits an event for each
 * or, where it is told to tell, nothing. Ends when its standard input does.
 */
public final class Waits {
    private static final ObjectReader JSON = new ObjectMapper().readerFor(Wait.class);

    private Waits() {}

    /** What an event asks for. */
    record Wait(String eventId, long waitMs) {}

    /** Runs until the standard input ends. */
    public static void main(String[] arguments) throws IOException {
        List<Long> counts =
            Arrays.stream(System.getProperty("tells.after", "").split(","))
                .filter(count -> !count.isEmpty())
                .map(Long::valueOf)
                .toList();
        var options =
            ParallelConsumerOptions.<byte[], byte[]>builder()
                .consumer(consumer())
                .ordering(ProcessingOrder.KEY)
                .maxConcurrency(Integer.getInteger("concurrency"));
        if (counts.isEmpty()) {
            options.producer(producer());
        }
        var processor = ParallelStreamProcessor.createEosStreamProcessor(options.build());
        processor.subscribe(List.of(System.getProperty("source")));
        if (counts.isEmpty()) {
            String output = System.getProperty("output");
            processor.pollAndProduce(event -> emission(output, event.getSingleConsumerRecord()));
        } else {
            AtomicLong handled = new AtomicLong();
            processor.poll(event -> {
                await(event.getSingleConsumerRecord());
                tell(counts, handled.incrementAndGet());
            });
        }
        System.in.transferTo(OutputStream.nullOutputStream());
        processor.closeDrainFirst();
    }

    private static ProducerRecord<byte[], byte[]> emission(
        String output, ConsumerRecord<byte[], byte[]> event) {
        Wait wait = await(event);
        byte[] value = utf8("{\"eventId\":\"" + wait.eventId() + "\"}");
        String position = event.topic() + "/" + event.partition() + "/" + event.offset();
        var emission = new ProducerRecord<>(output, event.key(), value);
        emission.headers()
            .add("ce_specversion", utf8("1.0"))
            .add("ce_type", utf8("wait.over"))
            .add("ce_source", utf8("/peers/parallel"))
            .add("ce_id", utf8(UUID.nameUUIDFromBytes(utf8(position)).toString()))
            .add("content-type", utf8("application/json"));
        return emission;
    }

    private static Wait await(ConsumerRecord<byte[], byte[]> event) {
        try {
            Wait wait = JSON.readValue(event.value());
            Thread.sleep(wait.waitMs());
            return wait;
        } catch (IOException problem) {
            throw new UncheckedIOException(problem);
        } catch (InterruptedException problem) {
            throw new IllegalStateException("interrupted while it waited", problem);
        }
    }

    private static void tell(List<Long> counts, long handled) {
        if (counts.contains(handled)) {
            Instant now = Instant.now();
            long nanos = now.getEpochSecond() * 1_000_000_000L + now.getNano();
            System.out.println("handled " + handled + " at " + nanos);
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", System.getProperty("brokers"));
        properties.put("group.id", System.getProperty("group"));
        properties.put("auto.offset.reset", "earliest");
        // The library commits by itself and insists on this.
        properties.put("enable.auto.commit", "false");
        properties.put("isolation.level", "read_committed");
        var bytes = new ByteArrayDeserializer();
        return new KafkaConsumer<>(properties, bytes, bytes);
    }

    private static KafkaProducer<byte[], byte[]> producer() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", System.getProperty("brokers"));
        // Each worker waits for its record, so a record that waits for others holds it up.
        properties.put("linger.ms", "0");
        var bytes = new ByteArraySerializer();
        return new KafkaProducer<>(properties, bytes, bytes);
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
