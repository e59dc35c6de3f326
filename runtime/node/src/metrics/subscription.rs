//! Owns the instruments of one subscription, looked up once: counting touches no table of labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;
use gristmill_engine::{Circuit, FailureClass, Millis};
use prometheus::{Counter, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::{CIRCUITS, Meter, Metrics, circuit_name};
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
    /// Handed on to the partition of its key.
    Forwarded,
    /// Passed on because the breaker was open.
    FellBack,
    /// Given up on.
    DeadLettered,
    /// Thrown away by policy.
    Discarded,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Committed,
        Self::Duplicate,
        Self::Filtered,
        Self::Forwarded,
        Self::FellBack,
        Self::DeadLettered,
        Self::Discarded,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Duplicate => "duplicate",
            Self::Filtered => "filtered",
            Self::Forwarded => "forwarded",
            Self::FellBack => "fell_back",
            Self::DeadLettered => "dead_lettered",
            Self::Discarded => "discarded",
        }
    }
}

/// The instruments of one subscription and its plugin. Get them from [`Metrics::subscription`] and
/// keep them.
#[derive(Debug)]
pub(crate) struct SubscriptionMetrics {
    pub(super) consumed: BTreeMap<ByteString, IntCounter>,
    pub(super) completed: BTreeMap<Outcome, IntCounter>,
    pub(super) attempts_succeeded: IntCounter,
    attempts_failed: BTreeMap<FailureClass, IntCounter>,
    dead_letters: BTreeMap<FailureClass, IntCounter>,
    pub(super) process_duration: Histogram,
    pub(super) queue_wait: Histogram,
    pub(super) end_to_end: Histogram,
    timer_lateness: Histogram,
    pub(super) emissions: IntCounter,
    pub(super) dedupe_hits: IntCounter,
    stale: IntCounter,
    skipped: IntCounter,
    transitions: BTreeMap<Circuit, IntCounter>,
    pub(super) last_processed: IntGauge,
    pub(super) busy: Counter,
    pub(super) fuel: IntCounter,
    traps: IntCounter,
    pub(super) memory: IntGauge,
    published: IntCounterVec,
    plugin: String,
}

impl SubscriptionMetrics {
    pub(super) fn new(metrics: &Metrics, name: &str, plugin: &str, topics: &[ByteString]) -> Self {
        let counter = |vec: &IntCounterVec| vec.with_label_values(&[name]);
        let gauge = |vec: &prometheus::IntGaugeVec| vec.with_label_values(&[name]);
        let histogram = |vec: &prometheus::HistogramVec| vec.with_label_values(&[name]);
        let attempts =
            |class: &str| metrics.events.attempts.with_label_values(&[name, plugin, class]);
        let per_class = |make: &dyn Fn(&str) -> IntCounter| {
            CLASSES.into_iter().map(|class| (class, make(class_name(class)))).collect()
        };
        let consumed = |topic: &ByteString| {
            (topic.clone(), metrics.events.consumed.with_label_values(&[name, &**topic]))
        };
        let completed = |outcome: Outcome| {
            (outcome, metrics.events.completed.with_label_values(&[name, outcome.name()]))
        };
        let transitions = |circuit: Circuit| {
            let labels = [name, circuit_name(circuit)];
            (circuit, metrics.held.breaker_transitions.with_label_values(&labels))
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
            transitions: CIRCUITS.into_iter().map(transitions).collect(),
            last_processed: gauge(&metrics.events.last_processed),
            busy: metrics.plugins.busy.with_label_values(&[plugin]),
            fuel: metrics.plugins.fuel.with_label_values(&[plugin]),
            traps: metrics.plugins.traps.with_label_values(&[plugin]),
            memory: metrics.plugins.memory.with_label_values(&[plugin]),
            published: metrics.surface.published.clone(),
            plugin: plugin.to_owned(),
        }
    }

    /// What its plugin published to a topic.
    pub(super) fn published(&self, topic: &str) -> IntCounter {
        self.published.with_label_values(&[topic, &self.plugin])
    }

    /// Counts of one worker, told to these now and then.
    pub(crate) fn meter(self: &Arc<Self>) -> Meter {
        Meter::new(self)
    }

    /// An event became a dead letter.
    pub(crate) fn dead_lettered(&self, class: FailureClass) {
        if let Some(counter) = self.dead_letters.get(&class) {
            counter.inc();
        }
    }

    /// An attempt failed.
    pub(super) fn failed(&self, class: FailureClass) {
        if let Some(counter) = self.attempts_failed.get(&class) {
            counter.inc();
        }
        if class == FailureClass::Trap {
            self.traps.inc();
        }
    }

    /// A worker's breaker stands otherwise from now on.
    pub(crate) fn breaker(&self, circuit: Circuit) {
        if let Some(counter) = self.transitions.get(&circuit) {
            counter.inc();
        }
    }

    /// A timer began `late` after it was due.
    pub(crate) fn timer_fired(&self, late: Millis) {
        self.timer_lateness.observe(seconds(late));
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

pub(super) fn seconds(span: Millis) -> f64 {
    std::time::Duration::from_millis(span.0).as_secs_f64()
}

/// Gauges are signed; nothing counted here reaches half of the range.
pub(super) fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
