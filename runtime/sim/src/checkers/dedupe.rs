//! Checks that one business id has one effect within a partition, and that marks are written
//! with terminal outcomes and never before.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::{IdHash, Staged, Terminal};

use super::{Checker, Fact, Home, Scene, ensure};
use crate::topic::EventId;
use crate::world::durable::{Batch, Item};

/// Watches business ids.
#[derive(Debug, Default)]
pub(super) struct Dedupe {
    settled: BTreeMap<(Home, IdHash), BTreeSet<EventId>>,
    ever: BTreeSet<(Home, IdHash)>,
}

impl Checker for Dedupe {
    fn name(&self) -> &'static str {
        "dedupe"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        if let Fact::Durable(batch) = fact {
            for item in &batch.items {
                self.settle(item, scene)?;
            }
            check_written(batch, scene)?;
        }
        if let Fact::Reset { cursor: (subscription, topic, partition), to } = fact {
            for ((home, _), events) in &mut self.settled {
                if home.0 == subscription {
                    events.retain(|event| !event.is_beyond(topic, partition, to));
                }
            }
        }
        if let Fact::Recreated { topic } = fact {
            for events in self.settled.values_mut() {
                events.retain(|event| !event.is_of(topic));
            }
        }
        if matches!(fact, Fact::Durable(_) | Fact::Gone { .. } | Fact::Crashed) {
            for place in scene.durable.marks.keys() {
                ensure(self.ever.contains(place), || {
                    format!("{place:?} is marked and nothing of that id was settled")
                })?;
            }
        }
        Ok(())
    }
}

impl Dedupe {
    fn settle(&mut self, item: &Item, scene: Scene<'_>) -> Result<(), String> {
        let Some((id, event)) = marked_by(item, scene) else { return Ok(()) };
        let redriven = scene.topics.record(event).is_some_and(|record| record.redriven);
        self.ever.insert((item.home, id));
        let events = self.settled.entry((item.home, id)).or_default();
        let twin = events.iter().find(|other| **other != event).copied();
        events.insert(event);
        ensure(redriven || twin.is_none(), || {
            format!("{event:?} was finished, and so was {twin:?} of the same id")
        })
    }
}

/// Every outcome with an id leaves a mark.
fn check_written(batch: &Batch, scene: Scene<'_>) -> Result<(), String> {
    for item in &batch.items {
        let Some((id, event)) = marked_by(item, scene) else { continue };
        ensure(scene.durable.marks.contains_key(&(item.home, id)), || {
            format!("{event:?} was settled without the mark of its id")
        })?;
    }
    Ok(())
}

/// The id and event of an item whose outcome counts against twins.
fn marked_by(item: &Item, scene: Scene<'_>) -> Option<(IdHash, EventId)> {
    let Staged::Settled { outcome, .. } = &item.staged else { return None };
    if matches!(outcome, Terminal::Duplicate | Terminal::Filtered | Terminal::Forwarded) {
        return None;
    }
    let event = item.event?;
    Some((scene.topics.record(event)?.id?, event))
}
