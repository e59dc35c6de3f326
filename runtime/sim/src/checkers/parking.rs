//! Checks that parked lanes fill and drain in order: places rise, the first one runs, and nothing
//! of the lane that came later runs before.

use std::collections::BTreeMap;

use gristmill_engine::{Effect, Input, KeyHash, Order, Staged, Terminal};

use super::{Checker, Fact, Home, Owners, Scene, ensure};
use crate::topic::EventId;

/// Watches parked lanes.
#[derive(Debug, Default)]
pub(super) struct Parking {
    owners: Owners,
    places: BTreeMap<(Home, KeyHash), BTreeMap<u64, EventId>>,
}

impl Checker for Parking {
    fn name(&self) -> &'static str {
        "parking"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        for home in self.owners.follow(fact) {
            self.places.retain(|(at, _), _| *at != home);
        }
        if let Fact::Fed { input: Input::Assigned(assignment), .. } = fact {
            let home = (assignment.subscription, assignment.partition);
            for ((key, sequence), place) in scene.durable.parked.get(&home).into_iter().flatten() {
                self.places.entry((home, *key)).or_default().insert(*sequence, place.event);
            }
        }
        let Fact::Done { effect, event: Some(event), .. } = fact else { return Ok(()) };
        if let Effect::Invoke { subscription, partition, key, parked, .. } = effect {
            let place = key.zip(*parked);
            return self.invoke((*subscription, *partition), place, event, scene);
        }
        let Effect::Stage { subscription, partition, staged, .. } = effect else { return Ok(()) };
        self.stage((*subscription, *partition), staged, event)
    }
}

impl Parking {
    fn invoke(
        &self,
        home: Home,
        place: Option<(KeyHash, u64)>,
        event: EventId,
        scene: Scene<'_>,
    ) -> Result<(), String> {
        if let Some((key, sequence)) = place {
            let lane = self.places.get(&(home, key));
            let first = lane.and_then(|lane| lane.first_key_value());
            return ensure(first == Some((&sequence, &event)), || {
                format!("{event:?} at place {sequence} is not the first of its parked lane")
            });
        }
        let order = scene.script.subscription(home.0).policy.order;
        let key = scene.topics.record(event).and_then(|record| record.key);
        let Some(key) = key.filter(|_| order == Order::Key) else { return Ok(()) };
        let lane = self.places.get(&(home, key)).filter(|lane| !lane.is_empty());
        ensure(lane.is_none(), || format!("{event:?} overtakes its parked lane: {lane:?}"))
    }

    fn stage(&mut self, home: Home, staged: &Staged, event: EventId) -> Result<(), String> {
        if let Staged::Parked { key, sequence, .. } = staged {
            let lane = self.places.entry((home, *key)).or_default();
            let last = lane.last_key_value().map(|(last, _)| *last);
            lane.insert(*sequence, event);
            return ensure(last.is_none_or(|last| last < *sequence), || {
                format!("{event:?} is parked at {sequence}, behind {last:?}")
            });
        }
        let Staged::Settled { key: Some(key), outcome, parked: Some(sequence), .. } = staged else {
            return Ok(());
        };
        let lane = self.places.entry((home, *key)).or_default();
        let first = lane.first_key_value() == Some((sequence, &event));
        lane.remove(sequence);
        // A twin elsewhere settles a parked event wherever it stands.
        ensure(first || *outcome == Terminal::Duplicate, || {
            format!("{event:?} at place {sequence} is settled before the first of its lane")
        })
    }
}
