// Writes records as they are told on standard input, each to the partition it is told, with its
// headers and its timestamp; null keys and values too. Kafka's console producer cannot.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Write {
    // Between fields, between headers; a null.
    static final String FIELD = "\u0001";
    static final String HEADER = "\u0002";
    static final String NULL = "\u0004";

    /** Bootstrap servers. A line is topic, partition, timestamp, headers, key and value. */
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("acks", "all");
        properties.put("max.request.size", "16777216");
        properties.put("delivery.timeout.ms", "300000");
        AtomicReference<Exception> failure = new AtomicReference<>();
        ByteArraySerializer bytes = new ByteArraySerializer();
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(properties, bytes, bytes)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                producer.send(record(line.split(FIELD, -1)), (written, refused) -> {
                    if (refused != null) {
                        failure.set(refused);
                    }
                });
            }
        }
        if (failure.get() != null) {
            throw failure.get();
        }
    }

    private static ProducerRecord<byte[], byte[]> record(String[] fields) {
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(fields[0],
                Integer.valueOf(fields[1]), Long.valueOf(fields[2]), bytes(fields[4]),
                bytes(fields[5]));
        for (String header : fields[3].isEmpty() ? new String[0] : fields[3].split(HEADER)) {
            String[] parts = header.split(":", 2);
            record.headers().add(parts[0], bytes(parts[1]));
        }
        return record;
    }

    private static byte[] bytes(String text) {
        return text.equals(NULL) ? null : text.getBytes(StandardCharsets.UTF_8);
    }
}
