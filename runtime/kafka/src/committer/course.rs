//! Owns what is known of one checkpoint while it is committed: what was acknowledged of it and how
//! long its steps took. It decides nothing.

use std::time::{Duration, Instant};

use gristmill_engine::Offset;
use gristmill_engine::transaction::Step;

use super::Transaction;

/// One checkpoint on its way.
pub(super) struct Course<'a> {
    pub(super) transaction: &'a Transaction,
    /// Offsets of its records, as far as they are acknowledged.
    offsets: Vec<Offset>,
    began: Instant,
    /// When the last step ended that is told of.
    since: Instant,
    /// How long the coordinator took to take the first offsets.
    admitted: Option<Duration>,
    /// How long it all took, until it ended or failed.
    took: Duration,
}

impl<'a> Course<'a> {
    pub(super) fn new(transaction: &'a Transaction) -> Self {
        let now = Instant::now();
        let (offsets, took) = (Vec::new(), Duration::ZERO);
        Self { transaction, offsets, began: now, since: now, admitted: None, took }
    }

    /// How long it is since the step before.
    pub(super) fn step(&mut self) -> Duration {
        let now = Instant::now();
        let took = now.duration_since(self.since);
        self.since = now;
        took
    }

    /// The coordinator takes it; how long that took.
    pub(super) fn admit(&mut self) -> Duration {
        let took = self.step();
        self.admitted = Some(took);
        took
    }

    /// The coordinator's answer, and the time of all of it, where there was an answer.
    pub(super) fn admitted(&self) -> Option<(Duration, Duration)> {
        self.admitted.map(|admitted| (admitted, self.took))
    }

    /// A step is over. Time without a producer is none of the checkpoint's, and neither is what
    /// comes after its failure.
    pub(super) fn note(&mut self, step: Step) {
        match step {
            Step::Initialise if self.admitted.is_none() => {
                self.began = Instant::now();
                self.since = self.began;
            }
            Step::Initialise | Step::Trace | Step::Abort => {}
            Step::Begin
            | Step::Offsets(_)
            | Step::HandOver(_)
            | Step::Await(_)
            | Step::Blame
            | Step::Commit
            | Step::Reason => self.took = self.began.elapsed(),
        }
    }

    /// More of its records are acknowledged.
    pub(super) fn keep(&mut self, offsets: Vec<Offset>) {
        self.offsets.extend(offsets);
    }

    pub(super) fn into_offsets(self) -> Vec<Offset> {
        self.offsets
    }
}
