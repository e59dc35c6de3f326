//! Counts dead letters of topics that several subscriptions share, each subscription's own. It
//! reads each letter once and remembers whose it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gristmill_engine::{Offset, PartitionId, TopicId};
use gristmill_store::{Bounds, Stored};

use crate::broker;
use crate::envelope::DeadLetterView;

/// How far each partition was read.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    partitions: Mutex<BTreeMap<(TopicId, PartitionId), Locked>>,
}

type Locked = Arc<Mutex<Tally>>;

/// A partition as it was read last.
#[derive(Debug, Default)]
struct Tally {
    next: Offset,
    /// Offsets of each subscription's letters, in order.
    letters: BTreeMap<String, Vec<u64>>,
}

impl Tallies {
    /// Letters of a subscription in a partition within `bounds` that are not `done`; `read` brings
    /// those that were not read yet.
    pub(super) fn waiting(
        &self,
        (subscription, place): (&str, (TopicId, PartitionId)),
        bounds: Bounds,
        read: impl Fn(Offset) -> Result<Vec<Stored>, broker::Error>,
        is_done: impl Fn(u64) -> bool,
    ) -> Result<u64, broker::Error> {
        // While one partition is read, those who ask for others do not wait.
        let tally = Arc::clone(lock(&self.partitions).entry(place).or_default());
        let mut tally = lock(&tally);
        tally.next = tally.next.max(bounds.start);
        while tally.next < bounds.end {
            let stored = read(tally.next)?;
            tally.next = stored.last().map_or(bounds.end, |last| last.offset.next());
            for Stored { offset, headers, .. } in stored {
                let Some(view) = DeadLetterView::read(&headers) else { continue };
                tally.letters.entry(view.subscription).or_default().push(offset.0);
            }
        }
        let Some(offsets) = tally.letters.get_mut(subscription) else { return Ok(0) };
        let gone = offsets.partition_point(|offset| *offset < bounds.start.0);
        offsets.drain(..gone);
        let waiting = offsets.iter().filter(|offset| !is_done(**offset)).count();
        Ok(u64::try_from(waiting).unwrap_or(u64::MAX))
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use bytes::Bytes;
    use gristmill_engine::Instant;

    use super::*;

    fn letter(offset: u64, subscription: &str) -> Stored {
        let header = |name: &'static str, value: &str| {
            (name.into(), Bytes::copy_from_slice(value.as_bytes()))
        };
        let headers = [header("dlq-version", "1"), header("dlq-subscription", subscription)];
        let (key, payload, timestamp) = (None, None, Instant(0));
        Stored { offset: Offset(offset), timestamp, key, headers: headers.into(), payload }
    }

    #[test]
    fn each_subscription_has_its_own_and_each_letter_is_read_once() {
        let topic = ["one", "two", "one", "one", "two"];
        let (tallies, reads) = (Tallies::default(), Cell::new(0));
        let waiting = |subscription: &str, (start, end): (u64, u64), done: &[u64]| {
            let bounds = Bounds { start: Offset(start), end: Offset(end) };
            let read = |from: Offset| {
                reads.set(reads.get() + 1);
                let read = (from.0..end).zip(topic.iter().skip(usize::try_from(from.0).unwrap()));
                Ok(read.take(2).map(|(offset, name)| letter(offset, name)).collect())
            };
            let place = (TopicId(1), PartitionId(0));
            tallies.waiting((subscription, place), bounds, read, |it| done.contains(&it)).unwrap()
        };
        assert_eq!(waiting("one", (0, 3), &[]), 2);
        assert_eq!(reads.get(), 2);
        assert_eq!((waiting("one", (0, 5), &[]), waiting("two", (0, 5), &[])), (3, 2));
        assert_eq!(reads.get(), 3, "what was read is not read again");
        assert_eq!((waiting("one", (0, 5), &[2]), waiting("two", (0, 5), &[2])), (2, 2));
        assert_eq!((waiting("one", (3, 5), &[]), waiting("two", (3, 5), &[])), (1, 1));
        assert_eq!(waiting("three", (3, 5), &[]), 0);
    }
}
