//! Decides what is moved into durable parked lanes and what comes back, so that one failing key
//! does not hold back its partition's offset. It never stores anything.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use crate::fetch::foregone;
use crate::lane::{Event, Lane, State};
use crate::partition::Partition;
use crate::settle::Ending;
use crate::worker::{Scope, count};
use crate::{
    Bytes, CheckpointId, EventRef, Instant, KeyHash, Observation, ParkedLane, Policy, Staged,
    Terminal,
};

/// The durable part of a lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parking {
    pub(crate) events: VecDeque<Parked>,
    sequence_next: u64,
    bytes: Bytes,
    is_full: bool,
    /// Records in the lane's queue that found no room; they keep later ones from overtaking.
    overflow: u64,
    /// First failure of the head, as indexed.
    oldest: Option<Instant>,
}

/// An event in durable parking.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    pub(crate) sequence: u64,
    pub(crate) event: Event,
    /// Whether an attempt had its bytes loaded.
    pub(crate) is_loaded: bool,
    /// The checkpoint that has its figures.
    pub(crate) saved_in: CheckpointId,
}

impl Parking {
    pub(crate) fn pop(&mut self) -> Option<Parked> {
        let sequence = self.events.front()?.sequence;
        self.take(sequence)
    }

    /// Takes out the event at `sequence`.
    pub(crate) fn take(&mut self, sequence: u64) -> Option<Parked> {
        let at = self.events.binary_search_by_key(&sequence, |parked| parked.sequence).ok()?;
        let parked = self.events.remove(at)?;
        self.bytes = self.bytes.minus(parked.event.size);
        Some(parked)
    }

    fn push(&mut self, sequence: u64, event: Event, saved_in: CheckpointId) {
        self.bytes = self.bytes.plus(event.size);
        self.sequence_next = self.sequence_next.max(sequence.saturating_add(1));
        self.events.push_back(Parked { sequence, event, is_loaded: false, saved_in });
    }

    fn has_reached(&self, policy: &Policy) -> bool {
        count(self.events.len()) >= u64::from(policy.parked_events_max)
            || self.bytes >= policy.parked_bytes_max
    }

    fn is_below_half(&self, policy: &Policy) -> bool {
        count(self.events.len()).saturating_mul(2) < u64::from(policy.parked_events_max)
            && self.bytes.plus(self.bytes) < policy.parked_bytes_max
    }
}

impl Partition {
    /// Moves a lane into durable parking: its head, which failed, until `due`, and everything
    /// behind it. Timers stay, being durable anyway.
    pub(crate) fn park(&mut self, scope: &mut Scope<'_>, key: KeyHash, due: Instant) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some(head) = lane.queue.pop_front() else { return };
        lane.parking = Some(Box::default());
        self.book.put(scope, key, lane, State::Asleep(due));
        self.book.lanes_parked = self.book.lanes_parked.saturating_add(1);
        scope.observe(Observation::LaneParked { subscription: self.book.place.0 });
        self.store(scope, key, head);
        self.store_queue(scope, key);
    }

    /// Blocks a lane until an operator resumes the subscription: a dead letter was its head.
    pub(crate) fn block(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let lane = self.lanes.entry(key).or_insert_with(Lane::new);
        if lane.parking.is_none() {
            lane.parking = Some(Box::default());
            self.book.put(scope, key, lane, State::Stuck);
            self.book.lanes_parked = self.book.lanes_parked.saturating_add(1);
            scope.observe(Observation::LaneParked { subscription: self.book.place.0 });
            self.store_queue(scope, key);
        } else {
            self.reschedule(scope, key, Instant::NEVER);
        }
    }

    /// Gives the parked head of a lane a new moment, durably.
    pub(crate) fn reschedule(&mut self, scope: &mut Scope<'_>, key: KeyHash, due: Instant) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        self.book.put(scope, key, lane, State::Asleep(due));
        let Some(parked) = lane.parking.as_mut().and_then(|it| it.events.front_mut()) else {
            return;
        };
        let staged = Staged::Retried {
            key,
            sequence: parked.sequence,
            attempts: parked.event.attempts,
            first_failure: parked.event.first_failure,
            due,
        };
        let (event, was_loaded) = (parked.event.origin, parked.is_loaded);
        parked.is_loaded = false;
        parked.saved_in = scope.worker.checkpoints.filling();
        self.book.stage(scope, staged, Bytes(0));
        if was_loaded {
            self.release_parked(scope, event);
        }
        self.index_oldest(key);
    }

