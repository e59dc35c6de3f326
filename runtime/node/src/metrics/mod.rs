//! Owns every instrument of a host under the names that `docs/metrics.md` lists. It decides nothing
//! and reads no event.

mod catalogue;
mod clients;
mod collectors;
mod instruments;
mod kafka;
mod messaging;
mod meter;
mod replication;
mod snapshots;
mod subscription;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use gristmill_engine::{Circuit, Figures, Instant};
use gristmill_store::{Figures as StoreFigures, Space};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Registry, TextEncoder};

use self::catalogue::Catalogue;
use self::clients::ClientInstruments;
use self::collectors::{Borrowed, Process};
use self::instruments::{
    EventInstruments, HeldInstruments, OutboxInstruments, PluginInstruments, StorageInstruments,
    SurfaceInstruments,
};
use self::kafka::KafkaInstruments;
pub(crate) use self::meter::Meter;
use self::replication::ReplicationInstruments;
use self::snapshots::SnapshotInstruments;
use self::subscription::clamp;
pub(crate) use self::subscription::{Outcome, SubscriptionMetrics};

/// Bounds of durations in seconds: those of the semantic conventions for messaging, and two finer
/// ones, because a handler takes tens of microseconds.
const SECONDS: [f64; 17] = [
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];
/// Bounds of lateness in seconds: overdue timers wait for backlogs, which can take hours.
const LATENESS: [f64; 10] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0];

/// All instruments of a host.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with the documentation"))]
    entries: Vec<catalogue::Entry>,
    events: EventInstruments,
    held: HeldInstruments,
    plugins: PluginInstruments,
    storage: StorageInstruments,
    surface: SurfaceInstruments,
    outbox: OutboxInstruments,
    kafka: KafkaInstruments,
    clients: ClientInstruments,
    replication: ReplicationInstruments,
    snapshots: SnapshotInstruments,
    fsync_duration: Borrowed,
    process: ProcessGauges,
    /// Digest shown per plugin, to take it back when another takes over.
    shown: Mutex<BTreeMap<String, [String; 2]>>,
}

#[derive(Debug)]
struct ProcessGauges {
    resident: IntGaugeVec,
    cpu: prometheus::Gauge,
    threads: IntGaugeVec,
    open_fds: IntGaugeVec,
}

/// All a breaker can be.
const CIRCUITS: [Circuit; 3] = [Circuit::Closed, Circuit::HalfOpen, Circuit::Open];

/// The word for how a breaker stands, in labels and JSON.
pub(crate) fn circuit_name(circuit: Circuit) -> &'static str {
    match circuit {
        Circuit::Closed => "closed",
        Circuit::HalfOpen => "half-open",
        Circuit::Open => "open",
    }
}

const SUBSCRIPTION: &[&str] = &["subscription"];
const OUTBOX: &[&str] = &["outbox"];
const PLUGIN: &[&str] = &["plugin"];
const NONE: &[&str] = &[];

impl Metrics {
    /// All instruments, at zero.
    pub(crate) fn new() -> Self {
        let mut made = Catalogue::default();
        let fsync = ("gristmill_fsync_duration_seconds", "Time of one write and sync of the store");
        made.add("histogram", fsync.0, NONE, fsync.1);
        let fsync_duration = made.register(Borrowed::new(fsync.0, fsync.1));
        let build = made.gauges(
            "gristmill_build_info",
            &["version"],
            "Always 1; the version is in the label",
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            events: EventInstruments::new(&mut made),
            held: HeldInstruments::new(&mut made),
            plugins: PluginInstruments::new(&mut made),
            storage: StorageInstruments::new(&mut made),
            surface: SurfaceInstruments::new(&mut made),
            outbox: OutboxInstruments::new(&mut made),
            kafka: KafkaInstruments::new(&mut made),
            clients: ClientInstruments::new(&mut made),
            replication: ReplicationInstruments::new(&mut made),
            snapshots: SnapshotInstruments::new(&mut made),
            fsync_duration,
            process: ProcessGauges::new(&mut made),
            shown: Mutex::default(),
            registry: made.registry,
            entries: made.entries,
        }
    }

    /// The instruments of a subscription, for the life of one binding. `topics` are those it
    /// reads. Counters go on where an earlier binding of the same name left them.
    pub(crate) fn subscription(
        &self,
        name: &str,
        plugin: &str,
        topics: &[ByteString],
    ) -> Arc<SubscriptionMetrics> {
        Arc::new(SubscriptionMetrics::new(self, name, plugin, topics))
    }

