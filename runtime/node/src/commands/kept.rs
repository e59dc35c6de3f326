//! Remembers where the answers to named commands are, for a while, and no more than so many. It
//! reads none of them.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::{Instant, Millis, Offset, PartitionId, TopicId};

/// Answers remembered at once, some 150 bytes each: what a handler that answers a dozen commands a
/// second does in a day.
const ANSWERS_MAX: usize = 1_000_000;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its topic.
    pub(super) topic: TopicId,
    /// Its partition.
    pub(super) partition: PartitionId,
    /// Its offset.
    pub(super) offset: Offset,
}

/// Where answers are, by the number that a command's name and key make.
#[derive(Debug)]
pub(super) struct Kept {
    span: Millis,
    max: usize,
    places: BTreeMap<u128, (Instant, Place)>,
    /// The same, oldest first.
    order: BTreeSet<(Instant, u128)>,
}

impl Kept {
    /// Nothing, to be remembered for `span`.
    pub(super) fn new(span: Millis) -> Self {
        Self { span, max: ANSWERS_MAX, places: BTreeMap::new(), order: BTreeSet::new() }
    }

    /// Remembers an answer of `at`, in place of an older one.
    pub(super) fn note(&mut self, number: u128, at: Instant, place: Place) {
        if let Some((before, _)) = self.places.get(&number) {
            if *before > at {
                return;
            }
            self.order.remove(&(*before, number));
        }
        self.places.insert(number, (at, place));
        self.order.insert((at, number));
        if self.places.len() > self.max {
            self.forget_oldest();
        }
    }

    /// Where the answer is, if it is remembered at `now`.
    pub(super) fn find(&mut self, number: u128, now: Instant) -> Option<Place> {
        while self.order.first().is_some_and(|(at, _)| at.after(self.span) <= now) {
            self.forget_oldest();
        }
        self.places.get(&number).map(|(_, place)| *place)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, number)) = self.order.pop_first() {
            self.places.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64) -> Place {
        Place { topic: TopicId(1), partition: PartitionId(0), offset: Offset(offset) }
    }

    #[test]
    fn answers_are_remembered_for_their_span() {
        let mut kept = Kept::new(Millis(1_000));
        kept.note(7, Instant(100), place(3));
        assert_eq!(kept.find(7, Instant(1_099)), Some(place(3)));
        assert_eq!(kept.find(8, Instant(1_099)), None);
        assert_eq!(kept.find(7, Instant(1_100)), None);
    }

    #[test]
    fn a_later_answer_counts_and_an_earlier_one_does_not() {
        let mut kept = Kept::new(Millis(1_000));
        kept.note(7, Instant(100), place(3));
        kept.note(7, Instant(500), place(9));
        kept.note(7, Instant(200), place(5));
        assert_eq!(kept.find(7, Instant(1_400)), Some(place(9)));
        assert_eq!(kept.find(7, Instant(1_500)), None);
        assert!(kept.order.is_empty());
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut kept = Kept { max: 2, ..Kept::new(Millis(1_000)) };
        for number in 1..=3 {
            kept.note(number, Instant(100), place(3));
        }
        let found = [1, 2, 3].map(|number| kept.find(number, Instant(100)).is_some());
        assert_eq!(found, [false, true, true]);
    }
}
