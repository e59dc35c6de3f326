//! Reads what partitions hold and tells the engine of it: position, key, size, id, verdict. The
//! bytes stay here. When reading stops and goes on is the engine's decision.

use std::sync::Arc;
use std::time::Instant as Moment;

use gristmill_engine::{
    Bytes as Size, EventRef, Fetched, Generation, IdHash, Input, Mark, Offset, PartitionId,
    Position, SubscriptionId, TopicId, Verdict,
};
use gristmill_plugin_host::{Failure, Handled};
use gristmill_store::{ReadLimit, Scope, Stored};

use super::part::{Content, Held, ReadCursor, Slot, stored_size};
use super::{TURN_TIME_MAX, Worker, attempts, request};
use crate::Error;
use crate::binding::{Binding, Role, Source};
use crate::envelope;
use crate::schemas::Broken;
use crate::shared::Shared;

/// Events read from one topic partition in one turn: few enough that finished attempts and
/// commits are not kept waiting, enough that a read's fixed cost does not show.
const READ_EVENTS_MAX: u32 = 256;
/// Bytes read in one turn; one event more than this is still read whole.
const READ_BYTES_MAX: Size = Size::mib(1);

/// Events that a worker holds of all partitions together before each but reads a few: beyond that
/// they wait in the store, where they take no memory, and not in maps that fit no processor's cache
/// (measured: ADR `2026-11-30-a-host-that-falls-behind`).
const HELD_MAX: usize = 8_192;
/// Events of a partition that are held whatever others hold, so that each has something to do.
const FEW: u32 = 64;

/// Names one cursor: subscription, partition number and topic.
pub(super) type CursorId = (SubscriptionId, PartitionId, TopicId);

/// What the engine may know of a record.
pub(super) struct Look {
    pub(super) id: Option<IdHash>,
    pub(super) verdict: Verdict,
    pub(super) failure: Option<Failure>,
    /// As its handler is given it.
    pub(super) handled: Option<Handled>,
}

impl Worker {
    /// Reads one turn from cursors that may have something, until each had its turn or it has taken
    /// long enough. True when anything was read.
    pub(super) fn fetch(&mut self) -> Result<bool, Error> {
        if self.readable.is_empty() {
            return Ok(false);
        }
        let began = Moment::now();
        let mut others = std::mem::take(&mut self.readable);
        // Whoever had no turn the last time comes first.
        let first = self.unread.take().map(|first| others.split_off(&first)).unwrap_or_default();
        let mut cursors = first.into_iter().chain(others);
        let held: usize = self.parts.values().map(|part| part.slots.len()).sum();
        let few = usize::try_from(FEW).unwrap_or(usize::MAX);
        let mut has_read = false;
        for cursor in cursors.by_ref() {
            let part = self.parts.get(&(cursor.0, cursor.1));
            if held > HELD_MAX && part.is_some_and(|part| part.slots.len() >= few) {
                // Some end, and with each the worker comes here again.
                self.readable.insert(cursor);
                continue;
            }
            let events = if held > HELD_MAX { FEW } else { READ_EVENTS_MAX };
            has_read |= self.fetch_from(cursor, events)?;
            if began.elapsed() > TURN_TIME_MAX {
                break;
            }
        }
        self.unread = cursors.next();
        self.readable.extend(self.unread);
        self.readable.extend(cursors);
        Ok(has_read || self.unread.is_some())
    }

    /// Partitions grew: their cursors may have something.
    pub(super) fn note_growth(&mut self, grown: &[(TopicId, PartitionId)]) {
        for (topic, partition) in grown {
            for binding in self.current.values() {
                if binding.source(*topic).is_some() {
                    self.readable.insert((binding.subscription, *partition, *topic));
                }
            }
        }
    }

    /// The engine says where a new assignment reads from.
    pub(super) fn start_fetching(&mut self, id: CursorId, generation: Generation, from: Offset) {
        if let Some(cursor) = self.cursor(id, Some(generation)) {
            cursor.next = Some(from);
            cursor.finished = from;
            self.readable.insert(id);
            let (subscription, partition, topic) = id;
            self.shared.progress.note((subscription, topic, partition), from, 0);
            if self.kafka.is_some() {
                self.begin_reading(id, from);
            }
        }
    }

    /// The engine has enough, or wants more.
    pub(super) fn set_paused(&mut self, id: CursorId, is_paused: bool) {
        if let Some(cursor) = self.cursor(id, None) {
            cursor.is_paused = is_paused;
            if !is_paused {
                self.readable.insert(id);
            }
        }
    }

    pub(super) fn cursor(
        &mut self,
        id: CursorId,
        of: Option<Generation>,
    ) -> Option<&mut ReadCursor> {
        let (subscription, partition, topic) = id;
        let part = self.parts.get_mut(&(subscription, partition))?;
        if of.is_some_and(|generation| generation != part.generation) {
            return None;
        }
        part.cursors.iter_mut().find(|cursor| cursor.topic == topic)
    }

