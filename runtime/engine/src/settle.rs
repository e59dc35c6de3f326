//! Decides what follows from a terminal outcome: what is staged, who is freed by it. It never
//! decides which outcome it is.

use crate::dedupe::Twins;
use crate::lane::{Event, State};
use crate::partition::Partition;
use crate::worker::Scope;
use crate::{Bytes, EventRef, IdHash, Instant, KeyHash, Staged, Terminal};

/// How an event ended, and what that weighs in its checkpoint.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) outcome: Terminal,
    pub(crate) size: Bytes,
}

impl Ending {
    /// An outcome without effects.
    pub(crate) fn of(outcome: Terminal) -> Self {
        Self { outcome, size: Bytes(0) }
    }

    /// The outcome of an event of that size for which no attempt is made: only what is passed on
    /// has any weight.
    pub(crate) fn without_attempt(outcome: Terminal, size: Bytes) -> Self {
        let is_passed_on = matches!(outcome, Terminal::Forwarded | Terminal::FellBack);
        Self { outcome, size: if is_passed_on { size } else { Bytes(0) } }
    }

    /// Whether twins of the event are duplicates from now on.
    fn is_marked(&self) -> bool {
        !matches!(self.outcome, Terminal::Duplicate | Terminal::Filtered | Terminal::Forwarded)
    }
}

impl Partition {
    /// Settles the head of a lane. The lane's next move is the caller's.
    pub(crate) fn settle_head(&mut self, scope: &mut Scope<'_>, key: KeyHash, ending: Ending) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let parked = lane.parking.as_mut().and_then(|parking| parking.pop());
        if let Some(parked) = parked {
            let sequence = parked.sequence;
            self.stage_settled(scope, &parked.event, (key, Some(sequence)), ending);
            self.leave_parking(scope, key);
        } else if let Some(event) = lane.queue.pop_front() {
            self.settle(scope, key, &event, ending);
        }
    }

    /// Settles an event of a lane's queue that was taken out of it.
    pub(crate) fn settle(
        &mut self,
        scope: &mut Scope<'_>,
        key: KeyHash,
        event: &Event,
        ending: Ending,
    ) {
        // Progress first: a checkpoint that has the outcome has the progress as well.
        self.leave_memory(scope, event);
        self.stage_settled(scope, event, (key, None), ending);
    }

    /// Settles an event that never joined a lane.
    pub(crate) fn settle_unqueued(
        &mut self,
        scope: &mut Scope<'_>,
        event: &Event,
        outcome: Terminal,
    ) {
        if let EventRef::Record(position) = event.origin {
            self.finish(position);
        }
        self.stage_outcome(scope, event, (event.key, None), Ending::of(outcome));
    }

    fn stage_settled(
        &mut self,
        scope: &mut Scope<'_>,
        event: &Event,
        (lane, parked): (KeyHash, Option<u64>),
        ending: Ending,
    ) {
        let is_marked = ending.is_marked();
        let key = if parked.is_some() { Some(lane) } else { event.key };
        self.stage_outcome(scope, event, (key, parked), ending);
        let Some(id) = event.id else { return };
        if let Some(sequence) = parked {
            self.ids.unpark(id, lane, sequence);
        }
        if is_marked {
            let checkpoint = scope.worker.checkpoints.filling();
            if let Some(twins) = self.ids.settle(id, checkpoint) {
                self.tell(scope, id, *twins);
            }
        }
        self.ids.let_go(id);
    }

    fn stage_outcome(
        &mut self,
        scope: &mut Scope<'_>,
        event: &Event,
        (key, parked): (Option<KeyHash>, Option<u64>),
        ending: Ending,
    ) {
        let is_marked = ending.is_marked();
        let are_too_many = scope.are_too_many_dead(&ending.outcome);
        let staged = Staged::Settled {
            event: event.origin,
            key,
            outcome: ending.outcome,
            mark: event.id.filter(|_| is_marked),
            epoch: event.epoch,
            parked,
        };
        self.book.stage(scope, staged, ending.size);
        if are_too_many {
            scope.pause_for_dead();
        }
        if parked.is_some() {
            self.release_parked(scope, event.origin);
        } else {
            self.book.release(scope, event.origin);
        }
    }

    /// Lets go of the bytes of a parked event, unless its position was read again after a reset:
    /// then those of the same name in memory are wanted.
    pub(crate) fn release_parked(&mut self, scope: &mut Scope<'_>, event: EventRef) {
        self.book.loaded.remove(&event);
        if let EventRef::Record(at) = event
            && self.has_pending(at.topic, at.offset)
        {
            return;
        }
        self.book.release(scope, event);
    }

    /// An id is settled: its twins at the heads of lanes have their turn, to be found duplicates;
    /// its parked twins are duplicates in the same checkpoint.
    fn tell(&mut self, scope: &mut Scope<'_>, id: IdHash, twins: Twins) {
        for key in twins.waiters {
            if let Some(lane) = self.lanes.get_mut(&key)
                && lane.state == State::Waiting(id)
            {
                self.book.put(scope, key, lane, State::Ready);
            }
        }
        for (key, sequence) in twins.parked {
            self.settle_parked_twin(scope, key, sequence);
        }
    }

    fn settle_parked_twin(&mut self, scope: &mut Scope<'_>, key: KeyHash, sequence: u64) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let was_head = lane.head().is_some_and(|(_, parked)| parked == Some(sequence));
        let state = lane.state;
        let Some(twin) = lane.parking.as_mut().and_then(|parking| parking.take(sequence)) else {
            return;
        };
        let place = (Some(key), Some(sequence));
        self.stage_outcome(scope, &twin.event, place, Ending::of(Terminal::Duplicate));
        if let Some(id) = twin.event.id {
            self.ids.let_go(id);
        }
        if was_head && state == State::Stuck {
            // What blocks the lane is not this event: the next one inherits the wait.
            self.leave_parking_blocked(scope, key);
            self.reschedule(scope, key, Instant::NEVER);
        } else {
            self.leave_parking(scope, key);
            if was_head {
                self.advance(scope, key);
            }
        }
    }
}
