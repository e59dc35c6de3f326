//! Counts what a worker does. It decides nothing and keeps nothing but numbers.

use gristmill_engine::{Observation, Progress, SubscriptionId, Terminal, Version};
use gristmill_plugin_host::Finished;
use gristmill_store::Change;

use super::Worker;
use super::attempts::Invocation;

impl Worker {
    /// An attempt ended.
    pub(super) fn measure(&self, invocation: &Invocation, finished: &Finished) {
        let _ = (invocation, finished);
    }

    /// An event reached its terminal outcome.
    pub(super) fn count_outcome(&self, subscription: SubscriptionId, outcome: &Terminal) {
        let _ = (subscription, outcome);
    }

    /// A checkpoint carries this progress.
    pub(super) fn note_progress(&self, progress: &Progress) {
        let ahead = progress.finished.iter().map(|range| range.to.0.saturating_sub(range.from.0));
        let place = (progress.subscription, progress.topic, progress.partition);
        self.shared.progress.note(place, progress.next, ahead.sum());
    }

    /// Remembers durably which version a subscription uses.
    pub(super) fn stage_version(&mut self, subscription: SubscriptionId, version: Version) {
        let _ = (subscription, version);
        let _unused: Option<Change> = None;
    }

    /// The engine saw something worth counting.
    pub(super) fn observe(&self, observation: Observation) {
        let _ = observation;
    }
}
