//! Owns progress in one topic partition: what was fetched, what is finished, from where a restart
//! would read. It never knows why an event is finished.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::worker::Place;
use crate::{Generation, Mark, Offset, OffsetRange, Progress, TopicId};

/// Progress in one topic partition.
#[derive(Debug, Clone)]
pub(crate) struct Progression {
    pub(crate) incarnation: u128,
    pub(crate) epoch: u32,
    pub(crate) epoch_start: Offset,
    /// Overdue timers wait until reading has come this far.
    pub(crate) end: Offset,
    /// Whether it changed since the last commit.
    pub(crate) is_dirty: bool,
    /// Whether it counts among the cursors that timers wait for.
    pub(crate) is_behind: bool,
    next: Offset,
    /// Finished offsets above `next`: start to end, disjoint, not adjacent.
    finished: BTreeMap<Offset, Offset>,
    /// Fetched and not finished.
    pending: BTreeSet<Offset>,
    /// One past the last offset fetched; `next` before the first.
    read: Offset,
    last: Option<Offset>,
}

impl Progression {
    /// Progress as it stands when reading begins; `finished` ascends.
    pub(crate) fn new(incarnation: u128, epoch: u32, epoch_start: Offset, next: Offset) -> Self {
        Self {
            incarnation,
            epoch,
            epoch_start,
            end: Offset(0),
            is_dirty: false,
            is_behind: false,
            next,
            finished: BTreeMap::new(),
            pending: BTreeSet::new(),
            read: next,
            last: None,
        }
    }

    /// Takes over finished ranges of an earlier life.
    pub(crate) fn restore(&mut self, finished: &[OffsetRange]) {
        for range in finished.iter().filter(|range| range.to > range.from) {
            self.finished.insert(range.from, range.to);
        }
        self.settle_down();
        self.read = self.read.max(self.next);
    }

    /// Moves forward to `next`, giving up what lies below. Says how many offsets below it were
    /// not finished.
    pub(crate) fn skip_to(&mut self, next: Offset) -> u64 {
        let mut skipped = next.0.saturating_sub(self.next.0);
        for (from, to) in &self.finished {
            let inside = to.0.min(next.0).saturating_sub(from.0);
            skipped = skipped.saturating_sub(inside);
        }
        self.next = self.next.max(next);
        self.settle_down();
        self.read = self.read.max(self.next);
        skipped
    }

    /// Every offset below is finished.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// Whether reading has come to `end`.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.read >= self.end
    }

    /// Whether `offset` rises above what was fetched before.
    pub(crate) fn is_rising(&self, offset: Offset) -> bool {
        self.last.is_none_or(|last| last < offset)
    }

    /// Notes that `offset` was fetched. False when it is finished already.
    pub(crate) fn fetch(&mut self, offset: Offset) -> bool {
        self.last = Some(offset);
        self.read = self.read.max(offset.next());
        if self.is_finished(offset) {
            // Compaction may have emptied what lies below: nothing else would say so.
            self.pass_over();
            return false;
        }
        self.pending.insert(offset);
        true
    }

    /// Notes that nothing below `end` is left to fetch.
    pub(crate) fn reach(&mut self, end: Offset) {
        self.read = self.read.max(end);
        self.pass_over();
    }

    /// Moves past offsets that were read over and are no events.
    fn pass_over(&mut self) {
        let reached = self.pending.first().copied().unwrap_or(self.read);
        self.is_dirty |= reached > self.next;
        self.next = self.next.max(reached);
        self.settle_down();
    }

    /// Whether `offset` was fetched and is not finished.
    pub(crate) fn is_pending(&self, offset: Offset) -> bool {
        self.pending.contains(&offset)
    }

    /// Notes that a fetched offset is finished.
    pub(crate) fn finish(&mut self, offset: Offset) {
        if !self.pending.remove(&offset) {
            return;
        }
        self.is_dirty = true;
        if self.pending.first().is_none_or(|lowest| offset < *lowest) {
            let reached = self.pending.first().copied().unwrap_or(self.read);
            self.next = self.next.max(reached);
            self.settle_down();
        } else {
            self.insert(offset);
        }
    }

    /// Whether a durable mark made at `offset` under `epoch` was voided by a reset since.
    pub(crate) fn voids(&self, mark: &Mark) -> bool {
        mark.epoch < self.epoch && mark.position.offset >= self.epoch_start
    }

    /// Progress for a checkpoint that closes now.
    pub(crate) fn progress(
        &self,
        place: Place,
        topic: TopicId,
        generation: Generation,
    ) -> Progress {
        Progress {
            subscription: place.0,
            topic,
            partition: place.1,
            generation,
            incarnation: self.incarnation,
            epoch: self.epoch,
            epoch_start: self.epoch_start,
            next: self.next,
            finished: self.ranges(),
        }
    }

    fn ranges(&self) -> Vec<OffsetRange> {
        self.finished.iter().map(|(from, to)| OffsetRange { from: *from, to: *to }).collect()
    }

    fn is_finished(&self, offset: Offset) -> bool {
        let below = self.finished.range(..=offset).next_back();
        offset < self.next || below.is_some_and(|(_, to)| offset < *to)
    }

    fn insert(&mut self, offset: Offset) {
        let mut to = offset.next();
        if let Some(end) = self.finished.remove(&to) {
            to = end;
        }
        match self.finished.range_mut(..=offset).next_back() {
            Some((_, end)) if *end == offset => *end = to,
            _ => {
                self.finished.insert(offset, to);
            }
        }
    }

    /// Drops ranges that `next` has reached, moving it past them.
    fn settle_down(&mut self) {
        while let Some(first) = self.finished.first_entry() {
            if *first.key() > self.next {
                break;
            }
            self.next = self.next.max(*first.get());
            first.remove();
        }
    }
}

#[cfg(test)]
mod tests;
