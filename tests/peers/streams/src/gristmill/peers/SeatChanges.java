package gristmill.peers;

import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.state.Stores;

/**
 * Tells what happened to seats, by Kafka Streams under exactly_once_v2 with two threads. Settings
 * are system properties; everything that is not set is Kafka's default. Ends when its standard
 * input does.
 */
public final class SeatChanges {
    private static final int THREADS = 2;

    private SeatChanges() {}

    /** Runs until the standard input ends; exits with 1 where a thread failed. */
    public static void main(String[] arguments) throws Exception {
        boolean dedupes = Boolean.parseBoolean(setting("dedupe"));
        KafkaStreams streams = new KafkaStreams(topology(dedupes), properties());
        CountDownLatch ends = new CountDownLatch(1);
        AtomicBoolean failed = new AtomicBoolean();
        streams.setUncaughtExceptionHandler(problem -> {
            problem.printStackTrace();
            failed.set(true);
            ends.countDown();
            return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.start();
        Thread input = new Thread(() -> awaitEnd(ends));
        input.setDaemon(true);
        input.start();
        ends.await();
        streams.close();
        System.exit(failed.get() ? 1 : 0);
    }

    private static Topology topology(boolean dedupes) {
        Topology topology = new Topology();
        topology.addSource("sources", setting("sources").split(","));
        topology.addProcessor("seats", () -> new SeatProcessor(dedupes), "sources");
        if (dedupes) {
            topology.addStateStore(
                Stores.keyValueStoreBuilder(
                    Stores.persistentKeyValueStore(SeatProcessor.SEEN),
                    Serdes.String(),
                    Serdes.Long()),
                "seats");
        }
        topology.addSink("output", setting("output"), "seats");
        return topology;
    }

    private static Properties properties() {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, setting("application"));
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, setting("brokers"));
        properties.put(StreamsConfig.STATE_DIR_CONFIG, setting("state"));
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, setting("commit.ms"));
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, THREADS);
        Class<?> bytes = Serdes.ByteArraySerde.class;
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, bytes);
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, bytes);
        return properties;
    }

    private static void awaitEnd(CountDownLatch ends) {
        try {
            System.in.transferTo(java.io.OutputStream.nullOutputStream());
        } catch (java.io.IOException closed) {
            // As good as its end.
        }
        ends.countDown();
    }

    private static String setting(String name) {
        String value = System.getProperty(name);
        if (value == null) {
            throw new IllegalArgumentException("set -D" + name);
        }
        return value;
    }
}
