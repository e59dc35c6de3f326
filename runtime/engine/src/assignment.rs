//! Decides where reading of an assigned partition begins, and what is void after a reset. It
//! never reads.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::cursor::Progression;
use crate::dedupe::Ids;
use crate::partition::{Book, Partition};
use crate::timers::Timers;
use crate::worker::{Drain, Scope};
use crate::{
    Assignment, Cursor, Effect, Engine, Instant, Observation, Offset, Position, StoredProgress,
    TopicId, Violation,
};

impl Engine {
    /// Takes over a partition with everything durable about it.
    pub(crate) fn assigned(
        &mut self,
        now: Instant,
        assignment: Assignment,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        let Assignment { subscription, partition, generation, cursors, parked, timers } =
            assignment;
        let Some(found) = self.subscriptions.get_mut(&subscription) else {
            return Err(Violation { what: "a partition of an unknown subscription was assigned" });
        };
        if found.partitions.contains_key(&partition) {
            return Err(Violation { what: "a partition was assigned that is assigned already" });
        }
        let former = found.generations.insert(partition, generation);
        if former.is_some_and(|former| former >= generation) {
            return Err(Violation { what: "a partition was assigned under an older generation" });
        }
        let place = (subscription, partition);
        found.partitions.insert(partition, Partition::new(Book::new(place, generation)));
        self.visit(now, effects, place, |partition, scope| {
            for cursor in cursors {
                partition.begin(scope, &cursor);
            }
            for lane in parked {
                partition.restore_lane(scope, lane);
            }
            partition.restore_timers(scope, timers);
        });
        Ok(())
    }
}

impl Partition {
    fn new(book: Book) -> Self {
        Self {
            book,
            cursors: BTreeMap::new(),
            lanes: BTreeMap::new(),
            ids: Ids::default(),
            timers: Timers::default(),
        }
    }

    /// Begins to read a topic.
    fn begin(&mut self, scope: &mut Scope<'_>, cursor: &Cursor) {
        let (subscription, partition) = self.book.place;
        let topic = cursor.topic;
        let (mut progression, is_reset) = resume(cursor);
        if is_reset {
            let epoch = progression.epoch;
            scope.observe(Observation::EpochBegan { subscription, topic, partition, epoch });
        }
        if progression.next() < cursor.start {
            let count = progression.skip_to(cursor.start);
            progression.is_dirty = true;
            scope.observe(Observation::Skipped { subscription, topic, partition, count });
        }
        progression.end = cursor.end;
        // A host that stops makes no checkpoint for the sake of progress alone.
        if progression.is_dirty && scope.worker.drain == Drain::No {
            self.book.touch(scope);
        }
        progression.is_behind = !progression.has_caught_up();
        self.book.behind = self.book.behind.saturating_add(u32::from(progression.is_behind));
        let (generation, from) = (self.book.generation, progression.next());
        self.cursors.insert(topic, progression);
        scope.push(Effect::Fetch { subscription, topic, partition, generation, from });
    }

    /// A cursor has been read as far as timers wait for.
    pub(crate) fn catch_up(&mut self, scope: &mut Scope<'_>, topic: TopicId) {
        if let Some(cursor) = self.cursors.get_mut(&topic) {
            cursor.is_behind = false;
            self.book.behind = self.book.behind.saturating_sub(1);
        }
        self.watch_timers(scope);
    }

    /// Overdue timers wait until reading has come to `end`.
    pub(crate) fn hold_until(&mut self, end: &Position) {
        let Some(cursor) = self.cursors.get_mut(&end.topic) else { return };
        cursor.end = end.offset;
        let (was_behind, is_behind) = (cursor.is_behind, !cursor.has_caught_up());
        cursor.is_behind = is_behind;
        let others = self.book.behind.saturating_sub(u32::from(was_behind));
        self.book.behind = others.saturating_add(u32::from(is_behind));
    }
}

/// Progress to go on from, and whether a new epoch begins with it.
fn resume(cursor: &Cursor) -> (Progression, bool) {
    let Some(stored) = &cursor.stored else {
        let next = cursor.committed.unwrap_or(cursor.initial);
        let mut fresh = Progression::new(cursor.incarnation, 0, next, next);
        // Where reading began is kept, else a restart before the first event would begin at
        // another `initial` and lose what lies between.
        fresh.is_dirty = true;
        return (fresh, false);
    };
    if stored.incarnation != cursor.incarnation {
        let held = |offset: &Offset| *offset >= cursor.start;
        let given = cursor.committed.filter(held).or(Some(cursor.initial).filter(held));
        let mut begun = reset(cursor, stored, given.unwrap_or(cursor.start));
        // No offset means what it meant: every mark of the former topic is void.
        begun.epoch_start = Offset(0);
        return (begun, true);
    }
    match cursor.committed {
        Some(committed) if committed < stored.next => (reset(cursor, stored, committed), true),
        committed => {
            let mut kept =
                Progression::new(stored.incarnation, stored.epoch, stored.epoch_start, stored.next);
            kept.restore(&stored.finished);
            if let Some(committed) = committed.filter(|committed| *committed > kept.next()) {
                kept.skip_to(committed);
                kept.is_dirty = true;
            }
            (kept, false)
        }
    }
}

fn reset(cursor: &Cursor, stored: &StoredProgress, next: Offset) -> Progression {
    let epoch = stored.epoch.saturating_add(1);
    let mut begun = Progression::new(cursor.incarnation, epoch, next, next);
    begun.is_dirty = true;
    begun
}

#[cfg(test)]
mod tests;
