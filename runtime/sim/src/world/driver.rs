//! Executes the effects of one worker's engine, in order: keeps attempts, buffers and parked
//! places as a real driver would. It decides nothing; what takes time is handed to the world.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::{
    Assignment, AttemptId, CheckpointId, Effect, EventRef, Generation, Instant, KeyHash, Mark,
    Offset, Outcome, Staged, SubscriptionId, Terminal, TimerChange, TimerHash, TopicId, Version,
};

use crate::planted::{Planted, Subject, picks};
use crate::topic::{EventId, Topics};
use crate::world::durable::{Batch, Durable, Home, Item};

/// Something an effect asks for that takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// An attempt runs now.
    Attempt(AttemptId),
    /// A checkpoint commits.
    Commit(CheckpointId),
    /// A partition must be assigned afresh.
    Rewind(Home),
    /// A revoked partition is free.
    Released(Home),
    /// A breaker wants to know where topics end.
    Ends(SubscriptionId),
    /// The worker may end.
    Drained,
}

/// A running attempt.
#[derive(Debug, Clone, Copy)]
pub struct Running {
    /// The partition of the event.
    pub home: Home,
    /// The event.
    pub event: EventId,
    /// Its key.
    pub key: Option<KeyHash>,
    /// Attempt number, from 1.
    pub number: u32,
    /// Plugin version that runs.
    pub version: Version,
    /// The record's timestamp, or the timer's due time.
    pub timestamp: Instant,
}

/// A partition assigned to the worker.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Which assignment it is.
    pub generation: Generation,
    /// Where to read on, for topics the engine wants read.
    pub fetch: BTreeMap<TopicId, Offset>,
    /// Topics the engine wants unread for now.
    pub paused: BTreeSet<TopicId>,
    /// Whether it is being given back.
    pub revoking: bool,
    /// Whether the engine waits for it to be assigned afresh.
    pub rewinding: bool,
    incarnations: BTreeMap<TopicId, u128>,
    parked: BTreeMap<(KeyHash, u64), (EventId, Origin)>,
    timers: BTreeMap<(TimerHash, u64), Origin>,
}

/// What a driver knows of an event from its bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Origin {
    timestamp: Instant,
    key: Option<KeyHash>,
}

/// One worker without its chance: what it holds in memory.
#[derive(Debug)]
pub struct Driver {
    /// Its number.
    pub worker: usize,
    /// Tells this life of the worker from its others.
    pub life: u64,
    /// Its engine.
    pub subject: Subject,
    /// Whether it is stopping.
    pub draining: bool,
    /// Its partitions.
    pub parts: BTreeMap<Home, Part>,
    /// Attempts that run.
    pub running: BTreeMap<AttemptId, Running>,
    /// Attempts that were cancelled and may still end.
    pub cancelled: BTreeSet<AttemptId>,
    /// The checkpoint that commits.
    pub committing: Option<Batch>,
    planted: Option<Planted>,
    held: BTreeMap<AttemptId, (Version, Vec<TimerChange>)>,
    filling: Vec<(CheckpointId, Item)>,
}

impl Driver {
    /// A worker that has just started.
    #[must_use]
    pub fn new(worker: usize, life: u64, subject: Subject, planted: Option<Planted>) -> Self {
        Self {
            worker,
            life,
            subject,
            draining: false,
            parts: BTreeMap::new(),
            running: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            committing: None,
            planted,
            held: BTreeMap::new(),
            filling: Vec::new(),
        }
    }

