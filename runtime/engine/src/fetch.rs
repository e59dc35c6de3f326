//! Decides what becomes of a record that was read: stale, finished already, settled at once, or
//! one more event of its lane. It never reads.

use crate::lane::{Event, Kind, lane_of, lane_of_forwarded};
use crate::partition::Partition;
use crate::worker::{Drain, Scope};
use crate::{
    EventRef, FailureClass, Fetched, Observation, Offset, Policy, Position, Terminal, TopicId,
    Verdict, Violation,
};

impl Partition {
    /// Takes a record of this assignment.
    pub(crate) fn fetched(
        &mut self,
        scope: &mut Scope<'_>,
        fetched: &Fetched,
    ) -> Result<(), Violation> {
        let event = EventRef::Record(fetched.position);
        if self.book.is_revoking || scope.worker.drain != Drain::No {
            self.release_fetched(scope, event);
            return Ok(());
        }
        let position = fetched.position;
        let Some(cursor) = self.cursors.get_mut(&position.topic) else {
            return Err(Violation {
                what: "a record of a topic that was not assigned was fetched",
            });
        };
        if !cursor.is_rising(position.offset) {
            return Err(Violation { what: "the offsets of a topic partition do not rise" });
        }
        let is_new = cursor.fetch(position.offset);
        let epoch = cursor.epoch;
        let is_dirty = cursor.is_dirty;
        let has_caught_up = cursor.is_behind && cursor.has_caught_up();
        if is_new {
            self.take(scope, fetched, epoch);
        } else {
            scope.observe(Observation::AlreadyFinished { subscription: self.book.place.0 });
            self.release_fetched(scope, event);
            if is_dirty {
                self.book.touch(scope);
            }
        }
        if has_caught_up {
            self.catch_up(scope, position.topic);
        }
        Ok(())
    }

    /// Reading of this assignment has come to `end`.
    pub(crate) fn reached(&mut self, scope: &mut Scope<'_>, end: Position) {
        if self.book.is_revoking || scope.worker.drain != Drain::No {
            return;
        }
        let Some(cursor) = self.cursors.get_mut(&end.topic) else { return };
        cursor.reach(end.offset);
        let is_dirty = cursor.is_dirty;
        let has_caught_up = cursor.is_behind && cursor.has_caught_up();
        if is_dirty {
            self.book.touch(scope);
        }
        if has_caught_up {
            self.catch_up(scope, end.topic);
        }
    }

    /// Whether the event at `offset` is in memory.
    pub(crate) fn has_pending(&self, topic: TopicId, offset: Offset) -> bool {
        self.cursors.get(&topic).is_some_and(|cursor| cursor.is_pending(offset))
    }

    /// Lets go of the bytes of a record that is dropped, unless it is parked and an attempt has
    /// loaded them: after a restart it is read again where an earlier one was not finished.
    fn release_fetched(&self, scope: &mut Scope<'_>, event: EventRef) {
        if !self.book.loaded.contains(&event) {
            self.book.release(scope, event);
        }
    }

    fn take(&mut self, scope: &mut Scope<'_>, fetched: &Fetched, epoch: u32) {
        let kind = self.kind_of(&scope.desk.policy, fetched);
        let event = Event {
            origin: EventRef::Record(fetched.position),
            kind,
            key: fetched.key,
            size: fetched.size,
            id: fetched.id.filter(|_| matches!(kind, Kind::Accepted | Kind::Invalid)),
            epoch,
            redriven: fetched.redriven,
            attempts: 0,
            outages: 0,
            first_failure: None,
        };
        let settled = match kind {
            Kind::Filtered => Some(Terminal::Filtered),
            Kind::Duplicate => Some(Terminal::Duplicate),
            // One that could not be forwarded at once must not be overtaken by one that can.
            Kind::Accepted | Kind::Invalid | Kind::Forwarded => None,
        };
        if let Some(outcome) = settled
            && scope.worker.is_open()
        {
            self.settle_unqueued(scope, &event, outcome);
            return;
        }
        if let Some(id) = event.id {
            self.ids.hold(id);
        }
        let lane = match kind {
            Kind::Forwarded => lane_of_forwarded(fetched.position.topic),
            Kind::Accepted | Kind::Invalid | Kind::Filtered | Kind::Duplicate => {
                lane_of(scope.desk.policy.order, fetched.key, fetched.position)
            }
        };
        self.append(scope, lane, event);
    }

    fn kind_of(&self, policy: &Policy, fetched: &Fetched) -> Kind {
        let is_marked = fetched.mark.is_some_and(|mark| {
            // A mark of a topic that is not read any more was never voided.
            let cursor = self.cursors.get(&mark.position.topic);
            cursor.is_none_or(|cursor| !cursor.voids(&mark))
        });
        if is_marked && !fetched.redriven {
            return Kind::Duplicate;
        }
        match fetched.verdict {
            Verdict::Filtered => Kind::Filtered,
            Verdict::Invalid => Kind::Invalid,
            Verdict::Accepted | Verdict::Forwarded if policy.stateful && fetched.key.is_none() => {
                Kind::Invalid
            }
            Verdict::Accepted => Kind::Accepted,
            Verdict::Forwarded => Kind::Forwarded,
        }
    }
}

/// The outcome of an event that needs no attempt, or the class it fails with.
pub(crate) fn foregone(kind: Kind) -> Option<Result<Terminal, FailureClass>> {
    match kind {
        Kind::Accepted => None,
        Kind::Invalid => Some(Err(FailureClass::Invalid)),
        Kind::Filtered => Some(Ok(Terminal::Filtered)),
        Kind::Duplicate => Some(Ok(Terminal::Duplicate)),
        Kind::Forwarded => Some(Ok(Terminal::Forwarded)),
    }
}

#[cfg(test)]
mod tests;
