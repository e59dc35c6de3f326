// Prints every committed record of some topics, up to where they ended when it began. Kafka's
// console consumer cannot: it does not know an end, and does not say which topic a record is of.

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public final class Read {
    // Between fields, between headers, after a record; then how many records there were.
    static final String FIELD = "\u0001";
    static final String HEADER = "\u0002";
    static final String RECORD = "\u0003";

    /** Bootstrap servers, and a regular expression of topic names. */
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("isolation.level", "read_committed");
        properties.put("enable.auto.commit", "false");
        properties.put("allow.auto.create.topics", "false");
        Pattern pattern = Pattern.compile(arguments[1]);
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        long count = 0;
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(properties, bytes, bytes)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (Map.Entry<String, List<PartitionInfo>> topic : consumer.listTopics().entrySet()) {
                if (pattern.matcher(topic.getKey()).matches()) {
                    for (PartitionInfo partition : topic.getValue()) {
                        partitions.add(new TopicPartition(topic.getKey(), partition.partition()));
                    }
                }
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            for (Map.Entry<TopicPartition, Long> end : consumer.endOffsets(partitions).entrySet()) {
                while (consumer.position(end.getKey()) < end.getValue()) {
                    Duration patience = Duration.ofMillis(100);
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(patience)) {
                        print(out, record);
                        count++;
                    }
                }
            }
        }
        out.print(count);
        out.flush();
    }

    private static void print(PrintStream out, ConsumerRecord<byte[], byte[]> record) {
        StringBuilder headers = new StringBuilder();
        for (Header header : record.headers()) {
            headers.append(headers.length() == 0 ? "" : HEADER);
            headers.append(header.key()).append(':').append(text(header.value()));
        }
        out.print(record.topic() + FIELD + record.partition() + FIELD + record.offset());
        out.print(FIELD + record.timestamp() + FIELD + headers + FIELD + text(record.key()));
        out.print(FIELD + text(record.value()) + RECORD);
    }

    private static String text(byte[] bytes) {
        return bytes == null ? "null" : new String(bytes, StandardCharsets.UTF_8);
    }
}
