import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.util.RawValue;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Writes to a cluster and tells what is in it, by Kafka's own client alone: nothing of the host
 * has a part in what it says. Reads one question per line and answers each with one line of JSON;
 * ends with its input. Run from source, so that nothing needs to be built.
 */
public final class Witness {
    private static final ObjectMapper JSON = new ObjectMapper();
    /** Nothing takes longer than this without anything coming of it. */
    private static final Duration PATIENCE = Duration.ofSeconds(30);
    /** Longest silence before a reader looks whether it has come to the end. */
    private static final Duration LOOK = Duration.ofMillis(100);
    /** Rounds of hashing of a password, the fewest that Kafka takes. */
    private static final int ITERATIONS = 4096;

    private final String servers;
    private final Admin admin;
    private final KafkaProducer<String, String> producer;

    private Witness(String servers) {
        this.servers = servers;
        admin = Admin.create(Map.of("bootstrap.servers", servers));
        // The default is all acknowledged, none repeated, in their order.
        Map<String, Object> producing = Map.of("bootstrap.servers", servers, "linger.ms", 5);
        producer = new KafkaProducer<>(producing, new StringSerializer(), new StringSerializer());
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        // Whatever a library prints is no answer.
        System.setOut(System.err);
        Witness witness = new Witness(arguments[0]);
        BufferedReader questions =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            ObjectNode answer = JSON.createObjectNode();
            try {
                witness.answer(JSON.readTree(line), answer);
            } catch (Exception error) {
                answer.put("error", error.toString());
            }
            // As a stream: an answer may be hundreds of megabytes.
            JSON.writer().without(JsonGenerator.Feature.AUTO_CLOSE_TARGET)
                .writeValue(answers, answer);
            answers.write('\n');
            answers.flush();
        }
        // Threads of the clients would keep the process alive for a while.
        Runtime.getRuntime().halt(0);
    }

    private void answer(JsonNode question, ObjectNode answer) throws Exception {
        switch (question.get("ask").asText()) {
            case "read" -> read(question.get("topics"), answer);
            case "write" -> write(question, answer);
            case "topics" -> {
                ArrayNode names = answer.putArray("topics");
                admin.listTopics().names().get().forEach(names::add);
            }
            case "make" -> make(question.get("topic").asText(), question.get("partitions").asInt());
            case "admit" -> admit(question.get("user").asText(), question.get("password").asText());
            case "allow" -> allow("User:" + question.get("user").asText(), question.get("rights"));
            case "group" -> group(question.get("group").asText(), answer);
            case "transactions" -> transactions(question.get("prefix").asText(), answer);
            default -> throw new IllegalArgumentException("no such question: " + question);
        }
    }

    /** Committed records, by topic and partition; or only that some are undecided yet. */
    private void read(JsonNode wanted, ObjectNode answer) throws Exception {
        List<String> names = new ArrayList<>();
        wanted.forEach(topic -> names.add(topic.asText()));
        // As text: a tree of what a long run writes would be many times as large.
        Map<TopicPartition, StringBuilder> told = new LinkedHashMap<>();
        for (var topic : admin.describeTopics(names).allTopicNames().get().values()) {
            topic.partitions().forEach(partition -> told.put(
                new TopicPartition(topic.name(), partition.partition()), new StringBuilder()));
        }
        List<TopicPartition> partitions = new ArrayList<>(told.keySet());
        Map<TopicPartition, Long> ends = ends(partitions, IsolationLevel.READ_UNCOMMITTED);
        answer.put("undecided", !ends.equals(ends(partitions, IsolationLevel.READ_COMMITTED)));
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", servers,
            "isolation.level", "read_committed",
            "auto.offset.reset", "none",
            "enable.auto.commit", false);
        var strings = new StringDeserializer();
        try (var consumer = new KafkaConsumer<String, String>(settings, strings, strings)) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            ends = ends(partitions, IsolationLevel.READ_COMMITTED);
            long began = System.nanoTime();
            while (!hasCome(consumer, ends)) {
                if (System.nanoTime() - began > PATIENCE.toNanos()) {
                    throw new IllegalStateException("the end is not reached: " + ends);
                }
                for (ConsumerRecord<String, String> record : consumer.poll(LOOK)) {
                    StringBuilder list =
                        told.get(new TopicPartition(record.topic(), record.partition()));
                    list.append(list.isEmpty() ? "[" : ",").append(told(record));
                    began = System.nanoTime();
                }
            }
        }
        ObjectNode topics = answer.putObject("topics");
        told.forEach((partition, list) -> {
            String text = list.isEmpty() ? "[]" : list.append(']').toString();
            topics.withArray(partition.topic()).addRawValue(new RawValue(text));
            list.setLength(0);
            list.trimToSize();
        });
    }

    private static boolean hasCome(KafkaConsumer<?, ?> consumer, Map<TopicPartition, Long> ends) {
        return ends.entrySet().stream()
            .allMatch(end -> consumer.position(end.getKey()) >= end.getValue());
    }

    private static String told(ConsumerRecord<String, String> record) throws Exception {
        ObjectNode one = JSON.createObjectNode();
        one.put("partition", record.partition());
        one.put("offset", record.offset());
        one.put("timestamp_ms", record.timestamp());
        one.put("key", record.key());
        ArrayNode headers = one.putArray("headers");
        for (Header header : record.headers()) {
            byte[] value = header.value() == null ? new byte[0] : header.value();
            headers.addObject()
                .put("name", header.key())
                .put("value", new String(value, StandardCharsets.UTF_8));
        }
        try {
            one.set("payload", JSON.readTree(record.value()));
        } catch (Exception notJson) {
            one.put("payload", record.value());
        }
        return JSON.writeValueAsString(one);
    }

    /** Writes records in their order; all are acknowledged when it answers, with their places. */
    private void write(JsonNode question, ObjectNode answer) throws Exception {
        String topic = question.get("topic").asText();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (JsonNode record : question.get("records")) {
            Integer partition =
                record.hasNonNull("partition") ? record.get("partition").asInt() : null;
            String payload = record.get("payload").asText();
            String key = record.get("key").asText();
            sent.add(producer.send(new ProducerRecord<>(topic, partition, key, payload)));
        }
        producer.flush();
        ArrayNode places = answer.putArray("partitions");
        for (var one : sent) {
            places.add(one.get().partition());
        }
    }

    private void make(String topic, int partitions) throws Exception {
        var made = new NewTopic(topic, Optional.of(partitions), Optional.empty());
        try {
            admin.createTopics(List.of(made)).all().get();
        } catch (ExecutionException error) {
            if (!(error.getCause() instanceof TopicExistsException)) {
                throw error;
            }
        }
    }

    private void admit(String user, String password) throws Exception {
        var info = new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS);
        var change = new UserScramCredentialUpsertion(user, info, password);
        admin.alterUserScramCredentials(List.of(change)).all().get();
    }

    private void allow(String principal, JsonNode rights) throws Exception {
        List<AclBinding> bindings = new ArrayList<>();
        for (JsonNode right : rights) {
            var resource = new ResourcePattern(
                ResourceType.valueOf(right.get("kind").asText()),
                right.get("name").asText(),
                PatternType.valueOf(right.get("pattern").asText()));
            for (JsonNode operation : right.get("operations")) {
                var what = AclOperation.valueOf(operation.asText());
                var entry = new AccessControlEntry(principal, "*", what, AclPermissionType.ALLOW);
                bindings.add(new AclBinding(resource, entry));
            }
        }
        admin.createAcls(bindings).all().get();
        // The controller has taken them; the broker is told a moment later.
        long began = System.nanoTime();
        for (AclBinding binding : bindings) {
            while (admin.describeAcls(binding.toFilter()).values().get().isEmpty()) {
                if (System.nanoTime() - began > PATIENCE.toNanos()) {
                    throw new IllegalStateException("not in force: " + binding);
                }
            }
        }
    }

    /** What a group has committed, and who holds what. */
    private void group(String name, ObjectNode answer) throws Exception {
        ArrayNode members = answer.putArray("members");
        var groups = admin.describeConsumerGroups(List.of(name)).describedGroups();
        try {
            for (MemberDescription member : groups.get(name).get().members()) {
                ObjectNode one = members.addObject().put("id", member.consumerId());
                ArrayNode held = one.putArray("numbers");
                member.assignment().topicPartitions().forEach(it -> held.add(it.partition()));
            }
        } catch (ExecutionException error) {
            if (!(error.getCause() instanceof GroupIdNotFoundException)) {
                throw error;
            }
        }
        var committed = admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get();
        committed.values().removeIf(offset -> offset == null);
        ArrayNode offsets = answer.putArray("offsets");
        committed.forEach((partition, offset) -> offsets.addObject()
            .put("topic", partition.topic())
            .put("partition", partition.partition())
            .put("committed", offset.offset()));
    }

    /** Transactions that have begun and not ended, by transactional id. */
    private void transactions(String prefix, ObjectNode answer) throws Exception {
        ArrayNode open = answer.putArray("open");
        for (TransactionListing one : admin.listTransactions().all().get()) {
            boolean hasEnded = one.state() == TransactionState.COMPLETE_ABORT
                || one.state() == TransactionState.COMPLETE_COMMIT
                || one.state() == TransactionState.EMPTY;
            if (one.transactionalId().startsWith(prefix) && !hasEnded) {
                open.add(one.transactionalId());
            }
        }
    }

    private Map<TopicPartition, Long> ends(List<TopicPartition> partitions, IsolationLevel level)
        throws Exception {
        Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
        partitions.forEach(partition -> asked.put(partition, OffsetSpec.latest()));
        Map<TopicPartition, Long> ends = new HashMap<>();
        admin.listOffsets(asked, new ListOffsetsOptions(level)).all().get()
            .forEach((partition, end) -> ends.put(partition, end.offset()));
        return ends;
    }
}