    /// A record was read: appends it to its lane, wherever that is.
    pub(crate) fn append(&mut self, scope: &mut Scope<'_>, key: KeyHash, event: Event) {
        let parking = self.lanes.get_mut(&key).and_then(|lane| lane.parking.as_mut());
        match parking {
            Some(parking) if parking.is_full || parking.overflow > 0 => {
                parking.overflow = parking.overflow.saturating_add(1);
                self.enqueue(scope, key, event);
            }
            Some(_) => {
                self.book.window.add(event.size);
                self.store(scope, key, event);
            }
            None => self.enqueue(scope, key, event),
        }
    }

    /// A parked event is gone for good: makes room, and an ordinary lane of an empty one.
    pub(crate) fn leave_parking(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        self.book.parked_events = self.book.parked_events.saturating_sub(1);
        self.index_oldest(key);
        self.unpark_empty(scope, key);
        self.make_room(scope, key);
    }

    /// As `leave_parking`, but the lane stays parked when empty: an operator must free it.
    pub(crate) fn leave_parking_blocked(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        self.book.parked_events = self.book.parked_events.saturating_sub(1);
        self.index_oldest(key);
        self.make_room(scope, key);
    }

    /// A full lane of which half is free takes its overflow in and lets its partition read on.
    fn make_room(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let policy = &scope.desk.policy;
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some(parking) = lane.parking.as_mut() else { return };
        if parking.is_full && parking.is_below_half(policy) {
            parking.is_full = false;
            parking.overflow = 0;
            self.book.window.lanes_full = self.book.window.lanes_full.saturating_sub(1);
            self.store_queue(scope, key);
            self.weigh(scope);
        }
    }

    /// A checkpoint is durable: lanes that waited for it have their turn.
    pub(crate) fn saved(&mut self, scope: &mut Scope<'_>) {
        for key in core::mem::take(&mut self.book.unsaved) {
            if let Some(lane) = self.lanes.get_mut(&key)
                && lane.state == State::Unsaved
            {
                self.book.put(scope, key, lane, State::Ready);
            }
        }
    }

    /// An empty parked lane is an ordinary one again.
    pub(crate) fn unpark_empty(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if lane.parking.as_ref().is_none_or(|parking| !parking.events.is_empty()) {
            return;
        }
        if lane.parking.take().is_some_and(|parking| parking.is_full) {
            self.book.window.lanes_full = self.book.window.lanes_full.saturating_sub(1);
            self.weigh(scope);
        }
        self.book.lanes_parked = self.book.lanes_parked.saturating_sub(1);
    }

    /// Takes over a durably parked lane. Its head runs when it is due.
    pub(crate) fn restore_lane(&mut self, scope: &mut Scope<'_>, restored: ParkedLane) {
        let key = restored.key;
        let Some(due) = restored.events.first().map(|first| first.due) else { return };
        let mut parking = Box::<Parking>::default();
        for parked in restored.events {
            let epoch = self.epoch_of(parked.event);
            if let EventRef::Timer { sequence, .. } = parked.event {
                self.timers.reserve(sequence);
            }
            let event = Event::restored(key, epoch, &parked);
            if let Some(id) = event.id {
                self.ids.hold(id);
                // Who failed had been dispatched: the id is still its own.
                if parking.events.is_empty() && event.attempts > 0 {
                    self.ids.own(id, key);
                }
                if !event.redriven {
                    self.ids.park(id, key, parked.sequence);
                }
            }
            self.book.parked_events = self.book.parked_events.saturating_add(1);
            // What was loaded is durable.
            parking.push(parked.sequence, event, CheckpointId(0));
        }
        let lane = self.lanes.entry(key).or_insert_with(Lane::new);
        lane.parking = Some(parking);
        self.book.lanes_parked = self.book.lanes_parked.saturating_add(1);
        let state = if due <= scope.now { State::Ready } else { State::Asleep(due) };
        self.book.put(scope, key, lane, state);
        self.index_oldest(key);
        self.note_full(scope, key);
    }

