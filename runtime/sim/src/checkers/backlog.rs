//! Checks that a timer that is overdue at assignment or resume is held until the topics were read
//! as far as they reached then.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::{Effect, Input, Offset, TimerHash, TopicId};

use super::{Checker, Fact, Home, Owners, Scene, ensure};
use crate::script::UNKNOWN;
use crate::topic::EventId;

/// Watches overdue timers.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    owners: Owners,
    read: BTreeMap<(Home, TopicId), Offset>,
    ends: BTreeMap<(Home, TopicId), Offset>,
    overdue: BTreeSet<(Home, TimerHash, u64)>,
    begun: BTreeSet<(Home, TimerHash, u64)>,
}

impl Checker for Backlog {
    fn name(&self) -> &'static str {
        "backlog"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        for home in self.owners.follow(fact) {
            self.read.retain(|(at, _), _| *at != home);
            self.ends.retain(|(at, _), _| *at != home);
            self.overdue.retain(|(at, ..)| *at != home);
            self.begun.retain(|(at, ..)| *at != home);
        }
        if let Some((fetched, _)) = self.owners.fetched(fact, scene) {
            let home = (fetched.subscription, fetched.position.partition);
            self.read.insert((home, fetched.position.topic), fetched.position.offset.next());
        }
        if let Fact::Fed { worker, input } = fact {
            self.fed(worker, input, scene);
        }
        let Fact::Done { effect, event, .. } = fact else { return Ok(()) };
        if let Effect::Fetch { subscription, topic, partition, from, .. } = effect {
            self.read.insert(((*subscription, *partition), *topic), *from);
        }
        if let Effect::Invoke { subscription, partition, parked: None, number: 1, .. } = effect
            && let Some(EventId::Timer { timer, sequence, .. }) = event
        {
            return self.check((*subscription, *partition), timer, sequence, scene);
        }
        Ok(())
    }
}

impl Backlog {
    fn fed(&mut self, worker: usize, input: &Input, scene: Scene<'_>) {
        if let Input::Assigned(assignment) = input {
            let home = (assignment.subscription, assignment.partition);
            for cursor in &assignment.cursors {
                self.ends.insert((home, cursor.topic), cursor.end);
            }
            self.note(home, scene);
        }
        let (Input::Resumed { subscription, ends }
        | Input::Probed { subscription, ends }
        | Input::Ends { subscription, ends }) = input
        else {
            return;
        };
        for end in ends {
            let home = (*subscription, end.partition);
            if self.owners.0.get(&home).is_some_and(|owner| owner.0 == worker) {
                self.ends.insert((home, end.topic), end.offset);
                // What comes due before a late end is told is not overdue by that.
                if !matches!(input, Input::Ends { .. }) {
                    self.note(home, scene);
                }
            }
        }
    }

    fn note(&mut self, home: Home, scene: Scene<'_>) {
        for timer in scene.durable.timers.get(&home).into_iter().flat_map(BTreeMap::values) {
            let setting = (home, timer.timer, timer.sequence);
            // Once begun it is an event like any other, and is not held again.
            if timer.due <= scene.now && !self.begun.contains(&setting) {
                self.overdue.insert(setting);
            }
        }
    }

    fn check(
        &mut self,
        home: Home,
        timer: TimerHash,
        sequence: u64,
        scene: Scene<'_>,
    ) -> Result<(), String> {
        self.begun.insert((home, timer, sequence));
        if !self.overdue.remove(&(home, timer, sequence)) {
            return Ok(());
        }
        for ((at, topic), end) in &self.ends {
            if *at != home {
                continue;
            }
            let read = self.read.get(&(home, *topic)).copied().unwrap_or_default();
            let next = scene.topics.log(*topic, home.1).read(read);
            let is_read = read >= *end || next.is_none_or(|(offset, _)| offset >= *end);
            let reached = *end < UNKNOWN && is_read;
            ensure(reached, || {
                format!("{timer:?} of {home:?} fires with {topic:?} read to {read:?} of {end:?}")
            })?;
        }
        Ok(())
    }
}
