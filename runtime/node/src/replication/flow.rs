//! Owns one partition that is copied: where it stands, what of it may be read now, and how far
//! behind it is. It reads nothing.

use std::time::{Duration, Instant as Moment};

use gristmill_store::{Bounds, Topic};

use super::error::Error;
use super::source::Found;

/// Wait before a record that was refused is tried again, at first; it doubles.
const REFUSED_WAIT: Duration = Duration::from_secs(5);
/// The longest.
const REFUSED_WAIT_MAX: Duration = Duration::from_mins(1);
/// How long a partition may end before what was copied of it: one that another broker leads now
/// may say less for a moment.
const BACK_MAX: Duration = Duration::from_secs(30);
/// How often an end with nothing visible before it is looked at again.
const EMPTY_AGAIN: Duration = Duration::from_secs(5);

/// A partition that is copied.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) topic: Topic,
    pub(super) id: String,
    pub(super) slot: u32,
    /// Where it began when it was seen first.
    pub(super) start_first: u64,
    bounds: Bounds,
    /// Up to where it is copied, as far as is known.
    next: Option<u64>,
    /// Whether this host copies it from there.
    is_placed: bool,
    /// Up to where it is read.
    ahead: u64,
    /// Up to where nothing more can be seen, and since when that is known.
    empty: Option<(u64, Moment)>,
    was_empty: bool,
    /// The first record that is not copied: its timestamp, for the offset it was looked up at.
    oldest: Option<(u64, u64)>,
    refused: Option<Refused>,
    /// A record that is left out.
    skip: Option<u64>,
    back_since: Option<Moment>,
    /// Whether it was said that records will soon be lost.
    pub(super) is_warned: bool,
}

/// A record that is not taken.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) offset: u64,
    pub(super) error: Error,
    wait: Duration,
    tried: Moment,
}

/// What of a partition is to be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readable {
    pub(super) from: u64,
    /// Before which offset.
    pub(super) before: u64,
    /// Whether nothing else may be with it.
    pub(super) is_alone: bool,
}

/// Where a partition begins or ends says that something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// Records were removed before they were copied: the first, and the first that is there.
    Lost(u64, u64),
    /// It ends before what was copied: that, and where it ends.
    Back(u64, u64),
}

impl Flow {
    /// A partition that nothing is known of but where it begins and ends.
    pub(super) fn new(found: &Found, slot: u32, bounds: Bounds) -> Self {
        Self {
            topic: found.topic.clone(),
            id: found.id.clone(),
            slot,
            start_first: bounds.start.0,
            bounds,
            next: None,
            is_placed: false,
            ahead: 0,
            empty: None,
            was_empty: false,
            oldest: None,
            refused: None,
            skip: None,
            back_since: None,
            is_warned: false,
        }
    }