    /// Whether nothing waits for a checkpoint.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.filling.is_empty() && self.committing.is_none() && self.running.is_empty()
    }

    /// What waits for the next checkpoint.
    #[must_use]
    pub fn buffered(&self) -> Vec<Item> {
        self.filling.iter().map(|(_, item)| item.clone()).collect()
    }

    /// Takes over a partition, before the engine is told.
    pub fn assign(&mut self, assignment: &Assignment, durable: &Durable) {
        let home = (assignment.subscription, assignment.partition);
        let places = durable.parked.get(&home).into_iter().flatten();
        let reads_on = self.planted == Some(Planted::RewindSkipped);
        let former = self.parts.get(&home).filter(|_| reads_on);
        let part = Part {
            fetch: former.map(|part| part.fetch.clone()).unwrap_or_default(),
            generation: assignment.generation,
            incarnations: assignment.cursors.iter().map(|c| (c.topic, c.incarnation)).collect(),
            parked: places
                .map(|(at, place)| {
                    let origin = Origin { timestamp: place.timestamp, key: place.key };
                    (*at, (place.event, origin))
                })
                .collect(),
            timers: assignment
                .timers
                .iter()
                .map(|t| ((t.timer, t.sequence), Origin { timestamp: t.due, key: Some(t.key) }))
                .collect(),
            ..Part::default()
        };
        self.parts.insert(home, part);
    }

    /// Notes how an attempt ended, before the engine is told; false when it was cancelled.
    pub fn end(&mut self, attempt: AttemptId, outcome: &Outcome) -> bool {
        let Some(running) = self.running.remove(&attempt) else { return false };
        if let Outcome::Succeeded { timers, .. } = outcome {
            self.held.insert(attempt, (running.version, timers.clone()));
        }
        true
    }

    /// Which event `effect` is about, if about any.
    #[must_use]
    pub fn event_of(&self, effect: &Effect) -> Option<EventId> {
        match effect {
            Effect::Invoke { subscription, partition, key, event, parked, .. } => {
                self.resolve((*subscription, *partition), *event, place_of(*key, *parked))
            }
            Effect::Stage { subscription, partition, staged, .. } => {
                self.staged_event((*subscription, *partition), staged)
            }
            Effect::Release { subscription, event } => {
                let partition = match event {
                    EventRef::Record(position) => position.partition,
                    EventRef::Timer { partition, .. } => *partition,
                };
                self.resolve((*subscription, partition), *event, None)
            }
            Effect::Cancel { .. }
            | Effect::Commit { .. }
            | Effect::Discard { .. }
            | Effect::Rewind { .. }
            | Effect::Fetch { .. }
            | Effect::PauseFetch { .. }
            | Effect::ResumeFetch { .. }
            | Effect::Released { .. }
            | Effect::Activated { .. }
            | Effect::Probe { .. }
            | Effect::Drained
            | Effect::Observe(_) => None,
        }
    }

    /// Does what `effect` says; what takes time is returned. `event` is what
    /// [`Driver::event_of`] said of it.
    pub fn execute(
        &mut self,
        effect: Effect,
        event: Option<EventId>,
        durable: &mut Durable,
        topics: &Topics,
    ) -> Option<Asked> {
        match effect {
            Effect::Invoke { attempt, .. } => {
                self.invoke(&effect, event?, durable, topics);
                Some(Asked::Attempt(attempt))
            }
            Effect::Cancel { attempt } => {
                self.running.remove(&attempt);
                self.held.remove(&attempt);
                self.cancelled.insert(attempt);
                None
            }
            Effect::Stage { checkpoint, subscription, partition, generation, staged } => {
                let mut item = self.stage((subscription, partition), generation, staged, event);
                let origin = event.map(|event| self.origin_of(item.home, event, topics));
                let origin = origin.unwrap_or_default();
                (item.timestamp, item.key) = (origin.timestamp, origin.key);
                self.note(&item);
                self.filling.push((checkpoint, item));
                None
            }
            Effect::Commit { checkpoint, progress } => {
                let (items, rest) = std::mem::take(&mut self.filling)
                    .into_iter()
                    .partition(|(c, _)| *c == checkpoint);
                let items: Vec<(CheckpointId, Item)> = items;
                self.filling = rest;
                let items = items.into_iter().map(|(_, item)| item).collect();
                let (worker, life) = (self.worker, self.life);
                self.committing = Some(Batch { worker, life, checkpoint, items, progress });
                Some(Asked::Commit(checkpoint))
            }
            Effect::Discard { subscription, partition, .. } => {
                self.forget((subscription, partition));
                None
            }
            Effect::Rewind { subscription, partition, .. } => {
                self.rewind((subscription, partition));
                Some(Asked::Rewind((subscription, partition)))
            }
            Effect::Released { subscription, partition, .. } => {
                self.parts.remove(&(subscription, partition));
                Some(Asked::Released((subscription, partition)))
            }
            Effect::Probe { subscription } => Some(Asked::Ends(subscription)),
            Effect::Drained => Some(Asked::Drained),
            Effect::Fetch { .. } | Effect::PauseFetch { .. } | Effect::ResumeFetch { .. } => {
                self.read(&effect);
                None
            }
            Effect::Release { .. } | Effect::Activated { .. } | Effect::Observe(_) => None,
        }
    }

    fn read(&mut self, effect: &Effect) {
        match effect {
            Effect::Fetch { subscription, topic, partition, generation, from } => {
                let part = self.parts.get_mut(&(*subscription, *partition));
                if let Some(part) = part.filter(|p| p.generation == *generation) {
                    part.fetch.entry(*topic).or_insert(*from);
                }
            }
            Effect::PauseFetch { subscription, topic, partition } => {
                if let Some(part) = self.parts.get_mut(&(*subscription, *partition)) {
                    part.paused.insert(*topic);
                }
            }
            Effect::ResumeFetch { subscription, topic, partition } => {
                if let Some(part) = self.parts.get_mut(&(*subscription, *partition)) {
                    part.paused.remove(topic);
                }
            }
            Effect::Invoke { .. }
            | Effect::Cancel { .. }
            | Effect::Stage { .. }
            | Effect::Commit { .. }
            | Effect::Discard { .. }
            | Effect::Rewind { .. }
            | Effect::Release { .. }
            | Effect::Released { .. }
            | Effect::Activated { .. }
            | Effect::Probe { .. }
            | Effect::Drained
            | Effect::Observe(_) => {}
        }
    }

    fn invoke(&mut self, effect: &Effect, event: EventId, durable: &mut Durable, topics: &Topics) {
        let Effect::Invoke { attempt, subscription, partition, number, version, .. } = effect
        else {
            return;
        };
        let home = (*subscription, *partition);
        let Origin { timestamp, key } = self.origin_of(home, event, topics);
        let running = Running { home, event, key, number: *number, version: *version, timestamp };
        self.running.insert(*attempt, running);
        if self.planted == Some(Planted::MarkEarly) && picks(*attempt) {
            mark_early(home, event, durable, topics);
        }
    }

    fn stage(
        &mut self,
        home: Home,
        generation: Generation,
        staged: Staged,
        event: Option<EventId>,
    ) -> Item {
        let mut item = Item {
            home,
            generation,
            staged,
            event,
            version: None,
            timers: Vec::new(),
            timestamp: Instant::default(),
            key: None,
        };
        if let Staged::Settled { outcome: Terminal::Succeeded { attempt, .. }, .. } = &item.staged
            && let Some((version, timers)) = self.held.remove(attempt)
        {
            item.version = Some(version);
            item.timers = timers;
        }
        item
    }

    /// Keeps the overlay: parked places and timers as they will be.
    fn note(&mut self, item: &Item) {
        let origin = Origin { timestamp: item.timestamp, key: item.key };
        let Some(part) = self.parts.get_mut(&item.home) else { return };
        match (&item.staged, item.event) {
            (Staged::Parked { key, sequence, .. }, Some(id)) => {
                part.parked.insert((*key, *sequence), (id, origin));
            }
            (Staged::Settled { outcome: Terminal::Succeeded { timer_sequence, .. }, .. }, _) => {
                let mut sequence = *timer_sequence;
                for change in &item.timers {
                    if let TimerChange::Set { timer, due } = change {
                        let set = Origin { timestamp: *due, key: item.key };
                        part.timers.insert((*timer, sequence), set);
                        sequence += 1;
                    }
                }
            }
            (_, _) => {}
        }
    }

    /// Takes a partition's share out of the filling checkpoint. An upgrade is no partition's.
    fn forget(&mut self, home: Home) {
        let upgrade = |item: &Item| matches!(item.staged, Staged::Upgraded { .. });
        self.filling.retain(|(_, item)| item.home != home || upgrade(item));
    }

    fn rewind(&mut self, home: Home) {
        if self.planted != Some(Planted::RewindSkipped) {
            self.forget(home);
        }
        if let Some(part) = self.parts.get_mut(&home) {
            part.rewinding = true;
            part.paused.clear();
        }
    }

    fn staged_event(&self, home: Home, staged: &Staged) -> Option<EventId> {
        match staged {
            Staged::Settled { event, key, parked, .. } => {
                self.resolve(home, *event, place_of(*key, *parked))
            }
            Staged::Parked { event, .. } => self.resolve(home, *event, None),
            Staged::Retried { key, sequence, .. } => {
                self.parts.get(&home)?.parked.get(&(*key, *sequence)).map(|(id, _)| *id)
            }
            Staged::Upgraded { .. } => None,
        }
    }

    fn resolve(
        &self,
        home: Home,
        event: EventRef,
        parked: Option<(KeyHash, u64)>,
    ) -> Option<EventId> {
        let part = self.parts.get(&home)?;
        if let Some(place) = parked {
            return part.parked.get(&place).map(|(id, _)| *id);
        }
        Some(match event {
            EventRef::Record(position) => {
                let incarnation = part.incarnations.get(&position.topic).copied()?;
                EventId::Record { position, incarnation }
            }
            EventRef::Timer { partition, timer, sequence } => {
                EventId::Timer { partition, timer, sequence }
            }
        })
    }

    /// Key of an event, and the record's timestamp or when the timer was due.
    fn origin_of(&self, home: Home, event: EventId, topics: &Topics) -> Origin {
        if let Some(record) = topics.record(event) {
            return Origin { timestamp: record.timestamp, key: record.key };
        }
        let Some(part) = self.parts.get(&home) else { return Origin::default() };
        let EventId::Timer { timer, sequence, .. } = event else { return Origin::default() };
        let parked = part.parked.values().find(|(id, _)| *id == event).map(|(_, at)| *at);
        parked.or_else(|| part.timers.get(&(timer, sequence)).copied()).unwrap_or_default()
    }
}

/// Where a parked event's bytes are: its lane's key comes with it.
fn place_of(key: Option<KeyHash>, sequence: Option<u64>) -> Option<(KeyHash, u64)> {
    Some((key?, sequence?))
}

fn mark_early(home: Home, event: EventId, durable: &mut Durable, topics: &Topics) {
    let EventId::Record { position, .. } = event else { return };
    if let Some(id) = topics.record(event).and_then(|record| record.id) {
        durable.marks.insert((home, id), Mark { position, epoch: 0 });
    }
}
