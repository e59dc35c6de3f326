//! Drives dead letters again: puts them on the subscription's redrive topic and notes, in the
//! same write, that it was done.

use std::collections::BTreeMap;

use bytes::Bytes;
use gristmill_engine::PartitionId;
use gristmill_store::{Append, Batch, Change};
use serde::Serialize;

use super::{Done, Letter, Selection, Span, ends, select};
use crate::binding::Role;
use crate::broker::{self, Failed};
use crate::envelope;
use crate::plugins::SubscriptionStatus;
use crate::shared::Shared;

/// Dead letters put back in one write.
const WRITE_EVENTS: usize = 500;

/// What a redrive did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Redriven {
    /// Dead letters put back.
    pub(crate) redriven: u64,
}

/// Puts up to `limit` dead letters back, in order, of those there are when it begins: one that
/// fails again comes back as another. Blocks while it reads and writes. One redrive at a time: two
/// would put the same letter back twice.
pub(crate) fn redrive(
    shared: &Shared,
    status: &SubscriptionStatus,
    selection: &Selection,
    limit: usize,
) -> Result<Redriven, Failed> {
    let mut total = Redriven::default();
    let mut left = limit;
    let ends = ends(shared, status)?;
    let mut after = None;
    while left > 0 {
        let limit = left.min(WRITE_EVENTS);
        let span = Span { after: after.as_ref(), before: Some(&ends), limit };
        let letters = select(shared, status, selection, span)?;
        let Some(last) = letters.last() else { break };
        after = Some(last.id.clone());
        left = left.saturating_sub(letters.len());
        let count = letters.len();
        put_back(shared, status, letters)?;
        total.redriven = total.redriven.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    if total.redriven > 0 {
        tracing::info!(target: "gristmill::audit", subscription = %status.binding.name,
            count = total.redriven, "dead letters driven again");
    }
    Ok(total)
}

fn put_back(
    shared: &Shared,
    status: &SubscriptionStatus,
    letters: Vec<Letter>,
) -> Result<(), Failed> {
    let Some(redrive) = status.binding.own(Role::Redrive) else { return Ok(()) };
    let mut batch = Batch { ingest: true, ..Batch::default() };
    let mut done: BTreeMap<String, Done> = BTreeMap::new();
    for Letter { id, view, stored, .. } in letters {
        let Some(topic) = shared.broker.topic(&id.topic) else { continue };
        let Some(headers) = envelope::redrive_headers(&stored.headers, &[]) else { continue };
        let number = status.binding.number_of(stored.key.as_deref(), PartitionId(view.partition));
        batch.appends.push(Append {
            topic: redrive.topic,
            partition: PartitionId(number.0.checked_rem(redrive.partitions).unwrap_or(0)),
            timestamp: stored.timestamp,
            key: stored.key,
            headers,
            payload: stored.payload,
        });
        let name = Done::document(&topic);
        if !done.contains_key(&name) {
            let before = Done::read(&shared.store, &topic).map_err(broker::Error::from)?;
            done.insert(name.clone(), before);
        }
        done.entry(name).or_default().insert(id.partition, id.offset);
    }
    for (name, done) in done {
        // Maps of numbers always have a JSON form.
        let value = Some(Bytes::from(serde_json::to_vec(&done).unwrap_or_default()));
        batch.changes.push(Change::Document { name, value });
    }
    shared.write_now(batch).map(drop)
}