    fn fetch_from(&mut self, id: CursorId, events: u32) -> Result<bool, Error> {
        if self.kafka.is_some() {
            return self.fetch_records(id);
        }
        let (subscription, partition, topic) = id;
        let Some(cursor) = self.cursor(id, None) else { return Ok(false) };
        let Some(from) = cursor.next.filter(|_| !cursor.is_paused) else { return Ok(false) };
        let limit = ReadLimit { events, bytes: READ_BYTES_MAX };
        let began = Moment::now();
        let read = self.shared.store.read(topic, partition, from, limit)?;
        self.tally.stored(began);
        let Some(last) = read.last().map(|stored| stored.offset) else { return Ok(false) };
        if let Some(cursor) = self.cursor(id, None) {
            cursor.next = Some(last.next());
        }
        // There may be more; an empty read ends this.
        self.readable.insert(id);
        for stored in read {
            // The engine may take the partition away in the middle of a read.
            let Some(part) = self.parts.get(&(subscription, partition)) else { break };
            let generation = part.generation;
            self.take_record(id, generation, stored)?;
        }
        Ok(true)
    }

    /// Tells the engine of a record that was read under `generation`.
    pub(super) fn take_record(
        &mut self,
        (subscription, partition, topic): CursorId,
        generation: Generation,
        stored: Stored,
    ) -> Result<(), Error> {
        let Some(part) = self.parts.get(&(subscription, partition)) else { return Ok(()) };
        let binding = Arc::clone(&part.binding);
        let Some(source) = binding.source(topic) else { return Ok(()) };
        let read_at = Position { topic, partition, offset: stored.offset };
        let fetched = self.describe(&binding, source, generation, (read_at, stored))?;
        self.feed(Input::Fetched(fetched))
    }

    /// Puts a record's bytes into its slot and says what the engine may know of it.
    fn describe(
        &mut self,
        binding: &Binding,
        source: &Source,
        generation: Generation,
        (position, stored): (Position, Stored),
    ) -> Result<Fetched, Error> {
        let subscription = binding.subscription;
        let scope = Scope { subscription, partition: position.partition };
        let size = stored_size(&stored);
        if let Some(meter) = self.meters.get(&subscription) {
            meter.consumed(&source.name);
        }
        let held = Held::new(&source.name, position, stored).of(binding.config.state_of);
        let is_forwarded = source.role == Role::Given && binding.forwards_to().is_some();
        let mut look = if is_forwarded { forward() } else { look(binding, &self.shared, &held) };
        if is_forwarded || binding.fallback.is_some() {
            let (place, event) = ((subscription, position.partition), EventRef::Record(position));
            // What was refused where it was passed on to would be again.
            if let Some(reason) = self.refused_emission(place, event) {
                look.verdict = Verdict::Invalid;
                look.failure = Some(attempts::refused(reason));
            }
        }
        let Look { id, verdict, failure, handled } = look;
        let mark = match id {
            Some(id) => self.mark(scope, id)?,
            None => None,
        };
        let fetched = Fetched {
            subscription,
            generation,
            position,
            key: held.owner().map(|key| self.shared.hasher.key(key)),
            size,
            id,
            mark,
            redriven: source.role == Role::Redrive,
            verdict,
        };
        let mut slot = Slot::new(Content::Record(Arc::new(held)), self.shared.clock.now());
        slot.failure = failure;
        slot.handled = handled.map(|handled| (binding.version, handled));
        if let Some(part) = self.parts.get_mut(&(subscription, position.partition)) {
            // One that is parked may have been loaded for its attempt: what that knows stays.
            part.slots.entry(EventRef::Record(position)).or_insert(slot);
        }
        Ok(fetched)
    }

    /// The mark of an id, if it counts: those of a topic's former life are void once it was made
    /// anew.
    fn mark(&mut self, scope: Scope, id: IdHash) -> Result<Option<Mark>, Error> {
        let began = Moment::now();
        let mark = self.shared.store.mark(scope, id)?;
        self.tally.stored(began);
        let exists = |mark: &Mark| self.shared.broker.topic_by_id(mark.position.topic).is_some();
        Ok(mark.filter(exists))
    }
}

/// A record that is handled in another partition.
fn forward() -> Look {
    Look { id: None, verdict: Verdict::Forwarded, failure: None, handled: None }
}

/// Reads the envelope: who the event is, whether the filter wants it, and all a handler is given.
pub(super) fn look(binding: &Binding, shared: &Shared, held: &Held) -> Look {
    if held.origin.timer.is_some() {
        // A redriven timer is no event of a topic: it has no envelope and no id.
        return Look { id: None, verdict: Verdict::Accepted, failure: None, handled: None };
    }
    let decoded = match envelope::decode(&binding.rules, &held.record()) {
        Ok(decoded) => decoded,
        Err(invalid) => {
            let failure = Some(request::invalid(&invalid));
            return Look { id: None, verdict: Verdict::Invalid, failure, handled: None };
        }
    };
    let identity = &decoded.identity;
    let id = identity.hash(&shared.hasher);
    let header = |name: &str| envelope::header(&held.stored.headers, name).map(|value| &value[..]);
    let version = identity.version.as_deref();
    if !binding.config.filter.accepts(&identity.kind, version, header) {
        return Look { id, verdict: Verdict::Filtered, failure: None, handled: None };
    }
    match request::judged((shared, binding), held, decoded) {
        Ok(handled) => {
            Look { id, verdict: Verdict::Accepted, failure: None, handled: Some(handled) }
        }
        Err(Broken::Invalid(invalid)) => {
            let failure = Some(request::invalid(&invalid));
            Look { id, verdict: Verdict::Invalid, failure, handled: None }
        }
        // It is read again when it is attempted, and waits if its schema is still not here.
        Err(Broken::Away(_)) => {
            Look { id, verdict: Verdict::Accepted, failure: None, handled: None }
        }
    }
}
