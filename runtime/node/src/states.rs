//! Looks at the state that handlers of a subscription keep, as it was after the last checkpoint of
//! each partition. It changes nothing and knows no HTTP.

use std::sync::Arc;

use bytes::Bytes;
use gristmill_engine::PartitionId;
use gristmill_store::{Error, Keys, Names, Scope};

use crate::plugins::SubscriptionStatus;
use crate::shared::Shared;

/// What a host knows of the state of a subscription.
#[derive(Debug, Clone)]
pub(crate) struct States {
    shared: Arc<Shared>,
    status: SubscriptionStatus,
}

/// The values of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) partition: PartitionId,
    /// By name, ascending.
    pub(crate) values: Vec<(String, Bytes)>,
}

/// A value without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) partition: PartitionId,
    pub(crate) key: Bytes,
    pub(crate) name: String,
}

impl States {
    pub(crate) fn new(shared: Arc<Shared>, status: SubscriptionStatus) -> Self {
        Self { shared, status }
    }

    /// Whether its handlers may keep state at all.
    pub(crate) fn are_kept(&self) -> bool {
        self.status.binding.config.grants.state
    }

    /// Partitions whose state is on this host, and those whose state another host has, or none has
    /// now.
    pub(crate) fn partitions(&self) -> (Vec<PartitionId>, Vec<PartitionId>) {
        let binding = &self.status.binding;
        let is_here = |partition: &PartitionId| {
            self.shared.broker.kafka().is_none()
                || binding.sources.iter().any(|source| {
                    let progress = &self.shared.progress;
                    progress.finished(self.status.id, source.topic, *partition).is_some()
                })
        };
        (0..binding.partitions()).map(PartitionId).partition(is_here)
    }

    /// A page of the values of a key; `None` where there are none on this host. The partition a key
    /// is in is up to whoever produces it, so all are looked at.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(crate) fn of_key(&self, key: &[u8], page: Names<'_>) -> Result<Option<Values>, Error> {
        let (store, now) = (&self.shared.store, self.shared.clock.now());
        for partition in self.partitions().0 {
            let scope = Scope { subscription: self.status.id, partition };
            let mut values = Vec::new();
            for name in store.state_names(scope, key, page, now)? {
                // It may go between the two looks.
                if let Some(value) = store.state_get(scope, key, &name, now)? {
                    values.push((name, value));
                }
            }
            if !values.is_empty() {
                return Ok(Some(Values { partition, values }));
            }
        }
        Ok(None)
    }

    /// Up to `limit` entries whose key begins with `prefix`, by partition, key and name, after one
    /// of them.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(crate) fn list(
        &self,
        prefix: &[u8],
        after: Option<&Entry>,
        limit: u32,
    ) -> Result<Vec<Entry>, Error> {
        let (store, now) = (&self.shared.store, self.shared.clock.now());
        let mut found: Vec<Entry> = Vec::new();
        for partition in self.partitions().0 {
            let before = after.filter(|last| last.partition >= partition);
            if before.is_some_and(|last| last.partition > partition) {
                continue;
            }
            let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
            if left == 0 {
                break;
            }
            let after = before.map(|last| (&last.key[..], &*last.name));
            let scope = Scope { subscription: self.status.id, partition };
            let keys = store.state_keys(scope, Keys { prefix, after, limit: left }, now)?;
            found.extend(keys.into_iter().map(|(key, name)| Entry { partition, key, name }));
        }
        Ok(found)
    }
}
