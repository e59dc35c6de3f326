package gristmill.peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/** Parses an event, drops it where its id was seen, derives an id and emits one event. */
final class SeatProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    /** Name of the store of ids. */
    static final String SEEN = "seen";

    private static final Duration REMEMBERED = Duration.ofHours(24);
    private static final Duration SWEEP = Duration.ofHours(1);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final byte[] SPEC_VERSION = EventId.utf8("1.0");
    private static final byte[] TYPE = EventId.utf8("seat.changed");
    private static final byte[] SOURCE = EventId.utf8("/peers/streams");
    private static final byte[] CONTENT_TYPE = EventId.utf8("application/json");

    private final boolean dedupes;
    private final EventId ids = new EventId();
    private final ObjectReader reservations = JSON.readerFor(ReservationCreated.class);
    private final ObjectReader payments = JSON.readerFor(PaymentSucceeded.class);
    private final ObjectWriter changes = JSON.writerFor(SeatChanged.class);
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<String, Long> seen;

    SeatProcessor(boolean dedupes) {
        this.dedupes = dedupes;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> given) {
        context = given;
        if (dedupes) {
            seen = context.getStateStore(SEEN);
            context.schedule(SWEEP, PunctuationType.WALL_CLOCK_TIME, this::forget);
        }
    }

    @Override
    public void process(Record<byte[], byte[]> event) {
        RecordMetadata place = context.recordMetadata().orElseThrow();
        try {
            SeatChanged changed = place.topic().endsWith("payment-succeeded")
                ? payments.<PaymentSucceeded>readValue(event.value()).change()
                : reservations.<ReservationCreated>readValue(event.value()).change();
            if (dedupes && seen.putIfAbsent(changed.eventId(), event.timestamp()) != null) {
                return;
            }
            String position = place.topic() + "/" + place.partition() + "/" + place.offset();
            byte[] value = changes.writeValueAsBytes(changed);
            Headers headers = headers(ids.of(position));
            context.forward(new Record<>(event.key(), value, event.timestamp(), headers));
        } catch (IOException problem) {
            throw new UncheckedIOException(problem);
        }
    }

    private void forget(long now) {
        long oldest = now - REMEMBERED.toMillis();
        try (KeyValueIterator<String, Long> all = seen.all()) {
            while (all.hasNext()) {
                KeyValue<String, Long> entry = all.next();
                if (entry.value < oldest) {
                    seen.delete(entry.key);
                }
            }
        }
    }

    private static Headers headers(String id) {
        return new RecordHeaders()
            .add("ce_specversion", SPEC_VERSION)
            .add("ce_type", TYPE)
            .add("ce_source", SOURCE)
            .add("ce_id", EventId.utf8(id))
            .add("content-type", CONTENT_TYPE);
    }

    /** A seat was reserved. */
    record ReservationCreated(
        String eventId, String reservationId, String customerId, String seatId, String seatNumber,
        String section, double basePrice, String createdAt, String expiresAt, String status) {

        SeatChanged change() {
            return new SeatChanged(
                eventId, reservationId, seatId, customerId, "reserved", basePrice, createdAt);
        }
    }

    /** A reservation was paid. */
    record PaymentSucceeded(
        String eventId, String reservationId, String orderId, String customerId, String seatId,
        double amount, String paidAt) {

        SeatChanged change() {
            return new SeatChanged(
                eventId, reservationId, seatId, customerId, "sold", amount, paidAt);
        }
    }

    /** What is emitted. */
    record SeatChanged(
        String eventId, String reservationId, String seatId, String customerId, String change,
        double price, String at) {}
}
