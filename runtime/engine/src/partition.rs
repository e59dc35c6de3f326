//! Owns everything held of one assigned partition and the moves of its lanes between states. It
//! never decides which move is right.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::backpressure::Window;
use crate::cursor::Progression;
use crate::dedupe::Ids;
use crate::lane::{Event, Lane, State};
use crate::timers::Timers;
use crate::worker::{Alarm, Place, Scope};
use crate::{
    AttemptId, Bytes, Effect, EventRef, Generation, Instant, KeyHash, Position, Staged, TopicId,
};

/// An assigned partition of a subscription.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) book: Book,
    pub(crate) cursors: BTreeMap<TopicId, Progression>,
    /// Lanes with anything in memory, parked or blocked.
    pub(crate) lanes: BTreeMap<KeyHash, Lane>,
    pub(crate) ids: Ids,
    pub(crate) timers: Timers,
}

/// What is counted and indexed about a partition.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    pub(crate) place: Place,
    pub(crate) generation: Generation,
    pub(crate) is_revoking: bool,
    /// When what still runs of a revoked partition is interrupted.
    pub(crate) revoke_due: Option<Instant>,
    pub(crate) running: BTreeSet<AttemptId>,
    /// Lanes that wait for an operator.
    pub(crate) stuck: BTreeSet<KeyHash>,
    /// Lanes that wait for a checkpoint.
    pub(crate) unsaved: BTreeSet<KeyHash>,
    pub(crate) window: Window,
    pub(crate) lanes_parked: u64,
    pub(crate) parked_events: u64,
    /// First failures of the heads of parked lanes.
    pub(crate) oldest: BTreeSet<(Instant, KeyHash)>,
    /// Cursors that overdue timers wait for.
    pub(crate) behind: u32,
    /// Parked events whose bytes an attempt had loaded, and that were not released since.
    pub(crate) loaded: BTreeSet<EventRef>,
    /// Events and bytes in the filling checkpoint.
    pub(crate) staged_events: u64,
    pub(crate) staged_bytes: Bytes,
    /// Events in the committing checkpoint.
    pub(crate) committing_events: u64,
    /// Whether the filling checkpoint has anything of it.
    pub(crate) is_touched: bool,
    /// Whether the committing checkpoint has anything of it.
    pub(crate) is_committing: bool,
}

impl Book {
    pub(crate) fn new(place: Place, generation: Generation) -> Self {
        Self {
            place,
            generation,
            is_revoking: false,
            revoke_due: None,
            running: BTreeSet::new(),
            stuck: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            window: Window::default(),
            lanes_parked: 0,
            parked_events: 0,
            oldest: BTreeSet::new(),
            behind: 0,
            loaded: BTreeSet::new(),
            staged_events: 0,
            staged_bytes: Bytes(0),
            committing_events: 0,
            is_touched: false,
            is_committing: false,
        }
    }

    /// Adds to the filling checkpoint.
    pub(crate) fn stage(&mut self, scope: &mut Scope<'_>, staged: Staged, size: Bytes) {
        self.touch(scope);
        self.staged_events = self.staged_events.saturating_add(1);
        self.staged_bytes = self.staged_bytes.plus(size);
        let effect = Effect::Stage {
            checkpoint: scope.worker.checkpoints.add(size),
            subscription: self.place.0,
            partition: self.place.1,
            generation: self.generation,
            staged,
        };
        scope.push(effect);
    }

    /// The filling checkpoint has something of this partition.
    pub(crate) fn touch(&mut self, scope: &mut Scope<'_>) {
        if !self.is_touched {
            self.is_touched = true;
            scope.worker.checkpoints.touch(self.place, self.generation, scope.now);
        }
    }

    pub(crate) fn release(&self, scope: &mut Scope<'_>, event: EventRef) {
        scope.push(Effect::Release { subscription: self.place.0, event });
    }