    /// A plugin's version took over.
    pub(crate) fn plugin_activated(&self, plugin: &str, digest: &str, component: &str) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let now = [digest.to_owned(), component.to_owned()];
        if shown.get(plugin) == Some(&now) {
            return;
        }
        if let Some([digest, component]) = shown.insert(plugin.to_owned(), now) {
            // What is not there need not be taken away.
            drop(self.plugins.info.remove_label_values(&[plugin, &digest, &component]));
            self.plugins.memory.with_label_values(&[plugin]).set(0);
        }
        self.plugins.info.with_label_values(&[plugin, digest, component]).set(1);
    }

    /// Files of a plugin were refused.
    pub(crate) fn plugin_load_failed(&self, plugin: &str) {
        self.plugins.load_failures.with_label_values(&[plugin]).inc();
    }

    /// A checkpoint is durable.
    pub(crate) fn checkpointed(&self, took: Duration) {
        self.storage.checkpoint_duration.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
    }

    /// Workers spent this time in the store.
    pub(crate) fn stored(&self, time: Duration) {
        self.storage.worker_time.with_label_values::<&str>(&[]).inc_by(time.as_secs_f64());
    }

    /// Sets what the engines hold of a subscription: the sum over all workers, the oldest of all.
    pub(crate) fn set_figures(&self, subscription: &str, figures: &Figures) {
        let set = |gauge: &IntGaugeVec, value| {
            gauge.with_label_values(&[subscription]).set(clamp(value));
        };
        set(&self.held.lanes_active, figures.lanes_active);
        set(&self.held.lanes_parked, figures.lanes_parked);
        set(&self.held.parked_events, figures.parked_events);
        set(&self.held.oldest_parked, figures.oldest_parked.map_or(0, |at| at.0 / 1_000));
        set(&self.held.in_flight, figures.events_in_flight);
        set(&self.held.retries, figures.retries_scheduled);
        set(&self.held.timers, figures.timers_pending);
        for circuit in CIRCUITS {
            let gauge = self.held.breaker.with_label_values(&[subscription, circuit_name(circuit)]);
            gauge.set(i64::from(circuit == figures.circuit));
        }
    }

    /// Sets how far a subscription is behind in one partition.
    pub(crate) fn set_lag(&self, subscription: &str, topic: &str, partition: u32, events: u64) {
        let partition = partition.to_string();
        self.held.lag.with_label_values(&[subscription, topic, &partition]).set(clamp(events));
    }

    /// A partition is another host's: what was shown of it would stay for ever.
    pub(crate) fn forget_lag(&self, subscription: &str, topic: &str, partition: u32) {
        let partition = partition.to_string();
        // What is not there need not be taken away.
        drop(self.held.lag.remove_label_values(&[subscription, topic, &partition]));
    }

    /// Sets how many dead letters a topic holds.
    pub(crate) fn set_dlq_backlog(&self, subscription: &str, topic: &str, events: u64) {
        self.held.dlq_backlog.with_label_values(&[subscription, topic]).set(clamp(events));
    }

    /// Sets what the store says of itself.
    pub(crate) fn set_store(&self, figures: StoreFigures, space: Space) {
        let set = |gauge: &IntGaugeVec, value| gauge.with_label_values::<&str>(&[]).set(value);
        set(&self.storage.state_bytes, clamp(figures.state.0));
        set(&self.storage.disk_bytes, clamp(figures.disk.0));
        let evicted = self.storage.dedupe_evicted.with_label_values::<&str>(&[]);
        evicted.inc_by(figures.marks_evicted.saturating_sub(evicted.get()));
        set(&self.storage.free_bytes, clamp(space.free.0));
        set(&self.storage.storage_low, i64::from(space.low));
        self.fsync_duration.set(figures.sync);
    }

    /// Events of a topic, taken over HTTP, are durable.
    pub(crate) fn ingested(&self, topic: &str, count: u64) {
        self.surface.ingested.with_label_values(&[topic]).inc_by(count);
    }

    /// A request was answered.
    pub(crate) fn http_answered(&self, route: &str, status: u16) {
        self.surface.http_requests.with_label_values(&[route, &status.to_string()]).inc();
    }

    /// Sets how many event streams are open.
    pub(crate) fn set_http_streams(&self, open: usize) {
        let open = i64::try_from(open).unwrap_or(i64::MAX);
        self.surface.http_streams.with_label_values::<&str>(&[]).set(open);
    }

    /// A command was answered: with what, and how long that took where it was its reply.
    pub(crate) fn command_answered(&self, command: &str, outcome: &str, took: Option<Duration>) {
        self.surface.commands.with_label_values(&[command, outcome]).inc();
        if let Some(took) = took {
            let histogram = self.surface.command_duration.with_label_values(&[command]);
            histogram.observe(took.as_secs_f64());
        }
    }

    /// Events were published to a topic by a plugin, or over HTTP by a host.
    pub(crate) fn published(&self, topic: &str, service: &str, count: u64) {
        self.surface.published.with_label_values(&[topic, service]).inc_by(count);
    }

    /// Rows of an outbox are published and marked.
    pub(crate) fn outbox_published(&self, outbox: &str, rows: u64) {
        self.outbox.published.with_label_values(&[outbox]).inc_by(rows);
    }

    /// Something that an outbox needs failed.
    pub(crate) fn outbox_failed(&self, outbox: &str) {
        self.outbox.errors.with_label_values(&[outbox]).inc();
    }

    /// Sets how many rows of an outbox wait, and how long the oldest has.
    pub(crate) fn set_outbox(&self, outbox: &str, pending: u64, lag: f64) {
        self.outbox.pending.with_label_values(&[outbox]).set(clamp(pending));
        self.outbox.lag.with_label_values(&[outbox]).set(lag);
    }

    /// Sets what this host holds of an outbox: shards, and parked rows.
    pub(crate) fn set_outbox_held(&self, outbox: &str, shards: usize, parked: usize) {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.outbox.shards.with_label_values(&[outbox]).set(number(shards));
        self.outbox.parked.with_label_values(&[outbox]).set(number(parked));
    }

    /// The schema registry was asked, and had an answer or not.
    pub(crate) fn registry_asked(&self, is_answered: bool) {
        let result = if is_answered { "ok" } else { "error" };
        self.surface.registry_requests.with_label_values(&[result]).inc();
    }

    /// Sets how many senders of commands wait.
    pub(crate) fn set_commands_waiting(&self, senders: u32) {
        self.surface.commands_waiting.with_label_values::<&str>(&[]).set(i64::from(senders));
    }

    /// Everything in Prometheus' text format. Call the setters first: gauges show what was last
    /// set.
    pub(crate) fn render(&self) -> String {
        self.process.refresh();
        let mut text = String::new();
        // Writing to a string cannot fail, and every family has a name.
        let encoded = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        if let Err(error) = encoded {
            tracing::error!(%error, "render metrics");
        }
        text
    }

    /// Everything as families, and what of it the semantic conventions for messaging have names
    /// for under those too. Call the setters first.
    pub(crate) fn told(&self, system: &str) -> Vec<MetricFamily> {
        self.process.refresh();
        let mut families = self.registry.gather();
        families.extend(messaging::messaging(&families, system));
        families
    }

    /// Spans, by what became of them, to be counted by whoever sends them.
    pub(crate) fn spans(&self) -> IntCounterVec {
        self.surface.spans.clone()
    }

    /// The moment of the last durable outcome of a subscription, if there was one.
    pub(crate) fn last_processed(&self, subscription: &str) -> Option<Instant> {
        let seconds = self.events.last_processed.with_label_values(&[subscription]).get();
        u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(|it| Instant(it * 1_000))
    }

    #[cfg(test)]
    fn rows(&self) -> Vec<String> {
        let row = |entry: &catalogue::Entry| {
            let labels = entry.labels.iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            format!("| `{}` | {} | {labels} | {} |", entry.name, entry.kind, entry.help)
        };
        let mut rows: Vec<String> = self.entries.iter().map(row).collect();
        rows.sort();
        rows
    }
}

impl ProcessGauges {
    fn new(made: &mut Catalogue) -> Self {
        let cpu = ("process_cpu_seconds_total", "Processor time used, user and system");
        made.add("gauge", cpu.0, NONE, cpu.1);
        Self {
            resident: made.gauges("process_resident_memory_bytes", NONE, "Resident memory"),
            cpu: made.register(prometheus::Gauge::new(cpu.0, cpu.1)),
            threads: made.gauges("process_threads", NONE, "Threads"),
            open_fds: made.gauges("process_open_fds", NONE, "Open file descriptors"),
        }
    }

    fn refresh(&self) {
        let process = Process::read();
        let set = |gauge: &IntGaugeVec, value| {
            gauge.with_label_values::<&str>(&[]).set(clamp(value));
        };
        set(&self.resident, process.resident_bytes);
        set(&self.threads, process.threads);
        set(&self.open_fds, process.open_fds);
        self.cpu.set(Duration::from_millis(process.cpu_ms).as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
