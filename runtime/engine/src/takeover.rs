//! Decides how a partition's state is brought up to date on Kafka before it is read: what is asked
//! in which order, what is waited for, and when a cache may be trusted. It asks nobody itself: a
//! host's takeover does, and so does the simulator's.

use alloc::collections::BTreeSet;
use core::mem;

use crate::{Instant, Millis, Offset};

/// A cache older than this is not trusted: deletions may have left the changelog since, half of
/// Kafka's default of `delete.retention.ms` (source: the contract, "Restore").
pub const CACHE_AGE_MAX: Millis = Millis::seconds(12 * 3_600);

/// What is to be asked next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// What the group has committed, once nothing of it is undecided.
    Committed,
    /// Where the changelog ends now, what is undecided included.
    End,
    /// Where the changelog begins, and up to where it is decided.
    Bounds,
    /// Where the cache stands; where it is not trusted it begins anew.
    Known {
        /// First offset of the changelog.
        start: Offset,
        /// Where the changelog ended when that was asked for.
        end: Offset,
    },
    /// Records of the changelog from here, and only what is committed.
    Read(Offset),
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Committed`].
    Committed,
    /// To [`Ask::End`].
    End(Offset),
    /// To [`Ask::Bounds`].
    Bounds {
        /// First offset.
        start: Offset,
        /// Below this every transaction has ended.
        stable: Offset,
    },
    /// To [`Ask::Known`]: the cache has everything below.
    Known(Offset),
    /// To [`Ask::Read`]: the last record read and taken over, if there was one.
    Read(Option<Offset>),
}

/// One takeover.
#[derive(Debug, Clone)]
pub struct Takeover {
    at: At,
    has_changelog: bool,
    end: Offset,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Committed,
    End,
    Settling,
    Knowing { start: Offset },
    Reading { next: Offset, was_empty: bool },
    Done { next: Offset },
}

impl Takeover {
    /// Begins one.
    #[must_use]
    pub const fn new(has_changelog: bool) -> Self {
        Self { at: At::Committed, has_changelog, end: Offset(0) }
    }

    /// What is to be asked now; `None` when the state is here.
    ///
    /// First what is committed, once nothing is undecided: the changelog holds at least that much
    /// when its present end is settled.
    pub const fn next(&self) -> Option<Ask> {
        Some(match self.at {
            At::Committed => Ask::Committed,
            At::End => Ask::End,
            At::Settling => Ask::Bounds,
            At::Knowing { start } => Ask::Known { start, end: self.end },
            At::Reading { next, .. } => Ask::Read(next),
            At::Done { .. } => return None,
        })
    }

    /// Whether the question was asked before and must not be asked at once again: a transaction is
    /// still open below the end.
    pub const fn is_waiting(&self) -> bool {
        matches!(self.at, At::Settling)
    }

    /// Where the changelog ended when that was asked for: up to there it is read.
    pub const fn end(&self) -> Offset {
        self.end
    }

    /// Where the state stands once it is here: it has all of the changelog below.
    pub const fn standing(&self) -> Option<Offset> {
        match self.at {
            At::Done { next } => Some(next),
            At::Committed | At::End | At::Settling | At::Knowing { .. } | At::Reading { .. } => {
                None
            }
        }
    }

    /// What [`Takeover::next`] asked for is answered. An answer to anything else is none.
    pub fn answered(&mut self, answer: Answer) {
        self.at = match (self.at, answer) {
            (At::Committed, Answer::Committed) if self.has_changelog => At::End,
            (At::Committed, Answer::Committed) => At::Done { next: Offset(0) },
            (At::End, Answer::End(end)) => {
                self.end = end;
                At::Settling
            }
            // Every transaction that had written below the end must have ended.
            (At::Settling, Answer::Bounds { start, stable }) if stable >= self.end => {
                At::Knowing { start }
            }
            (At::Knowing { .. }, Answer::Known(next)) => self.read_on(next, false),
            (At::Reading { .. }, Answer::Read(Some(last))) => self.read_on(last.next(), false),
            // Below the end nothing may be left but the ends of transactions. A reader that was
            // elsewhere before may tell of an end that it saw there: it is asked again.
            (At::Reading { next, was_empty: false }, Answer::Read(None)) => {
                At::Reading { next, was_empty: true }
            }
            (At::Reading { next, was_empty: true }, Answer::Read(None)) => {
                At::Done { next: next.max(self.end) }
            }
            (at, _) => at,
        };
    }

    fn read_on(&self, next: Offset, was_empty: bool) -> At {
        if next < self.end { At::Reading { next, was_empty } } else { At::Done { next } }
    }
}

/// Holds takeovers of partitions back while a checkpoint of the same worker about them has not
/// ended. What it makes true after the takeover read would be missing there, and be done again;
/// what the cache follows it with would put back what is older than what was read.
#[derive(Debug, Clone)]
pub struct Barrier<P> {
    /// What the committing checkpoint is about.
    committing: BTreeSet<P>,
    waiting: BTreeSet<P>,
}

impl<P> Default for Barrier<P> {
    fn default() -> Self {
        Self { committing: BTreeSet::new(), waiting: BTreeSet::new() }
    }
}

impl<P: Copy + Ord> Barrier<P> {
    /// A checkpoint about these partitions begins to commit; the one before has ended.
    pub fn begun(&mut self, places: impl IntoIterator<Item = P>) {
        self.committing = places.into_iter().collect();
    }

    /// Whether a partition may be taken over now. If not, [`Barrier::ended`] names it.
    #[must_use]
    pub fn admits(&mut self, place: P) -> bool {
        let is_free = !self.committing.contains(&place);
        if !is_free {
            self.waiting.insert(place);
        }
        is_free
    }

    /// A partition is not to be taken over any more.
    pub fn call_off(&mut self, place: P) {
        self.waiting.remove(&place);
    }

    /// The checkpoint has ended, however it did, and the cache has followed. What may be taken
    /// over now.
    pub fn ended(&mut self) -> BTreeSet<P> {
        self.committing.clear();
        mem::take(&mut self.waiting)
    }
}

/// A cache of a partition's state, as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// It has every record of the changelog below this offset.
    pub next: Offset,
    /// When it was written.
    pub at: Instant,
}

impl Cache {
    /// Whether what it has can be built upon, where the changelog goes from `start` to `end`.
    #[must_use]
    pub fn is_trusted(&self, (start, end): (Offset, Offset), now: Instant) -> bool {
        let is_young = now.since(self.at) <= CACHE_AGE_MAX;
        // A changelog that begins at 0 has lost nothing but what later records replace.
        let is_whole = self.next >= start || start == Offset(0);
        is_whole && self.next <= end && is_young
    }
}

/// What was committed of a topic that ends at `end`: what lies beyond was committed of a topic of
/// this name that is gone.
#[must_use]
pub fn within(committed: Option<Offset>, end: Offset) -> Option<Offset> {
    committed.filter(|offset| *offset <= end)
}

#[cfg(test)]
mod tests;