    /// Moves a lane from one state to another, with all that is indexed by it.
    pub(crate) fn put(
        &mut self,
        scope: &mut Scope<'_>,
        key: KeyHash,
        lane: &mut Lane,
        state: State,
    ) {
        match lane.state {
            State::Asleep(due) => {
                scope.worker.alarms.remove(&(due, Alarm::Lane(self.place, key)));
                scope.desk.asleep = scope.desk.asleep.saturating_sub(1);
            }
            State::Stuck => {
                self.stuck.remove(&key);
            }
            // Whoever takes a lane's turn finds its state; it stays in line.
            State::Ready if state == State::Ready => return,
            State::Ready | State::Idle | State::Running(_) | State::Waiting(_) | State::Unsaved => {
            }
        }
        lane.state = state;
        match state {
            State::Asleep(Instant::NEVER) | State::Stuck => {
                lane.state = State::Stuck;
                self.stuck.insert(key);
            }
            State::Asleep(due) => {
                scope.worker.alarms.insert((due, Alarm::Lane(self.place, key)));
                scope.desk.asleep = scope.desk.asleep.saturating_add(1);
            }
            State::Ready if self.is_revoking => lane.state = State::Idle,
            State::Ready => {
                scope.desk.ready.push_back((self.place.1, key));
                scope.enroll();
            }
            State::Idle | State::Running(_) | State::Waiting(_) | State::Unsaved => {}
        }
    }
}

impl Partition {
    /// The head of a lane is gone: the next one's turn, or the end of the lane.
    pub(crate) fn advance(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if lane.head().is_some() {
            self.book.put(scope, key, lane, State::Ready);
        } else {
            self.book.put(scope, key, lane, State::Idle);
            self.lanes.remove(&key);
        }
    }

    /// Puts an event at the end of a lane in memory.
    pub(crate) fn enqueue(&mut self, scope: &mut Scope<'_>, key: KeyHash, event: Event) {
        match event.origin {
            EventRef::Record(_) => {
                self.book.window.add(event.size);
                self.weigh(scope);
            }
            EventRef::Timer { .. } => self.timers.queued = self.timers.queued.saturating_add(1),
        }
        let lane = self.lanes.entry(key).or_insert_with(Lane::new);
        lane.queue.push_back(event);
        if lane.state == State::Idle {
            self.book.put(scope, key, lane, State::Ready);
        }
    }

    /// Takes the head of a lane's queue out of memory's books: it is terminal or parked.
    pub(crate) fn leave_memory(&mut self, scope: &mut Scope<'_>, event: &Event) {
        match event.origin {
            EventRef::Record(position) => {
                self.finish(position);
                self.book.window.remove(event.size);
                self.weigh(scope);
            }
            EventRef::Timer { timer, sequence, .. } => {
                self.timers.queued = self.timers.queued.saturating_sub(1);
                self.forget_timer(scope, timer, sequence);
            }
        }
    }

    /// A record is finished: its progress is in whatever checkpoint closes next.
    pub(crate) fn finish(&mut self, position: Position) {
        if let Some(cursor) = self.cursors.get_mut(&position.topic) {
            cursor.finish(position.offset);
        }
    }

    /// Cancels what runs; the events return to the heads of their lanes.
    pub(crate) fn cancel_running(&mut self, scope: &mut Scope<'_>) {
        for attempt in core::mem::take(&mut self.book.running) {
            scope.push(Effect::Cancel { attempt });
            let lane = scope.worker.running.get(&attempt).map(|running| running.lane);
            if let Some(lane) = lane.and_then(|key| self.lanes.get_mut(&key)) {
                lane.state = State::Idle;
            }
            scope.end_attempt(attempt);
        }
    }

    /// Takes the partition off every index of the worker and lets go of its bytes.
    pub(crate) fn take_down(&mut self, scope: &mut Scope<'_>) {
        let place = self.book.place;
        for (key, lane) in &mut self.lanes {
            self.book.put(scope, *key, lane, State::Idle);
            let parked = lane.parking.as_ref().and_then(|parking| parking.events.front());
            let head = parked.filter(|parked| parked.is_loaded).map(|parked| &parked.event);
            for event in head.into_iter().chain(&lane.queue) {
                scope.effects.push(Effect::Release { subscription: place.0, event: event.origin });
            }
        }
        scope.desk.forget(place.1);
        scope.desk.timers = scope.desk.timers.saturating_sub(self.timers.count());
        if let Some(alarm) = self.timers.alarm.take() {
            scope.worker.alarms.remove(&(alarm, Alarm::Timers(place)));
        }
        if self.book.is_touched {
            let (events, bytes) = (self.book.staged_events, self.book.staged_bytes);
            scope.worker.checkpoints.forget(place, events, bytes);
        }
        scope.worker.revoking.remove(&place);
        if let Some(due) = self.book.revoke_due {
            scope.worker.alarms.remove(&(due, Alarm::Revoke(place)));
        }
    }
}
