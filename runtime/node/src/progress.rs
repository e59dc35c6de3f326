//! Remembers how far each subscription has come, as of its last checkpoint, for lag. It is a copy
//! of what the store holds and decides nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gristmill_engine::{Offset, PartitionId, SubscriptionId, TopicId};

type Place = (SubscriptionId, TopicId, PartitionId);

/// Progress of everything on this host.
#[derive(Debug, Default)]
pub(crate) struct Board {
    places: Mutex<HashMap<Place, (Offset, u64)>>,
}

impl Board {
    /// Every offset below `next` is finished, and `ahead` offsets above it.
    pub(crate) fn note(&self, place: Place, next: Offset, ahead: u64) {
        self.lock().insert(place, (next, ahead));
    }

    /// A partition of a subscription is this host's no more.
    pub(crate) fn forget(&self, subscription: SubscriptionId, partition: PartitionId) {
        self.lock().retain(|(of, _, number), _| (*of, *number) != (subscription, partition));
    }

    /// What is finished, if anything was noted since the start.
    pub(crate) fn finished(
        &self,
        subscription: SubscriptionId,
        topic: TopicId,
        partition: PartitionId,
    ) -> Option<(Offset, u64)> {
        self.lock().get(&(subscription, topic, partition)).copied()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, (Offset, u64)>> {
        // Every write is one insertion: what a panicking thread left is whole.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
