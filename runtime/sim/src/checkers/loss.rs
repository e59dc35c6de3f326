//! Checks that no event is lost: each reaches a terminal outcome that is backed by what it
//! claims. It does not care how often.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::{IdHash, Offset, Staged, Terminal, Verdict};

use super::{Case, Checker, Fact, Home, Scene, ensure};
use crate::topic::EventId;
use crate::world::durable::{Batch, CursorId, Item};

/// Watches that no event is lost.
#[derive(Debug, Default)]
pub(super) struct Loss {
    settled: BTreeSet<Case>,
    excused: BTreeSet<Case>,
    ids: BTreeMap<(Home, IdHash), BTreeSet<EventId>>,
}

impl Checker for Loss {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        if let Fact::Durable(batch) = fact {
            self.note(batch, scene);
            for item in &batch.items {
                self.check(item, scene)?;
            }
        } else if let Fact::Reset { cursor, to } = fact {
            self.set_back(cursor, to, scene);
        } else if let Fact::Recreated { topic } = fact {
            for events in self.ids.values_mut() {
                events.retain(|event| !event.is_of(topic));
            }
        } else if let Fact::Trimmed { .. } = fact {
            self.excuse(scene);
        }
        Ok(())
    }

    fn end(&mut self, scene: Scene<'_>) -> Result<(), String> {
        for (case, offset) in cases(scene) {
            let fate = self.settled.contains(&case) || self.excused.contains(&case);
            ensure(fate, || format!("{case:?} at {offset:?} never reached an outcome"))?;
        }
        Ok(())
    }
}

impl Loss {
    fn note(&mut self, batch: &Batch, scene: Scene<'_>) {
        for item in &batch.items {
            let (Staged::Settled { outcome, .. }, Some(event)) = (&item.staged, item.event) else {
                continue;
            };
            self.settled.insert((item.home.0, event));
            let id = scene.topics.record(event).and_then(|record| record.id);
            if let (Some(id), false) = (id, *outcome == Terminal::Duplicate) {
                self.ids.entry((item.home, id)).or_default().insert(event);
            }
        }
    }

    fn check(&self, item: &Item, scene: Scene<'_>) -> Result<(), String> {
        let (Staged::Settled { outcome, .. }, Some(event)) = (&item.staged, item.event) else {
            return Ok(());
        };
        let Some(record) = scene.topics.record(event) else { return Ok(()) };
        if *outcome == Terminal::Filtered {
            return ensure(record.verdict == Verdict::Filtered, || {
                format!("{event:?} was filtered, and its filter wants it")
            });
        }
        if *outcome == Terminal::Duplicate {
            let twins = record.id.and_then(|id| self.ids.get(&(item.home, id)));
            return ensure(twins.is_some_and(|twins| !twins.is_empty()), || {
                format!("{event:?} is called a duplicate of nothing that was settled")
            });
        }
        Ok(())
    }

    fn set_back(&mut self, cursor: CursorId, to: Offset, scene: Scene<'_>) {
        let (subscription, topic, partition) = cursor;
        let again = |event: &EventId| event.is_beyond(topic, partition, to);
        self.settled.retain(|(of, event)| *of != subscription || !again(event));
        for ((home, _), events) in &mut self.ids {
            if home.0 == subscription {
                events.retain(|event| !again(event));
            }
        }
        self.excuse(scene);
    }

    /// Retention is a loss the operator chose, unless the event is parked.
    fn excuse(&mut self, scene: Scene<'_>) {
        let parked: BTreeSet<Case> = scene
            .durable
            .parked
            .iter()
            .flat_map(|(home, places)| places.values().map(|place| (home.0, place.event)))
            .collect();
        for (case, offset) in cases(scene) {
            let EventId::Record { position, .. } = case.1 else { continue };
            let start = scene.topics.log(position.topic, position.partition).start;
            if offset < start && !self.settled.contains(&case) && !parked.contains(&case) {
                self.excused.insert(case);
            }
        }
    }
}

/// Every record of every topic's present life, once per subscription that reads it.
fn cases(scene: Scene<'_>) -> Vec<(Case, Offset)> {
    let mut cases = Vec::new();
    for (topic, partition, incarnation, log) in scene.topics.logs() {
        for subscription in &scene.script.subscriptions {
            if !subscription.topics.contains(&topic) {
                continue;
            }
            for offset in log.records.keys() {
                let position = gristmill_engine::Position { topic, partition, offset: *offset };
                let event = EventId::Record { position, incarnation };
                cases.push(((subscription.id, event), *offset));
            }
        }
    }
    cases
}
