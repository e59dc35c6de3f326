//! Checks order within a lane: no event is attempted or falls back while an earlier one of its
//! lane is unfinished, and effects that become durable in the order of the topic.

use std::collections::BTreeMap;

use gristmill_engine::{
    Assignment, Cursor, Effect, IdHash, Offset, Staged, StoredProgress, Terminal, TopicId, Verdict,
};

use super::{Checker, Fact, Home, Lane, Owners, Resets, Scene, ensure, lane_of};
use crate::topic::EventId;
use crate::world::durable::Item;

/// A lane with its partition.
type LaneId = (Home, Lane);

/// Watches order.
#[derive(Debug, Default)]
pub(super) struct Order {
    owners: Owners,
    resets: Resets,
    lanes: BTreeMap<LaneId, Vec<Entry>>,
    stored: BTreeMap<(Home, TopicId), Finished>,
    applied: BTreeMap<(LaneId, TopicId, u128), Applied>,
}

/// An event as its lane has it.
#[derive(Debug)]
struct Entry {
    event: EventId,
    id: Option<IdHash>,
    /// Settled, or known to end as a duplicate: nobody waits for it.
    passed: bool,
    parked: bool,
}

/// What was finished when a partition was assigned.
#[derive(Debug, Default)]
struct Finished(Option<StoredProgress>);

/// The last effect a lane applied for a topic, and how often it fell back.
#[derive(Debug)]
struct Applied {
    last: Offset,
    falls: usize,
}

impl Checker for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        self.resets.follow(fact);
        for home in self.owners.follow(fact) {
            self.lanes.retain(|(at, _), _| *at != home);
        }
        if let Fact::Fed { input: gristmill_engine::Input::Assigned(assignment), .. } = fact {
            self.restore(assignment, scene);
        }
        self.fetch(fact, scene);
        if let Fact::Durable(batch) = fact {
            for item in &batch.items {
                self.apply(item, scene)?;
            }
        }
        let Fact::Done { effect, event: Some(event), .. } = fact else { return Ok(()) };
        self.check(effect, event)
    }
}

impl Order {
    fn restore(&mut self, assignment: &Assignment, scene: Scene<'_>) {
        let home = (assignment.subscription, assignment.partition);
        for cursor in &assignment.cursors {
            self.stored.insert((home, cursor.topic), Finished(still_true(cursor)));
        }
        for place in scene.durable.parked.get(&home).into_iter().flat_map(BTreeMap::values) {
            let Some(lane) = lane_of(scene, home, place.event, place.key) else { continue };
            let entry =
                Entry { event: place.event, id: place.figures.id, passed: false, parked: true };
            self.lanes.entry((home, lane)).or_default().push(entry);
        }
    }

    fn fetch(&mut self, fact: Fact<'_>, scene: Scene<'_>) {
        let Some((fetched, event)) = self.owners.fetched(fact, scene) else { return };
        let home = (fetched.subscription, fetched.position.partition);
        let stored = self.stored.get(&(home, fetched.position.topic));
        if fetched.verdict != Verdict::Accepted
            || stored.is_some_and(|stored| stored.has(fetched.position.offset))
        {
            return;
        }
        let Some(lane) = lane_of(scene, home, event, fetched.key) else { return };
        let mut here = self.lanes.iter().filter(|((at, _), _)| *at == home).flat_map(|(_, l)| l);
        let twin = fetched.id.is_some() && here.any(|e| e.id == fetched.id && !e.passed);
        let passed = fetched.mark.is_some() || twin;
        let entry = Entry { event, id: fetched.id, passed, parked: false };
        self.lanes.entry((home, lane)).or_default().push(entry);
    }

