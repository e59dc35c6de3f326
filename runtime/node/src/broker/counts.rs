//! Counts the events of topics in a cluster, whose offsets do not tell: the ends of transactions
//! take offsets too. It reads each event once and remembers how far it came.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use gristmill_engine::{Offset, PartitionId, TopicId};
use gristmill_kafka::Error;
use gristmill_store::{Bounds, Stored};

/// How far each partition was counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    partitions: Mutex<BTreeMap<(TopicId, PartitionId), Count>>,
}

/// A partition as it was counted last.
#[derive(Debug, Clone, Copy)]
struct Count {
    start: Offset,
    next: Offset,
    events: u64,
}

impl Counts {
    /// Events of a partition within `bounds`; `read` brings those that were not counted yet.
    pub(super) fn count(
        &self,
        place: (TopicId, PartitionId),
        bounds: Bounds,
        read: impl Fn(Offset) -> Result<Vec<Stored>, Error>,
    ) -> Result<u64, Error> {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Count { start: bounds.start, next: bounds.start, events: 0 };
        let count = partitions.entry(place).or_insert(fresh);
        if count.start != bounds.start {
            // Retention took some: nobody can say how many of those counted.
            *count = fresh;
        }
        while count.next < bounds.end {
            let events = read(count.next)?;
            count.next = events.last().map_or(bounds.end, |last| last.offset.next());
            let more = u64::try_from(events.len()).unwrap_or(u64::MAX);
            count.events = count.events.saturating_add(more);
        }
        Ok(count.events)
    }
}

#[cfg(test)]
mod tests {
    use gristmill_engine::Instant;

    use super::*;

    fn events(offsets: &[u64], from: Offset) -> Vec<Stored> {
        let found = offsets.iter().filter(|offset| **offset >= from.0).take(2);
        let stored = |offset: &u64| Stored {
            offset: Offset(*offset),
            timestamp: Instant(0),
            key: None,
            headers: [].into(),
            payload: None,
        };
        found.map(stored).collect()
    }

    #[test]
    fn what_is_no_event_is_not_counted_and_what_was_is_not_read_again() {
        let counts = Counts::default();
        let place = (TopicId(1), PartitionId(0));
        let bounds = |start, end| Bounds { start: Offset(start), end: Offset(end) };
        let all = |offsets: &'static [u64]| move |from| Ok(events(offsets, from));
        assert_eq!(counts.count(place, bounds(0, 8), all(&[0, 2, 4, 6])), Ok(4));
        assert_eq!(counts.count(place, bounds(0, 8), |_| panic!("nothing is new")), Ok(4));
        assert_eq!(counts.count(place, bounds(0, 10), all(&[0, 8])), Ok(5));
        assert_eq!(counts.count(place, bounds(5, 10), all(&[6, 8])), Ok(2), "retention took some");
    }
}
