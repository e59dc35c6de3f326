//! Owns the instruments of one subscription, looked up once: counting an event touches atomics and
//! no table of labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use gristmill_engine::{FailureClass, Instant, Millis};
use gristmill_plugin_host::Usage;
use prometheus::{Counter, Histogram, IntCounter, IntGauge};

use super::Metrics;
use crate::envelope::class_name;

const CLASSES: [FailureClass; 8] = [
    FailureClass::Retryable,
    FailureClass::Rejected,
    FailureClass::Invalid,
    FailureClass::Output,
    FailureClass::Trap,
    FailureClass::Timeout,
    FailureClass::Memory,
    FailureClass::Infrastructure,
];

/// Terminal outcomes, as the label `outcome` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Its effects apply.
    Committed,
    /// Settled already.
    Duplicate,
    /// Not wanted.
    Filtered,
    /// Given up on.
    DeadLettered,
    /// Thrown away by policy.
    Discarded,
}

impl Outcome {
    const ALL: [Self; 5] =
        [Self::Committed, Self::Duplicate, Self::Filtered, Self::DeadLettered, Self::Discarded];

    fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Duplicate => "duplicate",
            Self::Filtered => "filtered",
            Self::DeadLettered => "dead_lettered",
            Self::Discarded => "discarded",
        }
    }
}

/// The instruments of one subscription and its plugin. Get one from [`Metrics::subscription`] and
/// keep it.
#[derive(Debug)]
pub(crate) struct SubscriptionMetrics {
    consumed: BTreeMap<Arc<str>, IntCounter>,
    completed: BTreeMap<Outcome, IntCounter>,
    attempts_succeeded: IntCounter,
    attempts_failed: BTreeMap<FailureClass, IntCounter>,
    dead_letters: BTreeMap<FailureClass, IntCounter>,
    process_duration: Histogram,
    queue_wait: Histogram,
    end_to_end: Histogram,
    timer_lateness: Histogram,
    emissions: IntCounter,
    dedupe_hits: IntCounter,
    stale: IntCounter,
    skipped: IntCounter,
    last_processed: IntGauge,
    busy: Counter,
    fuel: IntCounter,
    traps: IntCounter,
    memory: IntGauge,
}

impl SubscriptionMetrics {
    pub(super) fn new(metrics: &Metrics, name: &str, plugin: &str, topics: &[Arc<str>]) -> Self {
        let counter = |vec: &prometheus::IntCounterVec| vec.with_label_values(&[name]);
        let gauge = |vec: &prometheus::IntGaugeVec| vec.with_label_values(&[name]);
        let histogram = |vec: &prometheus::HistogramVec| vec.with_label_values(&[name]);
        let attempts =
            |class: &str| metrics.events.attempts.with_label_values(&[name, plugin, class]);
        let per_class = |make: &dyn Fn(&str) -> IntCounter| {
            CLASSES.into_iter().map(|class| (class, make(class_name(class)))).collect()
        };
        let consumed = |topic: &Arc<str>| {
            (Arc::clone(topic), metrics.events.consumed.with_label_values(&[name, &**topic]))
        };
        let completed = |outcome: Outcome| {
            (outcome, metrics.events.completed.with_label_values(&[name, outcome.name()]))
        };
        Self {
            consumed: topics.iter().map(consumed).collect(),
            completed: Outcome::ALL.into_iter().map(completed).collect(),
            attempts_succeeded: attempts("success"),
            attempts_failed: per_class(&attempts),
            dead_letters: per_class(&|class| {
                metrics.events.dead_letters.with_label_values(&[name, class])
            }),
            process_duration: histogram(&metrics.events.process_duration),
            queue_wait: histogram(&metrics.events.queue_wait),
            end_to_end: histogram(&metrics.events.end_to_end),
            timer_lateness: histogram(&metrics.held.timer_lateness),
            emissions: counter(&metrics.events.emissions),
            dedupe_hits: counter(&metrics.events.dedupe_hits),
            stale: counter(&metrics.events.stale),
            skipped: counter(&metrics.events.skipped),
            last_processed: gauge(&metrics.events.last_processed),
            busy: metrics.plugins.busy.with_label_values(&[plugin]),
            fuel: metrics.plugins.fuel.with_label_values(&[plugin]),
            traps: metrics.plugins.traps.with_label_values(&[plugin]),
            memory: metrics.plugins.memory.with_label_values(&[plugin]),
        }
    }

    /// An event of `topic` was handed to the engine.
    pub(crate) fn consumed(&self, topic: &str) {
        if let Some(counter) = self.consumed.get(topic) {
            counter.inc();
        }
    }

    /// An event reached its terminal outcome durably, `age` after its record's timestamp.
    pub(crate) fn completed(&self, outcome: Outcome, now: Instant, age: Millis) {
        if let Some(counter) = self.completed.get(&outcome) {
            counter.inc();
        }
        if outcome == Outcome::Duplicate {
            self.dedupe_hits.inc();
        }
        if outcome == Outcome::Committed {
            self.end_to_end.observe(seconds(age));
        }
        self.last_processed.set(clamp(now.0 / 1_000));
    }

    /// An event became a dead letter.
    pub(crate) fn dead_lettered(&self, class: FailureClass) {
        if let Some(counter) = self.dead_letters.get(&class) {
            counter.inc();
        }
    }

    /// An attempt ended, with the class of its failure where it failed.
    pub(crate) fn attempted(&self, failure: Option<FailureClass>, took: std::time::Duration) {
        match failure {
            None => self.attempts_succeeded.inc(),
            Some(class) => {
                if let Some(counter) = self.attempts_failed.get(&class) {
                    counter.inc();
                }
            }
        }
        if failure == Some(FailureClass::Trap) {
            self.traps.inc();
        }
        self.process_duration.observe(took.as_secs_f64());
    }

    /// What an attempt used of its sandbox.
    pub(crate) fn used(&self, usage: &Usage) {
        let peak = clamp(usage.memory_bytes_peak);
        if peak > self.memory.get() {
            self.memory.set(peak);
        }
        self.busy.inc_by(usage.busy.as_secs_f64());
        self.fuel.inc_by(usage.fuel.unwrap_or(0));
    }

    /// An attempt began `wait` after its event was read.
    pub(crate) fn waited(&self, wait: Millis) {
        self.queue_wait.observe(seconds(wait));
    }

    /// A timer began `late` after it was due.
    pub(crate) fn timer_fired(&self, late: Millis) {
        self.timer_lateness.observe(seconds(late));
    }

    /// Emissions of an event were staged with its checkpoint.
    pub(crate) fn emitted(&self, count: usize) {
        self.emissions.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// An input or checkpoint of an older generation was dropped.
    pub(crate) fn stale(&self) {
        self.stale.inc();
    }

    /// Retention removed `count` events before they were read.
    pub(crate) fn skipped(&self, count: u64) {
        self.skipped.inc_by(count);
    }
}

fn seconds(span: Millis) -> f64 {
    std::time::Duration::from_millis(span.0).as_secs_f64()
}

/// Gauges are signed; nothing counted here reaches half of the range.
pub(super) fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
