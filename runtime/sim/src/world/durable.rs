//! Owns what survives a crash: progress, marks, parked lanes, timers, state, emissions, dead
//! letters. It applies a checkpoint whole or not at all, and never doubts what it is told; that
//! is for the checkers.

use std::collections::BTreeMap;

use gristmill_engine::{
    Assignment, CheckpointId, Cursor, EventRef, FailureClass, Generation, IdHash, Instant, KeyHash,
    Mark, Offset, ParkedEvent, ParkedLane, PartitionId, Position, Progress, Staged, StoredProgress,
    SubscriptionId, Terminal, TimerChange, TimerEntry, TimerHash, TopicId, Version,
};

use crate::script::Script;
use crate::topic::{EventId, Topics};

/// A partition of a subscription: the unit that is assigned.
pub type Home = (SubscriptionId, PartitionId);

/// A topic partition as a subscription reads it.
pub type CursorId = (SubscriptionId, TopicId, PartitionId);

/// Something staged, with what the driver knew about it when it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The partition it belongs to.
    pub home: Home,
    /// The assignment it was made under.
    pub generation: Generation,
    /// What was staged.
    pub staged: Staged,
    /// The event it is about; `None` for an upgrade.
    pub event: Option<EventId>,
    /// Plugin version of the attempt that succeeded.
    pub version: Option<Version>,
    /// Timer changes of the attempt that succeeded.
    pub timers: Vec<TimerChange>,
    /// The record's timestamp, or when the timer was due.
    pub timestamp: Instant,
    /// The event's own key. The engine names a lane that is not a key's by a hash of its own.
    pub key: Option<KeyHash>,
}

/// A checkpoint with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The worker that made it.
    pub worker: usize,
    /// In which of its lives.
    pub life: u64,
    /// Its number there.
    pub checkpoint: CheckpointId,
    /// What was staged, in order.
    pub items: Vec<Item>,
    /// Progress committed with it.
    pub progress: Vec<Progress>,
}

/// An event in durable parking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which event it is.
    pub event: EventId,
    /// What the engine is told of it after a restart.
    pub figures: ParkedEvent,
    /// The record's timestamp, or when the timer was due.
    pub timestamp: Instant,
    /// The event's own key.
    pub key: Option<KeyHash>,
}

/// A dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetter {
    /// The subscription that gave up.
    pub subscription: SubscriptionId,
    /// The event.
    pub event: EventId,
    /// Class of its last failure.
    pub class: FailureClass,
    /// Counted attempts.
    pub attempts: u32,
}

/// What survives a crash.
#[derive(Debug, Clone, Default)]
pub struct Durable {
    /// Progress by topic partition.
    pub progress: BTreeMap<CursorId, StoredProgress>,
    /// Whether the group's offsets are kept apart from progress, as on Kafka.
    pub group_offsets: bool,
    /// Offsets the group committed, or an operator set.
    pub committed: BTreeMap<CursorId, Offset>,
    /// Dedupe marks.
    pub marks: BTreeMap<(Home, IdHash), Mark>,
    /// Parked lanes by place.
    pub parked: BTreeMap<Home, BTreeMap<(KeyHash, u64), Place>>,
    /// Timers.
    pub timers: BTreeMap<Home, BTreeMap<TimerHash, TimerEntry>>,
    /// State: per lane, the events whose effects it has seen. The null key has one entry.
    pub state: BTreeMap<(Home, Option<KeyHash>), Vec<EventId>>,
    /// Everything emitted, in order: each success emits once.
    pub emissions: Vec<(SubscriptionId, EventId)>,
    /// Everything given up on, in order.
    pub dead_letters: Vec<DeadLetter>,
    /// Plugin version in use, by worker and subscription.
    pub versions: BTreeMap<(usize, SubscriptionId), Version>,
}

impl Durable {
    /// Makes all of `batch` true.
    pub fn apply(&mut self, batch: &Batch, topics: &Topics) {
        for item in &batch.items {
            self.apply_item(batch.worker, item, topics);
        }
        for progress in &batch.progress {
            self.apply_progress(progress);
        }
    }

    /// Makes one thing staged true.
    pub fn apply_item(&mut self, worker: usize, item: &Item, topics: &Topics) {
        match &item.staged {
            Staged::Settled { .. } => self.settle(item),
            Staged::Parked { event, .. } => {
                self.forget_timer(item.home, *event);
                self.park(item, topics);
            }
            Staged::Retried { key, sequence, attempts, first_failure, due } => {
                let lane = self.parked.entry(item.home).or_default();
                if let Some(place) = lane.get_mut(&(*key, *sequence)) {
                    place.figures.attempts = *attempts;
                    place.figures.first_failure = *first_failure;
                    place.figures.due = *due;
                }
            }
            Staged::Upgraded { version } => {
                self.versions.insert((worker, item.home.0), *version);
            }
        }
    }

