//! Declares and counts what happens between a host and its cluster. It decides nothing.

use std::sync::Arc;

use gristmill_kafka::{Hook, Membered, Step};
use prometheus::{CounterVec, IntCounter, IntCounterVec};

use super::Metrics;
use super::catalogue::Catalogue;

/// What happens between a host and its cluster.
#[derive(Debug)]
pub(super) struct KafkaInstruments {
    rebalances: IntCounterVec,
    aborts: IntCounterVec,
    restored: IntCounterVec,
    steps: CounterVec,
}

/// Counts what a consumer group says to one subscription.
#[derive(Debug, Clone)]
pub(crate) struct Rebalances {
    assigned: IntCounter,
    revoked: IntCounter,
    lost: IntCounter,
}

impl KafkaInstruments {
    pub(super) fn new(made: &mut Catalogue) -> Self {
        Self {
            rebalances: made.counters(
                "gristmill_rebalances_total",
                &["subscription", "event"],
                "What the consumer group decided: partitions were assigned, revoked or lost",
            ),
            aborts: made.counters(
                "gristmill_txn_aborts_total",
                &["reason"],
                "Transactions that were aborted; what they held was done again",
            ),
            restored: made.counters(
                "gristmill_restored_records_total",
                &["subscription"],
                "Records taken over from changelogs into the store",
            ),
            steps: made.durations(
                "gristmill_transaction_seconds_total",
                &["step"],
                "Time in the steps of checkpoints on Kafka: admission by the coordinator, sending \
                 of records, offsets, acknowledgement of records, end, pause until the next",
            ),
        }
    }
}

impl Rebalances {
    /// Counts one word of the group.
    pub(crate) fn count(&self, told: &Membered) {
        match told {
            Membered::Assigned(..) => self.assigned.inc(),
            Membered::Revoked(_) => self.revoked.inc(),
            Membered::Lost(_) => self.lost.inc(),
            Membered::Failed(_) => {}
        }
    }
}

impl Metrics {
    /// Counts what the group of a subscription says.
    pub(crate) fn rebalances(&self, subscription: &str) -> Rebalances {
        let of = |event| self.kafka.rebalances.with_label_values(&[subscription, event]);
        Rebalances { assigned: of("assigned"), revoked: of("revoked"), lost: of("lost") }
    }

    /// A transaction was aborted.
    pub(crate) fn transaction_aborted(&self, reason: &str) {
        self.kafka.aborts.with_label_values(&[reason]).inc();
    }

    /// Counts the time of each step of a checkpoint, and goes on to `then`.
    pub(crate) fn transaction_steps(&self, then: Option<Hook>) -> Hook {
        let of = |step| self.kafka.steps.with_label_values(&[step]);
        let names = ["admission", "sending", "offsets", "acknowledgement", "end", "pause"];
        let seconds = names.map(of);
        Arc::new(move |step, took| {
            let [admission, sending, offsets, acknowledgement, end, pause] = &seconds;
            let counter = match step {
                Step::Admitted => admission,
                Step::Begun => sending,
                Step::Written => acknowledgement,
                Step::OffsetsSent => offsets,
                Step::Committed => end,
                Step::Waited => pause,
            };
            counter.inc_by(took.as_secs_f64());
            if let Some(then) = &then {
                then(step, took);
            }
        })
    }

    /// Records of a changelog were taken over.
    pub(crate) fn restored(&self, subscription: &str, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.kafka.restored.with_label_values(&[subscription]).inc_by(records);
    }
}
