//! Owns what one worker counted of a subscription since it last told the instruments. What happens
//! with every event is counted here first: workers that share an instrument would wait for each
//! other's caches. It decides nothing.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use gristmill_engine::{FailureClass, Instant, Millis};
use gristmill_plugin_host::Usage;
use prometheus::local::{LocalCounter, LocalHistogram, LocalIntCounter};

use super::subscription::{Outcome, SubscriptionMetrics, clamp, seconds};

/// The counts of one subscription on one worker. What it holds is told by [`Meter::tell`], and when
/// it is dropped.
pub(crate) struct Meter {
    instruments: Arc<SubscriptionMetrics>,
    consumed: Vec<(ByteString, LocalIntCounter)>,
    completed: Vec<(Outcome, LocalIntCounter)>,
    succeeded: LocalIntCounter,
    emissions: LocalIntCounter,
    /// By topic, where they are counted.
    published: RefCell<Vec<(ByteString, LocalIntCounter)>>,
    process_duration: LocalHistogram,
    queue_wait: LocalHistogram,
    end_to_end: LocalHistogram,
    busy: LocalCounter,
    fuel: LocalIntCounter,
    memory_peak: Cell<u64>,
    last_processed: Cell<Instant>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Meter").field("instruments", &self.instruments).finish_non_exhaustive()
    }
}

impl Meter {
    pub(super) fn new(instruments: &Arc<SubscriptionMetrics>) -> Self {
        let SubscriptionMetrics { consumed, completed, .. } = &**instruments;
        Self {
            consumed: consumed.iter().map(|(topic, it)| (topic.clone(), it.local())).collect(),
            completed: completed.iter().map(|(outcome, it)| (*outcome, it.local())).collect(),
            succeeded: instruments.attempts_succeeded.local(),
            emissions: instruments.emissions.local(),
            published: RefCell::default(),
            process_duration: instruments.process_duration.local(),
            queue_wait: instruments.queue_wait.local(),
            end_to_end: instruments.end_to_end.local(),
            busy: instruments.busy.local(),
            fuel: instruments.fuel.local(),
            memory_peak: Cell::new(0),
            last_processed: Cell::new(Instant(0)),
            instruments: Arc::clone(instruments),
        }
    }

    /// The instruments behind it, for what happens rarely.
    pub(crate) fn instruments(&self) -> &SubscriptionMetrics {
        &self.instruments
    }

    /// An event of `topic` was handed to the engine.
    pub(crate) fn consumed(&self, topic: &str) {
        if let Some((_, counter)) = self.consumed.iter().find(|(other, _)| **other == *topic) {
            counter.inc();
        }
    }

    /// An event reached its terminal outcome durably, `age` after its record's timestamp.
    pub(crate) fn completed(&self, outcome: Outcome, now: Instant, age: Millis) {
        if let Some((_, counter)) = self.completed.iter().find(|(other, _)| *other == outcome) {
            counter.inc();
        }
        if outcome == Outcome::Duplicate {
            self.instruments.dedupe_hits.inc();
        }
        if outcome == Outcome::Committed {
            self.end_to_end.observe(seconds(age));
        }
        self.last_processed.set(now);
    }

    /// An attempt ended, with the class of its failure where it failed.
    pub(crate) fn attempted(&self, failure: Option<FailureClass>, took: Duration) {
        match failure {
            None => self.succeeded.inc(),
            Some(class) => self.instruments.failed(class),
        }
        self.process_duration.observe(took.as_secs_f64());
    }

    /// What an attempt used of its sandbox.
    pub(crate) fn used(&self, usage: &Usage) {
        self.memory_peak.set(self.memory_peak.get().max(usage.memory_bytes_peak));
        self.busy.inc_by(usage.busy.as_secs_f64());
        if let Some(fuel) = usage.fuel {
            self.fuel.inc_by(fuel);
        }
    }

    /// An attempt began `wait` after its event was read.
    pub(crate) fn waited(&self, wait: Millis) {
        self.queue_wait.observe(seconds(wait));
    }

    /// Emissions of an event were staged with its checkpoint.
    pub(crate) fn emitted(&self, count: usize) {
        self.emissions.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// An event was published to a topic.
    pub(crate) fn published(&self, topic: &ByteString) {
        let mut published = self.published.borrow_mut();
        if let Some((_, counter)) = published.iter().find(|(other, _)| other == topic) {
            return counter.inc();
        }
        let counter = self.instruments.published(topic).local();
        counter.inc();
        published.push((topic.clone(), counter));
    }

    /// Adds what was counted to the instruments.
    pub(crate) fn tell(&self) {
        self.consumed.iter().for_each(|(_, counter)| counter.flush());
        self.completed.iter().for_each(|(_, counter)| counter.flush());
        self.published.borrow().iter().for_each(|(_, counter)| counter.flush());
        for counter in [&self.succeeded, &self.emissions, &self.fuel] {
            counter.flush();
        }
        for histogram in [&self.process_duration, &self.queue_wait, &self.end_to_end] {
            histogram.flush();
        }
        self.busy.flush();
        let peak = clamp(self.memory_peak.replace(0));
        if peak > self.instruments.memory.get() {
            self.instruments.memory.set(peak);
        }
        let processed = clamp(self.last_processed.get().0 / 1_000);
        if processed > self.instruments.last_processed.get() {
            self.instruments.last_processed.set(processed);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.tell();
    }
}