    fn check(&mut self, effect: &Effect, event: EventId) -> Result<(), String> {
        if let Effect::Invoke { subscription, partition, parked, .. } = effect {
            let home = (*subscription, *partition);
            let ahead = self.ahead(home, (event, parked.is_some()), |entry| !entry.passed);
            return ensure(ahead.is_none(), || {
                format!("{event:?} is attempted while {ahead:?} of its lane is unfinished")
            });
        }
        let Effect::Stage { subscription, partition, staged, .. } = effect else { return Ok(()) };
        let home = (*subscription, *partition);
        if matches!(staged, Staged::Parked { .. }) {
            let ahead = self.ahead(home, (event, false), |entry| !entry.passed && !entry.parked);
            ensure(ahead.is_none(), || {
                format!("{event:?} is parked while {ahead:?} of its lane is ahead in memory")
            })?;
        }
        if matches!(staged, Staged::Settled { outcome: Terminal::FellBack, .. }) {
            let ahead = self.ahead(home, (event, false), |entry| !entry.passed);
            ensure(ahead.is_none(), || {
                format!("{event:?} falls back while {ahead:?} of its lane is unfinished")
            })?;
        }
        let was_parked =
            matches!(staged, Staged::Retried { .. } | Staged::Settled { parked: Some(_), .. });
        let here = self.lanes.iter_mut().filter(|((at, _), _)| *at == home);
        let mut entries = here.flat_map(|(_, lane)| lane.iter_mut());
        if let Some(entry) = entries.find(|entry| entry.is(event, was_parked)) {
            entry.passed |= matches!(staged, Staged::Settled { .. });
            entry.parked |= matches!(staged, Staged::Parked { .. });
        }
        Ok(())
    }

    /// The first event ahead of `event` in its lane that `blocks`.
    fn ahead(
        &self,
        home: Home,
        (event, parked): (EventId, bool),
        blocks: impl Fn(&Entry) -> bool,
    ) -> Option<EventId> {
        let here = self.lanes.iter().filter(|((at, _), _)| *at == home);
        // A timer is in the list once it was parked and restored; when else it joined the lane,
        // no input tells.
        let is_it = |entry: &Entry| entry.is(event, parked);
        let mut places = here.filter_map(|(_, lane)| Some((lane, lane.iter().position(is_it)?)));
        let (lane, at) = places.next()?;
        lane[..at].iter().find(|entry| blocks(entry)).map(|entry| entry.event)
    }

    /// Checks that what a lane applies rises in its topic, but for resets.
    fn apply(&mut self, item: &Item, scene: Scene<'_>) -> Result<(), String> {
        let Staged::Settled { outcome: Terminal::Succeeded { .. }, .. } = &item.staged else {
            return Ok(());
        };
        let Some(event @ EventId::Record { position, incarnation }) = item.event else {
            return Ok(());
        };
        let Some(lane) = lane_of(scene, item.home, event, item.key) else { return Ok(()) };
        let offset = position.offset;
        let fresh = Applied { last: offset, falls: 0 };
        let place = ((item.home, lane), position.topic, incarnation);
        let Some(applied) = self.applied.get_mut(&place) else {
            self.applied.insert(place, fresh);
            return Ok(());
        };
        let resets = self.resets.of(
            item.home.0,
            EventId::Record {
                position: gristmill_engine::Position { offset: Offset(u64::MAX), ..position },
                incarnation,
            },
        );
        if offset <= applied.last {
            applied.falls += 1;
        }
        let (last, falls) = (applied.last, applied.falls);
        applied.last = offset;
        ensure(falls <= resets, || format!("{event:?} took effect after {last:?} of its lane"))
    }
}

impl Entry {
    /// Whether it is `event`, unfinished. After a reset an event may be in its lane twice: parked,
    /// and read again.
    fn is(&self, event: EventId, parked: bool) -> bool {
        self.event == event && self.parked == parked && !self.passed
    }
}

impl Finished {
    fn has(&self, offset: Offset) -> bool {
        self.0.as_ref().is_some_and(|stored| {
            offset < stored.next
                || stored.finished.iter().any(|r| r.from <= offset && offset < r.to)
        })
    }
}

/// What stored progress still says after a reset or re-creation.
fn still_true(cursor: &Cursor) -> Option<StoredProgress> {
    let stored = cursor.stored.clone().filter(|s| s.incarnation == cursor.incarnation)?;
    match cursor.committed.filter(|committed| *committed < stored.next) {
        Some(next) => Some(StoredProgress { next, finished: Vec::new(), ..stored }),
        None => Some(stored),
    }
}