    /// Stores progress and, where the group's offset is kept apart, moves that along.
    pub fn apply_progress(&mut self, progress: &Progress) {
        let cursor = (progress.subscription, progress.topic, progress.partition);
        let stored = StoredProgress {
            incarnation: progress.incarnation,
            epoch: progress.epoch,
            epoch_start: progress.epoch_start,
            next: progress.next,
            finished: progress.finished.clone(),
        };
        self.progress.insert(cursor, stored);
        self.committed.remove(&cursor);
        if self.group_offsets {
            self.committed.insert(cursor, progress.next);
        }
    }

    /// Everything durable about a partition, as the engine is told on assignment.
    #[must_use]
    pub fn assignment(
        &self,
        home: Home,
        generation: Generation,
        script: &Script,
        topics: &Topics,
    ) -> Assignment {
        let (subscription, partition) = home;
        let reader = script.subscription(subscription);
        let cursor = |topic: &TopicId| {
            let cursor = self.cursor(home, *topic, topics);
            Cursor { end: reader.told_end(*topic, cursor.end), ..cursor }
        };
        let cursors = reader.topics.iter().map(cursor).collect();
        let timers = self.timers.get(&home).map(|t| t.values().copied().collect());
        Assignment {
            subscription,
            partition,
            generation,
            cursors,
            parked: self.lanes(home),
            timers: timers.unwrap_or_default(),
        }
    }

    fn cursor(&self, (subscription, partition): Home, topic: TopicId, topics: &Topics) -> Cursor {
        let id = (subscription, topic, partition);
        let log = topics.log(topic, partition);
        Cursor {
            topic,
            incarnation: topics.topic(topic).incarnation,
            start: log.start,
            end: log.end(),
            committed: self.committed.get(&id).copied(),
            initial: Offset(0),
            stored: self.progress.get(&id).cloned(),
        }
    }

    fn lanes(&self, home: Home) -> Vec<ParkedLane> {
        let mut lanes: Vec<ParkedLane> = Vec::new();
        for ((key, _), place) in self.parked.get(&home).into_iter().flatten() {
            match lanes.last_mut().filter(|lane| lane.key == *key) {
                Some(lane) => lane.events.push(place.figures.clone()),
                None => lanes.push(ParkedLane { key: *key, events: vec![place.figures.clone()] }),
            }
        }
        lanes
    }

    fn settle(&mut self, item: &Item) {
        let Staged::Settled { event, key, outcome, mark, epoch, parked } = &item.staged else {
            return;
        };
        let (home, Some(id)) = (item.home, item.event) else { return };
        if let (Some(mark), EventId::Record { position, .. }) = (mark, id) {
            self.marks.insert((home, *mark), Mark { position, epoch: *epoch });
        }
        self.forget_timer(home, *event);
        if let (Some(place), Some(key)) = (parked, key) {
            self.parked.entry(home).or_default().remove(&(*key, *place));
        }
        match outcome {
            Terminal::Succeeded { timer_sequence, .. } => {
                self.state.entry((home, item.key)).or_default().push(id);
                self.emissions.push((home.0, id));
                self.set_timers(item, *timer_sequence);
            }
            Terminal::DeadLettered { class, attempts, .. } => {
                self.dead_letters.push(DeadLetter {
                    subscription: home.0,
                    event: id,
                    class: *class,
                    attempts: *attempts,
                });
            }
            Terminal::Duplicate
            | Terminal::Filtered
            | Terminal::Forwarded
            | Terminal::FellBack
            | Terminal::Discarded { .. } => {}
        }
    }

    fn set_timers(&mut self, item: &Item, first: u64) {
        let Some(key) = item.key else { return };
        let timers = self.timers.entry(item.home).or_default();
        let mut sequence = first;
        for change in &item.timers {
            match change {
                TimerChange::Set { timer, due } => {
                    let entry = TimerEntry { timer: *timer, key, due: *due, sequence };
                    timers.insert(*timer, entry);
                    sequence += 1;
                }
                TimerChange::Cancel { timer } => {
                    timers.remove(timer);
                }
            }
        }
    }

    /// Deletes the setting of a timer that became an event, unless it was overwritten since.
    fn forget_timer(&mut self, home: Home, event: EventRef) {
        let EventRef::Timer { timer, sequence, .. } = event else { return };
        let timers = self.timers.entry(home).or_default();
        if timers.get(&timer).is_some_and(|entry| entry.sequence == sequence) {
            timers.remove(&timer);
        }
    }

    fn park(&mut self, item: &Item, topics: &Topics) {
        let Staged::Parked { event, key, sequence, attempts, first_failure, due, id, redriven } =
            &item.staged
        else {
            return;
        };
        let Some(who) = item.event else { return };
        let figures = ParkedEvent {
            sequence: *sequence,
            event: *event,
            attempts: *attempts,
            first_failure: *first_failure,
            due: *due,
            size: topics.record(who).map(|record| record.size).unwrap_or_default(),
            id: *id,
            redriven: *redriven,
        };
        let place = Place { event: who, figures, timestamp: item.timestamp, key: item.key };
        self.parked.entry(item.home).or_default().insert((*key, *sequence), place);
    }
}

/// Where an event stands in its topic, when it is a record.
#[must_use]
pub fn position_of(event: EventId) -> Option<Position> {
    match event {
        EventId::Record { position, .. } => Some(position),
        EventId::Timer { .. } => None,
    }
}
