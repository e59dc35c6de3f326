//! Declares the instruments, grouped by what they measure. It counts nothing itself.

use prometheus::{CounterVec, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::catalogue::Catalogue;
use super::{LATENESS, NONE, OUTBOX, PLUGIN, SECONDS, SUBSCRIPTION};

/// What happens to events.
#[derive(Debug)]
pub(super) struct EventInstruments {
    pub(super) consumed: IntCounterVec,
    pub(super) completed: IntCounterVec,
    pub(super) attempts: IntCounterVec,
    pub(super) process_duration: HistogramVec,
    pub(super) queue_wait: HistogramVec,
    pub(super) end_to_end: HistogramVec,
    pub(super) dead_letters: IntCounterVec,
    pub(super) emissions: IntCounterVec,
    pub(super) dedupe_hits: IntCounterVec,
    pub(super) stale: IntCounterVec,
    pub(super) skipped: IntCounterVec,
    pub(super) last_processed: IntGaugeVec,
}

impl EventInstruments {
    pub(super) fn new(made: &mut Catalogue) -> Self {
        Self {
            consumed: made.counters(
                "gristmill_events_consumed_total",
                &["subscription", "topic"],
                "Events read, once per delivery",
            ),
            completed: made.counters(
                "gristmill_events_completed_total",
                &["subscription", "outcome"],
                "Events whose outcome is durable: committed, duplicate, filtered, forwarded, \
                 fell_back, dead_lettered or discarded",
            ),
            attempts: made.counters(
                "gristmill_attempts_total",
                &["subscription", "plugin", "class"],
                "Attempts ended, by class of failure, or success",
            ),
            process_duration: made.histograms(
                "gristmill_process_duration_seconds",
                SUBSCRIPTION,
                "Time of one attempt, waits included",
                &SECONDS,
            ),
            queue_wait: made.histograms(
                "gristmill_queue_wait_seconds",
                SUBSCRIPTION,
                "Time from reading an event to its first attempt",
                &SECONDS,
            ),
            end_to_end: made.histograms(
                "gristmill_end_to_end_latency_seconds",
                SUBSCRIPTION,
                "Time from a record's timestamp to its durable effects",
                &SECONDS,
            ),
            dead_letters: made.counters(
                "gristmill_dead_letters_total",
                &["subscription", "class"],
                "Dead letters written, by class of failure",
            ),
            emissions: made.counters(
                "gristmill_emissions_total",
                SUBSCRIPTION,
                "Emissions staged with the checkpoint of their event",
            ),
            dedupe_hits: made.counters(
                "gristmill_dedupe_hits_total",
                SUBSCRIPTION,
                "Events found to be settled already",
            ),
            stale: made.counters(
                "gristmill_stale_generation_checkpoints_total",
                SUBSCRIPTION,
                "Inputs and checkpoints of an older assignment, dropped",
            ),
            skipped: made.counters(
                "gristmill_events_skipped_total",
                SUBSCRIPTION,
                "Offsets that retention removed before they were read",
            ),
            last_processed: made.gauges(
                "gristmill_last_event_processed_timestamp_seconds",
                SUBSCRIPTION,
                "When an outcome last became durable, in seconds since 1970",
            ),
        }
    }
}

/// What engines and topics hold of a subscription.
#[derive(Debug)]
pub(super) struct HeldInstruments {
    pub(super) lag: IntGaugeVec,
    pub(super) lanes_active: IntGaugeVec,
    pub(super) lanes_parked: IntGaugeVec,
    pub(super) parked_events: IntGaugeVec,
    pub(super) oldest_parked: IntGaugeVec,
    pub(super) in_flight: IntGaugeVec,
    pub(super) retries: IntGaugeVec,
    pub(super) dlq_backlog: IntGaugeVec,
    pub(super) timers: IntGaugeVec,
    pub(super) breaker: IntGaugeVec,
    pub(super) breaker_transitions: IntCounterVec,
    pub(super) timer_lateness: HistogramVec,
}

impl HeldInstruments {
    pub(super) fn new(made: &mut Catalogue) -> Self {
        Self {
            lag: made.gauges(
                "gristmill_consumer_lag",
                &["subscription", "topic", "partition"],
                "Events behind the end of the partition that are not settled",
            ),
            lanes_active: made.gauges(
                "gristmill_lanes_active",
                SUBSCRIPTION,
                "Lanes with anything in memory",
            ),
            lanes_parked: made.gauges(
                "gristmill_lanes_parked",
                SUBSCRIPTION,
                "Lanes in durable parking",
            ),
            parked_events: made.gauges(
                "gristmill_parked_events",
                SUBSCRIPTION,
                "Events in durable parking",
            ),
            oldest_parked: made.gauges(
                "gristmill_oldest_parked_timestamp_seconds",
                SUBSCRIPTION,
                "When the oldest parked event first failed, in seconds since 1970; 0 for none",
            ),
            in_flight: made.gauges(
                "gristmill_events_in_flight",
                SUBSCRIPTION,
                "Attempts running now",
            ),
            retries: made.gauges(
                "gristmill_retries_scheduled",
                SUBSCRIPTION,
                "Events that wait for their next attempt",
            ),
            dlq_backlog: made.gauges(
                "gristmill_dlq_backlog",
                &["subscription", "topic"],
                "Dead letters held in a dead-letter topic",
            ),
            timers: made.gauges("gristmill_timers_pending", SUBSCRIPTION, "Timers set"),
            breaker: made.gauges(
                "gristmill_breaker_state",
                &["subscription", "state"],
                "1 for how the breaker stands that stands worst of all workers': closed, \
                 half-open or open",
            ),
            breaker_transitions: made.counters(
                "gristmill_breaker_transitions_total",
                &["subscription", "state"],
                "Breakers of workers that came to be closed, half-open or open",
            ),
            timer_lateness: made.histograms(
                "gristmill_timer_lateness_seconds",
                SUBSCRIPTION,
                "Time from a timer's due moment to its first attempt",
                &LATENESS,
            ),
        }
    }
}

/// What plugins are and use.
#[derive(Debug)]
pub(super) struct PluginInstruments {
    pub(super) memory: IntGaugeVec,
    pub(super) busy: CounterVec,
    pub(super) fuel: IntCounterVec,
    pub(super) traps: IntCounterVec,
    pub(super) info: IntGaugeVec,
    pub(super) load_failures: IntCounterVec,
}

impl PluginInstruments {
    pub(super) fn new(made: &mut Catalogue) -> Self {
        Self {
            memory: made.gauges(
                "gristmill_plugin_memory_bytes",
                PLUGIN,
                "Most memory an instance of the version in use had",
            ),
            busy: made.durations(
                "gristmill_plugin_busy_seconds_total",
                PLUGIN,
                "Time attempts held their worker: guest code, host calls, making and ending \
                 instances",
            ),
            fuel: made.counters(
                "gristmill_plugin_fuel_total",
                PLUGIN,
                "Fuel used, where it is metered",
            ),
            traps: made.counters("gristmill_plugin_traps_total", PLUGIN, "Guests trapped"),
            info: made.gauges(
                "gristmill_plugin_info",
                &["plugin", "digest", "component"],
                "Always 1; digests of the version in use, and of its component alone",
            ),
            load_failures: made.counters(
                "gristmill_plugin_load_failures_total",
                PLUGIN,
                "Files refused: the version before goes on",
            ),
        }
    }
}

/// What the store does and holds.
#[derive(Debug)]
pub(super) struct StorageInstruments {
    pub(super) checkpoint_duration: HistogramVec,
    pub(super) worker_time: CounterVec,
    pub(super) dedupe_evicted: IntCounterVec,
    pub(super) state_bytes: IntGaugeVec,
    pub(super) disk_bytes: IntGaugeVec,
    pub(super) free_bytes: IntGaugeVec,
    pub(super) storage_low: IntGaugeVec,
}

impl StorageInstruments {
    pub(super) fn new(made: &mut Catalogue) -> Self {
        Self {
            checkpoint_duration: made.histograms(
                "gristmill_checkpoint_duration_seconds",
                NONE,
                "Time from handing a checkpoint to the store to its being durable",
                &SECONDS,
            ),
            worker_time: made.durations(
                "gristmill_store_worker_seconds_total",
                NONE,
                "Time workers spent in the store, besides what handlers asked of it",
            ),
            dedupe_evicted: made.counters(
                "gristmill_dedupe_evicted_early_total",
                NONE,
                "Dedupe marks forgotten before their age since the start",
            ),
            state_bytes: made.gauges(
                "gristmill_state_bytes",
                NONE,
                "State on disk, with what compaction has still to remove",
            ),
            disk_bytes: made.gauges(
                "gristmill_storage_used_bytes",
                NONE,
                "Everything the store has on disk",
            ),
            free_bytes: made.gauges(
                "gristmill_storage_free_bytes",
                NONE,
                "Free space of the file system the store is on",
            ),
            storage_low: made.gauges(
                "gristmill_storage_low",
                NONE,
                "1 while free space is under the reserve and ingest is refused",
            ),
        }
    }
}

/// What comes in over HTTP.
#[derive(Debug)]
pub(super) struct SurfaceInstruments {
    pub(super) ingested: IntCounterVec,
    pub(super) http_requests: IntCounterVec,
    pub(super) http_streams: IntGaugeVec,
    pub(super) commands: IntCounterVec,
    pub(super) command_duration: HistogramVec,
    pub(super) commands_waiting: IntGaugeVec,
    pub(super) registry_requests: IntCounterVec,
    pub(super) published: IntCounterVec,
    pub(super) spans: IntCounterVec,
}

impl SurfaceInstruments {
    pub(super) fn new(made: &mut Catalogue) -> Self {
        Self {
            ingested: made.counters(
                "gristmill_events_ingested_total",
                &["topic"],
                "Events taken over HTTP and durable",
            ),
            http_requests: made.counters(
                "gristmill_http_requests_total",
                &["route", "status"],
                "Requests answered, by route pattern and status",
            ),
            http_streams: made.gauges(
                "gristmill_http_event_streams",
                NONE,
                "Event streams open now",
            ),
            commands: made.counters(
                "gristmill_commands_total",
                &["command", "outcome"],
                "Commands answered: replied, replayed, dead_lettered, fell_back, timed_out or \
                 refused",
            ),
            command_duration: made.histograms(
                "gristmill_command_duration_seconds",
                &["command"],
                "Time from taking a command to its handler's reply",
                &SECONDS,
            ),
            commands_waiting: made.gauges(
                "gristmill_commands_waiting",
                NONE,
                "Senders of commands that wait for an answer now",
            ),
            registry_requests: made.counters(
                "gristmill_schema_registry_requests_total",
                &["result"],
                "Requests to the schema registry, by result: ok or error",
            ),
            published: made.counters(
                "kafka_events_published_total",
                &["topic", "service"],
                "Events published, by topic, and by plugin or host; only with \
                 `telemetry.events_published`, or where metrics are sent over OTLP",
            ),
            spans: made.counters(
                "gristmill_spans_total",
                &["result"],
                "Spans for the collector, by what became of them: sent, dropped or refused",
            ),
        }
    }
}

/// What becomes of rows of outboxes.
#[derive(Debug)]
pub(super) struct OutboxInstruments {
    pub(super) pending: IntGaugeVec,
    pub(super) lag: GaugeVec,
    pub(super) published: IntCounterVec,
    pub(super) parked: IntGaugeVec,
    pub(super) errors: IntCounterVec,
    pub(super) shards: IntGaugeVec,
}

impl OutboxInstruments {
    pub(super) fn new(made: &mut Catalogue) -> Self {
        Self {
            pending: made.gauges(
                "gristmill_outbox_pending",
                OUTBOX,
                "Rows that wait to be published, a million at most; the same on every host",
            ),
            lag: made.float_gauges(
                "gristmill_outbox_lag_seconds",
                OUTBOX,
                "Age of the oldest row that waits to be published; the same on every host",
            ),
            published: made.counters(
                "gristmill_outbox_published_total",
                OUTBOX,
                "Rows published by this host, and marked",
            ),
            parked: made.gauges(
                "gristmill_outbox_parked",
                OUTBOX,
                "Rows of this host's shards that cannot be published",
            ),
            errors: made.counters(
                "gristmill_outbox_errors_total",
                OUTBOX,
                "Times that the database, or publishing, failed and was tried again",
            ),
            shards: made.gauges("gristmill_outbox_shards", OUTBOX, "Shards that this host holds"),
        }
    }
}
