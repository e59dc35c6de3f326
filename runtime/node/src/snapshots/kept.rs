//! Knows which snapshots there are, and removes them. It reads their heads and nothing of what they
//! hold.

use gristmill_engine::Instant;
use gristmill_store::{Error as StoreError, snapshot};
use serde::Serialize;

use super::{Head, SnapshotError, folder, is_name, root};
use crate::envelope::time;
use crate::shared::Shared;

/// A snapshot as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    pub(crate) subscription: String,
    pub(crate) name: String,
    /// None where a head cannot be read.
    pub(crate) taken_at: Option<String>,
    pub(crate) age_seconds: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) partitions: Vec<u32>,
    /// Of component and manifest that were in use.
    pub(crate) digest: Option<String>,
    /// Why it cannot be used, as far as that is seen without reading all of it.
    pub(crate) error: Option<String>,
    /// The same in Unix milliseconds; 0 where it is not known.
    #[serde(skip)]
    pub(crate) taken_at_ms: u64,
}

/// Those of a subscription, or of all: by subscription, the oldest first. Waits.
pub(crate) fn list(shared: &Shared, subscription: Option<&str>) -> Result<Vec<Kept>, StoreError> {
    let names = match subscription {
        Some(name) if !is_name(name) => Vec::new(),
        Some(name) => vec![name.to_owned()],
        None => snapshot::list(&root(shared))?.into_iter().map(|(name, _)| name).collect(),
    };
    let mut found = Vec::new();
    for subscription in names {
        let folder = folder(shared, &subscription);
        for (name, partitions) in snapshot::list(&folder)?.into_iter().filter(|it| is_name(&it.0)) {
            let partitions = partitions.iter().map(|it| it.0).collect();
            found.push(Kept::new(shared, (&subscription, &name), partitions));
        }
    }
    let order = |it: &Kept| (it.subscription.clone(), it.taken_at_ms, it.name.clone());
    found.sort_by_key(order);
    Ok(found)
}

impl Kept {
    fn new(shared: &Shared, (subscription, name): (&str, &str), partitions: Vec<u32>) -> Self {
        let path = folder(shared, subscription).join(name);
        let mut kept = Self {
            subscription: subscription.to_owned(),
            name: name.to_owned(),
            taken_at: None,
            age_seconds: None,
            bytes: 0,
            partitions,
            digest: None,
            error: None,
            taken_at_ms: 0,
        };
        for partition in &kept.partitions {
            let found = snapshot::head(&path, gristmill_engine::PartitionId(*partition));
            let read = found.and_then(|found| {
                kept.bytes = kept.bytes.saturating_add(found.bytes);
                Head::read(&path, &found.document)
            });
            match read {
                Ok(head) => {
                    kept.taken_at_ms = head.taken_at_ms;
                    kept.digest = head.digest;
                }
                Err(error) => kept.error = Some(crate::error::chain(&error)),
            }
        }
        if kept.taken_at_ms > 0 {
            let age = shared.clock.now().0.saturating_sub(kept.taken_at_ms);
            kept.taken_at = Some(time::format(Instant(kept.taken_at_ms)));
            kept.age_seconds = age.checked_div(1_000);
        }
        kept
    }
}

impl Head {
    /// What the host's document says.
    pub(super) fn read(path: &std::path::Path, document: &[u8]) -> Result<Self, StoreError> {
        let reason = "its head is not one of this version";
        serde_json::from_slice(document)
            .map_err(|_other| StoreError::SnapshotDamaged { path: path.to_owned(), reason })
    }
}

/// Removes one. Waits.
pub(crate) fn remove(shared: &Shared, subscription: &str, name: &str) -> Result<(), SnapshotError> {
    let is_there = is_name(subscription)
        && is_name(name)
        && snapshot::remove(&folder(shared, subscription).join(name))?;
    if is_there {
        return Ok(());
    }
    let (subscription, name) = (subscription.to_owned(), name.to_owned());
    Err(SnapshotError::Unknown { subscription, name })
}

/// Removes the oldest beyond those that are kept, and never `newest`; their names.
pub(super) fn thin(
    shared: &Shared,
    subscription: &str,
    newest: &str,
) -> Result<Vec<String>, SnapshotError> {
    let most = usize::try_from(shared.config.storage.snapshots_max).unwrap_or(usize::MAX);
    let mut all = list(shared, Some(subscription))?;
    all.retain(|it| it.name != newest);
    let over = all.len().saturating_add(1).saturating_sub(most);
    let mut deleted = Vec::with_capacity(over);
    for Kept { name, .. } in all.into_iter().take(over) {
        remove(shared, subscription, &name)?;
        deleted.push(name);
    }
    Ok(deleted)
}

/// Removes what a host that was killed left half written. Waits.
pub(crate) fn clear(shared: &Shared) -> Result<(), StoreError> {
    snapshot::clear(&root(shared))
}
