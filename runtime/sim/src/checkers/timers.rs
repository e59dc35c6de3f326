//! Checks timers: never early, once per setting, in order within their lane, and never after they
//! were overwritten or cancelled.

use std::collections::BTreeMap;

use gristmill_engine::{
    AttemptId, Effect, EventRef, Input, Instant, KeyHash, Outcome, Staged, Terminal, TimerChange,
    TimerHash,
};

use super::{Checker, Fact, Home, Owners, Scene, ensure};
use crate::topic::EventId;
use crate::world::durable::Item;

/// Settings that stand, of one partition.
type Settings = BTreeMap<TimerHash, Setting>;

/// Watches timers.
#[derive(Debug, Default)]
pub(super) struct Timers {
    owners: Owners,
    changes: BTreeMap<(usize, AttemptId), Vec<TimerChange>>,
    live: BTreeMap<Home, Settings>,
    stored: BTreeMap<Home, Settings>,
}

/// One setting of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    due: Instant,
    sequence: u64,
    key: Option<KeyHash>,
    begun: bool,
}

impl Checker for Timers {
    fn name(&self) -> &'static str {
        "timers"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        for home in self.owners.follow(fact) {
            let stored = self.stored.get(&home).cloned().unwrap_or_default();
            self.live.insert(home, stored);
        }
        if let Fact::Fed { worker, input: Input::Finished { attempt, outcome } } = fact
            && let Outcome::Succeeded { timers, .. } = outcome
        {
            self.changes.insert((worker, *attempt), timers.clone());
        }
        if let Fact::Durable(batch) = fact {
            for item in &batch.items {
                self.store(item)?;
            }
            return self.compare(scene);
        }
        if let Fact::Done { worker, effect, event: Some(event) } = fact {
            return self.done(worker, effect, event, scene);
        }
        Ok(())
    }

    fn end(&mut self, _: Scene<'_>) -> Result<(), String> {
        let left: Vec<_> = self.stored.values().flatten().collect();
        ensure(left.is_empty(), || format!("timers never fired: {left:?}"))
    }
}

impl Timers {
    fn done(
        &mut self,
        worker: usize,
        effect: &Effect,
        event: EventId,
        scene: Scene<'_>,
    ) -> Result<(), String> {
        if let Effect::Invoke { subscription, partition, parked: None, .. } = effect {
            return self.fire((*subscription, *partition), event, scene);
        }
        let Effect::Stage { subscription, partition, staged, .. } = effect else { return Ok(()) };
        let live = self.live.entry((*subscription, *partition)).or_default();
        let key = key_of(live, event, scene);
        if matches!(staged, Staged::Settled { .. } | Staged::Parked { .. }) {
            forget(live, event);
        }
        if let Staged::Settled {
            outcome: Terminal::Succeeded { attempt, timer_sequence }, ..
        } = staged
        {
            let changes = self.changes.remove(&(worker, *attempt)).unwrap_or_default();
            change(live, &changes, *timer_sequence, key);
        }
        Ok(())
    }

    /// Checks that a timer may begin.
    fn fire(&mut self, home: Home, event: EventId, scene: Scene<'_>) -> Result<(), String> {
        let EventId::Timer { timer, sequence, .. } = event else { return Ok(()) };
        let live = self.live.entry(home).or_default();
        let setting = live.get(&timer).copied().filter(|setting| setting.sequence == sequence);
        let Some(setting) = setting else {
            return Err(format!("{event:?} fires and is not set: {:?}", live.get(&timer)));
        };
        ensure(setting.due <= scene.now, || {
            format!("{event:?} fires at {:?}, early: {setting:?}", scene.now)
        })?;
        let earlier = live.values().find(|other| {
            !other.begun
                && other.key == setting.key
                && other.key.is_some()
                && other.due <= setting.due
                && other.sequence < setting.sequence
        });
        ensure(setting.begun || earlier.is_none(), || {
            format!("{event:?} fires before {earlier:?} of its lane: {setting:?}")
        })?;
        live.insert(timer, Setting { begun: true, ..setting });
        Ok(())
    }

    /// Applies what became durable.
    fn store(&mut self, item: &Item) -> Result<(), String> {
        let stored = self.stored.entry(item.home).or_default();
        let from_topic = match &item.staged {
            Staged::Settled { event, parked, .. } => parked.is_none().then_some(*event),
            Staged::Parked { event, .. } => Some(*event),
            Staged::Retried { .. } | Staged::Upgraded { .. } => None,
        };
        if let Some(EventRef::Timer { timer, sequence, .. }) = from_topic {
            let set = stored.get(&timer).filter(|setting| setting.sequence == sequence);
            ensure(set.is_some(), || {
                format!("{:?} took effect and is not set: it did so before", item.event)
            })?;
            stored.remove(&timer);
        }
        if let Staged::Settled { outcome: Terminal::Succeeded { timer_sequence, .. }, .. } =
            &item.staged
        {
            change(stored, &item.timers, *timer_sequence, item.key);
        }
        Ok(())
    }

    /// Checks that the store has what must stand, and nothing else.
    fn compare(&self, scene: Scene<'_>) -> Result<(), String> {
        for (home, settings) in &self.stored {
            let stored = scene.durable.timers.get(home);
            let count = stored.map_or(0, BTreeMap::len);
            let same = stored.into_iter().flatten().all(|(timer, entry)| {
                let setting = settings.get(timer);
                setting.is_some_and(|s| (s.due, s.sequence) == (entry.due, entry.sequence))
            });
            ensure(same && count == settings.len(), || {
                format!("{home:?} has timers {stored:?}, and should have {settings:?}")
            })?;
        }
        Ok(())
    }
}

/// The key an event of this partition sets timers for.
fn key_of(live: &Settings, event: EventId, scene: Scene<'_>) -> Option<KeyHash> {
    match event {
        EventId::Record { .. } => scene.topics.record(event).and_then(|record| record.key),
        EventId::Timer { timer, .. } => live.get(&timer).and_then(|setting| setting.key),
    }
}

fn forget(live: &mut Settings, event: EventId) {
    if let EventId::Timer { timer, sequence, .. } = event
        && live.get(&timer).is_some_and(|setting| setting.sequence == sequence)
    {
        live.remove(&timer);
    }
}

fn change(live: &mut Settings, changes: &[TimerChange], first: u64, key: Option<KeyHash>) {
    let mut sequence = first;
    for change in changes {
        match change {
            TimerChange::Set { timer, due } => {
                live.insert(*timer, Setting { due: *due, sequence, key, begun: false });
                sequence += 1;
            }
            TimerChange::Cancel { timer } => {
                live.remove(timer);
            }
        }
    }
}
