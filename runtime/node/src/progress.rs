//! Remembers how far each subscription has come, as of its last checkpoint, for lag. It is a copy
//! of what the store holds and decides nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gristmill_engine::{Offset, PartitionId, SubscriptionId, TopicId};

type Place = (SubscriptionId, TopicId, PartitionId);

/// Progress of everything on this host.
#[derive(Debug, Default)]
pub(crate) struct Board {
    places: Mutex<HashMap<Place, Standing>>,
}

/// How far a partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is this host's, which does not know yet.
    Coming,
    /// Every offset below is finished, and so many above it.
    Known(Offset, u64),
}

impl Board {
    /// Every offset below `next` is finished, and `ahead` offsets above it.
    pub(crate) fn note(&self, place: Place, next: Offset, ahead: u64) {
        self.lock().insert(place, Standing::Known(next, ahead));
    }

    /// A partition becomes this host's; how far it has come is still to be found out.
    pub(crate) fn expect(&self, place: Place) {
        self.lock().insert(place, Standing::Coming);
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
        match self.lock().get(&(subscription, topic, partition))? {
            Standing::Known(next, ahead) => Some((*next, *ahead)),
            Standing::Coming => None,
        }
    }

    /// Whether a partition is this host's, though it is not known how far it has come.
    pub(crate) fn is_coming(&self, place: Place) -> bool {
        matches!(self.lock().get(&place), Some(Standing::Coming))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Standing>> {
        // Every write is one insertion: what a panicking thread left is whole.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