    /// It begins and ends there now.
    pub(super) fn bound(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// It ends there now.
    pub(super) fn end_at(&mut self, end: gristmill_engine::Offset) {
        self.bounds.end = self.bounds.end.max(end);
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Whether this host copies it, and knows from where.
    pub(super) fn is_placed(&self) -> bool {
        self.is_placed
    }

    /// Up to where it is copied, as far as is known.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// It is copied up to there, and read from there on.
    pub(super) fn place(&mut self, next: u64) {
        self.next = Some(next);
        self.is_placed = true;
        self.ahead = next;
        self.was_empty = false;
        // It may have been said of what lies behind records that were read and not copied.
        self.empty = None;
    }

    /// Somebody else copies it, and is there.
    pub(super) fn seen(&mut self, next: Option<u64>) {
        if next < self.next {
            self.empty = None;
        }
        self.oldest = self.oldest.filter(|(offset, _)| Some(*offset) >= next);
        self.next = next;
        self.is_placed = false;
        self.ahead = next.unwrap_or_default();
    }

    /// Where it stands must be asked anew.
    pub(super) fn unplace(&mut self) {
        self.is_placed = false;
        self.ahead = self.next.unwrap_or_default();
        self.empty = None;
    }

    /// It is read on from there, with nothing before it.
    pub(super) fn pass(&mut self, to: u64) {
        self.ahead = to;
        self.empty = None;
        self.back_since = None;
    }

    /// What may be read of it now. While `is_idle` nothing else is under way.
    pub(super) fn readable(&self, is_idle: bool) -> Option<Readable> {
        let next = self.next.filter(|_| self.is_placed)?;
        let mut before = self.bounds.end.0;
        let mut is_alone = false;
        if let Some(refused) = &self.refused {
            if next < refused.offset {
                before = before.min(refused.offset);
            } else if self.skip != Some(refused.offset) {
                if !is_idle || refused.tried.elapsed() < refused.wait {
                    return None;
                }
                before = refused.offset.saturating_add(1);
                is_alone = true;
            }
        }
        let is_empty =
            self.empty.is_some_and(|(end, since)| end >= before && since.elapsed() < EMPTY_AGAIN);
        let from = self.ahead;
        // What was removed is told first.
        let is_there = from >= self.bounds.start.0 && from < before;
        (is_there && !is_empty).then_some(Readable { from, before, is_alone })
    }

    /// Whether it waits for nothing but that its refused record is tried again. While that cannot
    /// be read others have their turn.
    pub(super) fn is_due(&self) -> bool {
        self.readable(true).is_some_and(|readable| readable.is_alone)
    }

    /// It was read up to there, beginning with a record of this timestamp.
    pub(super) fn read_to(&mut self, ahead: u64, first: Option<(u64, u64)>) {
        self.ahead = ahead;
        self.was_empty = false;
        if self.oldest.is_none_or(|(offset, _)| Some(offset) != self.next) {
            self.oldest = first.filter(|(offset, _)| Some(*offset) >= self.next);
        }
    }

    /// Nothing could be seen before `before`. It counts when it is said twice: the first may only
    /// have heard of an end that was one earlier.
    pub(super) fn nothing_before(&mut self, before: u64) {
        let is_twice = std::mem::take(&mut self.was_empty);
        if is_twice {
            self.empty = Some((before, Moment::now()));
        }
        self.was_empty = !is_twice;
    }

    /// It is copied up to there.
    pub(super) fn copied(&mut self, next: u64) {
        self.next = Some(next);
        self.ahead = self.ahead.max(next);
        self.oldest = self.oldest.filter(|(offset, _)| *offset >= next);
        self.is_warned = false;
        if self.refused.as_ref().is_some_and(|refused| refused.offset < next) {
            self.refused = None;
            self.skip = None;
        }
    }

    /// The other cluster does not take the record at `offset`.
    pub(super) fn refuse(&mut self, offset: u64, error: Error, skips: bool) {
        let before = self.refused.take().filter(|refused| refused.offset == offset);
        let wait = before.map_or(REFUSED_WAIT, |refused| refused.wait.saturating_mul(2));
        let wait = wait.min(REFUSED_WAIT_MAX);
        self.refused = Some(Refused { offset, error, wait, tried: Moment::now() });
        self.skip = skips.then_some(offset);
    }

    /// The record that it waits for.
    pub(super) fn refused(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }

    /// The record that is left out.
    pub(super) fn skip(&self) -> Option<u64> {
        self.skip
    }

    /// Records that are not copied; `None` while nobody knows. Where ends of transactions lie they
    /// are counted too, until they were looked at.
    pub(super) fn lag(&self) -> Option<u64> {
        let next = self.next?.max(self.bounds.start.0);
        let is_empty = self.empty.is_some_and(|(end, _)| end >= self.bounds.end.0);
        if is_empty && self.ahead <= next {
            return Some(0);
        }
        Some(self.bounds.end.0.saturating_sub(next))
    }

    /// Timestamp of the first record that is not copied, where it is known.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.oldest.map(|(_, at)| at).filter(|_| self.lag().is_some_and(|lag| lag > 0))
    }

    /// Where to look for the first record that is not copied, if that is worth it.
    pub(super) fn look_at(&self) -> Option<u64> {
        let next = self.next?;
        (self.lag()? > 0 && self.oldest.is_none()).then_some(next.max(self.bounds.start.0))
    }

    /// The first record that is not copied, looked up at `from`.
    pub(super) fn looked(&mut self, found: Option<(u64, u64)>, before: u64) {
        self.oldest = found;
        if found.is_none() {
            self.nothing_before(before);
        }
    }

    /// Whether what is there now fits to what was copied, and from where it goes on if not.
    pub(super) fn misplaced(&mut self) -> Option<Misplaced> {
        // What was read is in hand, whatever became of it here.
        let (ahead, Bounds { start, end }) = (self.ahead, self.bounds);
        if ahead < start.0 {
            return Some(Misplaced::Lost(ahead, start.0));
        }
        if ahead <= end.0 {
            self.back_since = None;
            return None;
        }
        let since = self.back_since.get_or_insert_with(Moment::now);
        (since.elapsed() >= BACK_MAX).then_some(Misplaced::Back(ahead, end.0))
    }
}

#[cfg(test)]
mod tests;
