//! Owns where a partition stands in its changelog: up to where the store has taken it over, and
//! which of its records hold marks. It reads and writes nothing.

use std::collections::VecDeque;

use bytes::Bytes;
use gristmill_engine::{Instant, Offset, SubscriptionId, TopicId};
use gristmill_store::Scope;
use serde::{Deserialize, Serialize};

/// Milliseconds of an hour: so finely it is known when records of marks were written.
const HOUR_MS: u64 = 3_600_000;
/// Whole hours for which marks are kept (source: the contract, "Identity").
const HOURS_KEPT: u64 = 24;
/// Records of marks taken out of the changelog with one checkpoint at most.
pub(super) const EXPIRED_MAX: usize = 64;

/// Where a partition stands in its changelog. Its text is a document of the store, written with
/// what it speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Number of the changelog's topic; that of one made anew is another.
    pub(super) topic: u32,
    /// The store has every record below this offset.
    pub(super) next: u64,
    /// When it was written, Unix milliseconds.
    pub(super) at_ms: u64,
    /// Sequence of the next record of marks.
    pub(super) marks_next: u64,
    /// Sequence of the oldest record of marks that was not taken out.
    marks_oldest: u64,
    /// Hours since 1970 in which records of marks were written, each with its first sequence.
    hours: VecDeque<(u64, u64)>,
}

impl Standing {
    /// A changelog whose first record is at `start`, none of which the store has.
    pub(super) fn begin(topic: TopicId, start: Offset, now: Instant) -> Self {
        Self { topic: topic.0, next: start.0, at_ms: now.0, ..Self::default() }
    }

    /// Name of the document.
    pub(super) fn document(Scope { subscription: SubscriptionId(id), partition }: Scope) -> String {
        format!("changelog/{id}/{}", partition.0)
    }

    /// The standing a document tells; none where it cannot be read, and the changelog is read
    /// from its beginning.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The text of its document.
    pub(super) fn to_bytes(&self) -> Bytes {
        // Numbers always have a JSON form.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// A record of marks written at `at` has this sequence.
    pub(super) fn note_marks(&mut self, sequence: u64, at: Instant) {
        let hour = at.0.checked_div(HOUR_MS).unwrap_or(0);
        if self.hours.is_empty() {
            self.marks_oldest = sequence;
        }
        if self.hours.back().is_none_or(|(last, _)| *last < hour) {
            self.hours.push_back((hour, sequence));
        }
        self.marks_next = self.marks_next.max(sequence.saturating_add(1));
    }

    /// A record of marks was taken out: its sequence is not used again.
    pub(super) fn pass_marks(&mut self, sequence: u64) {
        self.marks_next = self.marks_next.max(sequence.saturating_add(1));
    }

    /// Sequences of records of marks that are too old at `now`, some at a time; they count as
    /// taken out.
    pub(super) fn expire_marks(&mut self, now: Instant) -> std::ops::Range<u64> {
        let hour = now.0.checked_div(HOUR_MS).unwrap_or(0);
        let from = self.marks_oldest;
        let most = from.saturating_add(u64::try_from(EXPIRED_MAX).unwrap_or(0));
        while self
            .hours
            .front()
            .is_some_and(|(first, _)| first.saturating_add(1).saturating_add(HOURS_KEPT) <= hour)
        {
            let end = self.hours.get(1).map_or(self.marks_next, |(_, next)| *next);
            self.marks_oldest = end.min(most);
            if self.marks_oldest < end {
                break;
            }
            self.hours.pop_front();
        }
        from..self.marks_oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(hour: u64) -> Instant {
        Instant(hour * HOUR_MS + 7)
    }

    #[test]
    fn marks_are_taken_out_when_their_hour_is_a_day_ago() {
        let mut standing = Standing::default();
        for (sequence, at) in [(0, 100), (1, 100), (2, 101), (3, 103)] {
            assert_eq!(standing.marks_next, sequence);
            standing.note_marks(sequence, hour(at));
        }
        assert_eq!(standing.expire_marks(hour(124)), 0..0);
        assert_eq!(standing.expire_marks(hour(125)), 0..2);
        assert_eq!(standing.expire_marks(hour(125)), 2..2);
        let read = Standing::read(&standing.to_bytes());
        assert_eq!(read.as_ref(), Some(&standing));
        assert_eq!(standing.expire_marks(hour(200)), 2..4);
        standing.note_marks(4, hour(200));
        assert_eq!(standing.expire_marks(hour(224)), 4..4);
        assert_eq!(standing.expire_marks(hour(225)), 4..5);
    }

    #[test]
    fn one_checkpoint_takes_out_a_bounded_number() {
        let mut standing = Standing::default();
        for sequence in 0..150 {
            standing.note_marks(sequence, hour(1));
        }
        assert_eq!(standing.expire_marks(hour(30)), 0..64);
        assert_eq!(standing.expire_marks(hour(30)), 64..128);
        assert_eq!(standing.expire_marks(hour(30)), 128..150);
        assert_eq!(standing.expire_marks(hour(30)), 150..150);
    }

    #[test]
    fn a_restore_goes_on_where_it_finds_the_first_mark() {
        let mut standing = Standing::default();
        standing.note_marks(40, hour(5));
        standing.note_marks(41, hour(6));
        assert_eq!(standing.marks_next, 42);
        assert_eq!(standing.expire_marks(hour(30)), 40..41);
    }
}
