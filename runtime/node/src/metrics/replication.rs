//! Declares and counts what is copied to other clusters. It decides nothing.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::Metrics;
use super::catalogue::Catalogue;
use super::subscription::clamp;

/// Topics of replications.
const TOPIC: &[&str] = &["replication", "topic"];

/// What is copied to other clusters.
#[derive(Debug)]
pub(super) struct ReplicationInstruments {
    records: IntCounterVec,
    skipped: IntCounterVec,
    lag: IntGaugeVec,
    lag_seconds: GaugeVec,
    up: IntGaugeVec,
    /// Topics whose lag is shown.
    shown: Mutex<BTreeSet<(String, String)>>,
}

impl ReplicationInstruments {
    pub(super) fn new(made: &mut Catalogue) -> Self {
        Self {
            records: made.counters(
                "gristmill_replication_records_total",
                TOPIC,
                "Records copied to another cluster and durable there",
            ),
            skipped: made.counters(
                "gristmill_replication_skipped_total",
                &["replication", "topic", "reason"],
                "Records not copied: they have been there (loop), are never taken (refused) or \
                 were removed before (lost)",
            ),
            lag: made.gauges(
                "gristmill_replication_lag",
                TOPIC,
                "Records not copied yet, of the partitions that this host copies",
            ),
            lag_seconds: made.float_gauges(
                "gristmill_replication_lag_seconds",
                TOPIC,
                "Age of the oldest of them; 0 when there are none",
            ),
            up: made.gauges(
                "gristmill_replication_up",
                &["replication"],
                "1 while the other cluster answers and takes what is copied, else 0",
            ),
            shown: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Records of a topic are durable over there: so many; so many have been there before, and so
    /// many are left out.
    pub(crate) fn replicated(
        &self,
        name: &str,
        topic: &str,
        (copied, looped, refused): (u64, u64, u64),
    ) {
        self.replication.records.with_label_values(&[name, topic]).inc_by(copied);
        for (reason, records) in [("loop", looped), ("refused", refused)] {
            self.replication.skipped.with_label_values(&[name, topic, reason]).inc_by(records);
        }
    }

    /// Records of a topic were removed before they were copied.
    pub(crate) fn replication_lost(&self, name: &str, topic: &str, records: u64) {
        self.replication.skipped.with_label_values(&[name, topic, "lost"]).inc_by(records);
    }

    /// Sets whether a replication copies what there is.
    pub(crate) fn set_replication_up(&self, name: &str, is_up: bool) {
        self.replication.up.with_label_values(&[name]).set(i64::from(is_up));
    }

    /// Sets how far a replication is behind in each of its topics, in records and in seconds.
    /// Topics that it has no more are not shown any more.
    pub(crate) fn set_replication_lags(&self, name: &str, behind: &[(&str, (u64, f64))]) {
        let instruments = &self.replication;
        let mut shown = instruments.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let is_gone = |(of, topic): &(String, String)| {
            of == name && !behind.iter().any(|(known, _)| known == topic)
        };
        for gone in shown.extract_if(.., is_gone).collect::<Vec<_>>() {
            // What is not there need not be taken away.
            drop(instruments.lag.remove_label_values(&[&gone.0, &gone.1]));
            drop(instruments.lag_seconds.remove_label_values(&[&gone.0, &gone.1]));
        }
        for (topic, (records, seconds)) in behind {
            instruments.lag.with_label_values(&[name, topic]).set(clamp(*records));
            instruments.lag_seconds.with_label_values(&[name, topic]).set(*seconds);
            shown.insert((name.to_owned(), (*topic).to_owned()));
        }
    }
}
