//! Answers "how many would succeed now?": runs dead letters through the plugin in use, sees what
//! it would do, and does nothing of it; no request leaves the host either.

use std::collections::BTreeMap;
use std::sync::Arc;

use gristmill_engine::PartitionId;
use gristmill_plugin_host::Failure;
use serde::Serialize;

use super::{Letter, LetterId, Selection, Span, select};
use crate::Error;
use crate::envelope;
use crate::plugins::SubscriptionStatus;
use crate::shared::Shared;
use crate::worker::{rehearsal, withheld_runner};

/// What would happen to dead letters that are driven again now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Rehearsed {
    /// Handlers that succeeded.
    pub(crate) would_succeed: u64,
    /// Those that failed, by class.
    pub(crate) would_fail: BTreeMap<String, u64>,
    /// The first failures, with their reasons.
    pub(crate) failures: Vec<WouldFail>,
}

/// One dead letter that would fail again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct WouldFail {
    /// The dead letter.
    pub(crate) id: LetterId,
    /// Why.
    pub(crate) reason: String,
}

/// Failures told in full.
const FAILURES_MAX: usize = 20;

/// Runs up to `limit` dead letters without their effects. Each sees the state as it is now, not
/// what one before it would have written.
pub(crate) async fn rehearse(
    shared: &Arc<Shared>,
    status: &SubscriptionStatus,
    selection: &Selection,
    limit: usize,
) -> Result<Rehearsed, Error> {
    let binding = &status.binding;
    let runner = withheld_runner(shared, binding)?;
    let mut rehearsed = Rehearsed::default();
    for letter in select(shared, status, selection, Span { after: None, before: None, limit })? {
        let Letter { id, view, mut stored, .. } = letter;
        let Some(headers) = envelope::redrive_headers(&stored.headers, &[]) else { continue };
        stored.headers = headers.into();
        let partition = PartitionId(view.partition);
        let outcome = match rehearsal(shared, binding, partition, stored) {
            Ok((request, world)) => Arc::clone(&runner).call(request, world).await.result,
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(_effects) => {
                rehearsed.would_succeed = rehearsed.would_succeed.saturating_add(1);
            }
            Err(failure) => rehearsed.note(id, failure),
        }
    }
    Ok(rehearsed)
}

impl Rehearsed {
    fn note(&mut self, id: LetterId, failure: Failure) {
        let class = envelope::class_name(failure.class).to_owned();
        let count = self.would_fail.entry(class).or_default();
        *count = count.saturating_add(1);
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(WouldFail { id, reason: failure.reason });
        }
    }
}