    fn epoch_of(&self, event: EventRef) -> u32 {
        match event {
            EventRef::Record(at) => self.cursors.get(&at.topic).map_or(0, |cursor| cursor.epoch),
            EventRef::Timer { .. } => 0,
        }
    }

    /// Moves the records of a lane's queue into parking, as far as there is room.
    fn store_queue(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let queue = core::mem::take(&mut lane.queue);
        let mut kept = VecDeque::new();
        for event in queue {
            let is_record = matches!(event.origin, EventRef::Record(_));
            let lane = self.lanes.get_mut(&key);
            let Some(parking) = lane.and_then(|lane| lane.parking.as_mut()) else { continue };
            if is_record && !parking.is_full && parking.overflow == 0 {
                self.store(scope, key, event);
            } else {
                let overflow = u64::from(is_record);
                parking.overflow = parking.overflow.saturating_add(overflow);
                kept.push_back(event);
            }
        }
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.queue = kept;
        }
    }

    /// Moves one event from memory to the end of the parked lane. A twin of a settled event is
    /// settled instead: parked, it would miss its mark after a restart.
    fn store(&mut self, scope: &mut Scope<'_>, key: KeyHash, mut event: Event) {
        let is_twin = !event.redriven
            && event.first_failure.is_none()
            && event.id.is_some_and(|id| self.ids.is_settled(id));
        // What needs no attempt is settled as well: a parked lane does not say so of its events.
        let settled = match foregone(event.kind) {
            Some(Ok(outcome)) => Some(outcome),
            _ if is_twin => Some(Terminal::Duplicate),
            _ => None,
        };
        if let Some(outcome) = settled {
            self.settle(scope, key, &event, Ending::of(outcome));
            return;
        }
        self.leave_memory(scope, &event);
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let state = lane.state;
        let Some(parking) = lane.parking.as_mut() else { return };
        let sequence = parking.sequence_next;
        let due = match state {
            State::Asleep(due) if parking.events.is_empty() => due,
            State::Stuck if parking.events.is_empty() => Instant::NEVER,
            State::Idle
            | State::Ready
            | State::Running(_)
            | State::Waiting(_)
            | State::Unsaved
            | State::Asleep(_)
            | State::Stuck => scope.now,
        };
        let staged = Staged::Parked {
            event: event.origin,
            key,
            sequence,
            attempts: event.attempts,
            first_failure: event.first_failure,
            due,
            id: event.id,
            redriven: event.redriven,
        };
        event.key = Some(key);
        if let Some(id) = event.id.filter(|_| !event.redriven) {
            self.ids.park(id, key, sequence);
        }
        let (of, size) = (event.origin, event.size);
        parking.push(sequence, event, scope.worker.checkpoints.filling());
        self.book.parked_events = self.book.parked_events.saturating_add(1);
        self.book.stage(scope, staged, size);
        self.book.release(scope, of);
        self.index_oldest(key);
        self.note_full(scope, key);
    }

    fn note_full(&mut self, scope: &mut Scope<'_>, key: KeyHash) {
        let policy = &scope.desk.policy;
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some(parking) = lane.parking.as_mut() else { return };
        if !parking.is_full && parking.has_reached(policy) {
            parking.is_full = true;
            self.book.window.lanes_full = self.book.window.lanes_full.saturating_add(1);
            self.weigh(scope);
        }
    }

    /// Keeps the index of first failures in step with the head of a parked lane.
    fn index_oldest(&mut self, key: KeyHash) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some(parking) = lane.parking.as_mut() else { return };
        let oldest = parking.events.front().and_then(|parked| parked.event.first_failure);
        if oldest == parking.oldest {
            return;
        }
        if let Some(former) = core::mem::replace(&mut parking.oldest, oldest) {
            self.book.oldest.remove(&(former, key));
        }
        if let Some(oldest) = oldest {
            self.book.oldest.insert((oldest, key));
        }
    }
}

#[cfg(test)]
mod tests;
