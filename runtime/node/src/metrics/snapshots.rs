//! Shows how old and how large snapshots are. It reads none.

use gristmill_engine::Instant;
use prometheus::IntGaugeVec;

use super::catalogue::Catalogue;
use super::{Metrics, SUBSCRIPTION, clamp};

/// What is kept of subscriptions.
#[derive(Debug)]
pub(super) struct SnapshotInstruments {
    newest: IntGaugeVec,
    bytes: IntGaugeVec,
}

impl SnapshotInstruments {
    pub(super) fn new(made: &mut Catalogue) -> Self {
        Self {
            newest: made.gauges(
                "gristmill_snapshot_newest_timestamp_seconds",
                SUBSCRIPTION,
                "When the newest snapshot was taken, in seconds since 1970; 0 for none",
            ),
            bytes: made.gauges(
                "gristmill_snapshots_bytes",
                SUBSCRIPTION,
                "Size of all snapshots of a subscription on this host",
            ),
        }
    }
}

impl Metrics {
    /// Sets when the newest snapshot was taken, 0 for none, and the size of all.
    pub(crate) fn set_snapshots(&self, subscription: &str, newest: Instant, bytes: u64) {
        let newest = clamp(newest.0 / 1_000);
        self.snapshots.newest.with_label_values(&[subscription]).set(newest);
        self.snapshots.bytes.with_label_values(&[subscription]).set(clamp(bytes));
    }
}
