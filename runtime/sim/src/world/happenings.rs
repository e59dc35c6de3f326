//! Decides what each happening of a world does: arrivals, polls, ends of attempts and commits,
//! assignments. Faults are next door; it never judges what comes of it.

use gristmill_engine::{
    AttemptId, CheckpointId, FailureClass, Fetched, Generation, Input, Outcome, Position, Staged,
    SubscriptionId, TopicId, Verdict,
};

use crate::checkers::{Fact, Failure};
use crate::planted::{Planted, spoil};
use crate::plugin::{self, Call};
use crate::script::{Arrival, Fault};
use crate::world::World;
use crate::world::cluster::gone;
use crate::world::driver::Asked;
use crate::world::durable::{Batch, Home, Item};
use crate::world::network::Event;

/// Longest time a driver takes from one read to the next, in milliseconds.
const POLL_MS: u64 = 4;

/// Longest time until it is known where a topic ends, in milliseconds.
const ENDS_MS: u64 = 400;

/// Something that will happen. `life` tells a worker's life: what was meant for an older one is
/// dropped.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// A record is appended.
    Arrive(Arrival),
    /// A fault strikes.
    Strike(Fault),
    /// Faults stop.
    Heal,
    /// A worker reads.
    Poll { worker: usize, life: u64 },
    /// An attempt ends.
    End { worker: usize, life: u64, attempt: AttemptId },
    /// A commit ends.
    Resolve { worker: usize, life: u64, checkpoint: CheckpointId },
    /// A partition without owner gets one.
    Assign(Home),
    /// A rewound partition is assigned afresh.
    Answer { worker: usize, life: u64, home: Home, generation: Generation },
    /// A record read under an older assignment turns up.
    Straggle { worker: usize, life: u64, fetched: Box<Fetched> },
    /// A worker is told where the topics of a subscription end.
    Probe { worker: usize, life: u64, subscription: SubscriptionId },
    /// A worker is told where those topics end of which that was not known.
    Ends { worker: usize, life: u64, subscription: SubscriptionId },
    /// An operator resumes a subscription.
    Resume(SubscriptionId),
    /// Storage has room again.
    Room,
    /// Something happens in a cluster.
    Net(Event),
}

impl Happening {
    /// The host that must go on for it to happen.
    pub(super) fn host(&self) -> Option<usize> {
        match self {
            Self::Poll { worker, .. }
            | Self::End { worker, .. }
            | Self::Resolve { worker, .. }
            | Self::Answer { worker, .. }
            | Self::Straggle { worker, .. }
            | Self::Probe { worker, .. }
            | Self::Ends { worker, .. } => Some(*worker),
            Self::Net(event) => event.host().map(|(worker, _)| worker),
            Self::Arrive(_)
            | Self::Strike(_)
            | Self::Heal
            | Self::Assign(_)
            | Self::Resume(_)
            | Self::Room => None,
        }
    }
}

impl World {
    pub(super) fn happen(&mut self, happening: Happening) -> Result<(), Failure> {
        match happening {
            Happening::Arrive(arrival) => {
                self.arrive(arrival);
                Ok(())
            }
            Happening::Strike(fault) => {
                if self.healed {
                    return Ok(());
                }
                self.note(|| format!("fault: {fault:?}"));
                self.strike(fault)
            }
            Happening::Heal => self.heal(),
            Happening::Poll { worker, life } => self.poll(worker, life),
            Happening::End { worker, life, attempt } => self.end(worker, life, attempt),
            Happening::Resolve { worker, life, checkpoint } => {
                self.resolve(worker, life, checkpoint)
            }
            Happening::Assign(home) => self.assign(home),
            Happening::Answer { worker, life, home, generation } => {
                if self.drivers[worker].life == life {
                    self.answer(worker, home, generation)
                } else {
                    Ok(())
                }
            }
            Happening::Straggle { worker, life, fetched } => {
                self.tell(worker, life, Input::Fetched(*fetched))
            }
            Happening::Probe { worker, life, subscription } => {
                let ends = self.told_ends(subscription);
                self.tell(worker, life, Input::Probed { subscription, ends })
            }
            Happening::Ends { worker, life, subscription } => {
                let late = self.script.subscription(subscription).topics[0];
                let mut ends = self.ends(subscription);
                ends.retain(|end| end.topic == late);
                self.tell(worker, life, Input::Ends { subscription, ends })
            }
            Happening::Resume(subscription) => self.resume(subscription),
            Happening::Room => self.room(),
            Happening::Net(event) => self.happen_net(event),
        }
    }

    /// Has a worker be told of ends that an input left open.
    pub(super) fn tell_ends_later(&mut self, worker: usize, input: &Input) {
        let subscription = if let Input::Assigned(assignment) = input {
            assignment.subscription
        } else if let Input::Resumed { subscription, .. } | Input::Probed { subscription, .. } =
            input
        {
            *subscription
        } else {
            return;
        };
        if self.script.subscription(subscription).ends_late {
            let life = self.drivers[worker].life;
            self.after(ENDS_MS, Happening::Ends { worker, life, subscription });
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        if let Some(log) = self.topics.log_mut(arrival.topic, arrival.partition) {
            log.append(arrival.gap, arrival.record);
        }
    }

    /// Sees to it that whatever can be read will be.
    pub(super) fn poll_soon(&mut self) {
        for worker in 0..self.drivers.len() {
            if !self.polls.contains(&worker) && !self.readable(worker).is_empty() {
                self.polls.insert(worker);
                let life = self.drivers[worker].life;
                self.after(POLL_MS, Happening::Poll { worker, life });
            }
        }
    }

    fn poll(&mut self, worker: usize, life: u64) -> Result<(), Failure> {
        if self.drivers[worker].life != life {
            return Ok(());
        }
        self.polls.remove(&worker);
        for _ in 0..self.random.between(1, 4) {
            let readable = self.readable(worker);
            if readable.is_empty() || self.drivers[worker].life != life {
                break;
            }
            let (home, topic) = self.random.pick(&readable);
            let Some(fetched) = self.read(worker, home, topic) else { break };
            if let Some(part) = self.drivers[worker].parts.get_mut(&home) {
                part.fetch.insert(topic, fetched.position.offset.next());
            }
            self.feed(worker, Input::Fetched(fetched))?;
            self.reach(worker, home, topic)?;
        }
        Ok(())
    }

    /// Tells a worker, now and then, that it has read a topic to its end.
    fn reach(&mut self, worker: usize, home: Home, topic: TopicId) -> Result<(), Failure> {
        let Some(part) = self.drivers[worker].parts.get(&home) else { return Ok(()) };
        let log = self.topics.log(topic, home.1);
        let Some(from) = part.fetch.get(&topic).copied() else { return Ok(()) };
        if log.read(from).is_some() || !self.random.chance(500) {
            return Ok(());
        }
        let end = Position { topic, partition: home.1, offset: log.end().max(from) };
        let generation = part.generation;
        self.feed(worker, Input::Reached { subscription: home.0, generation, end })
    }

    fn readable(&self, worker: usize) -> Vec<(Home, TopicId)> {
        let mut readable = Vec::new();
        for (home, part) in &self.drivers[worker].parts {
            if part.rewinding {
                continue;
            }
            for (topic, from) in &part.fetch {
                let log = self.topics.log(*topic, home.1);
                if !part.paused.contains(topic) && log.read(*from).is_some() {
                    readable.push((*home, *topic));
                }
            }
        }
        readable
    }

    /// What a worker would read next there.
    pub(super) fn read(&self, worker: usize, home: Home, topic: TopicId) -> Option<Fetched> {
        let part = self.drivers[worker].parts.get(&home)?;
        let (offset, record) = self.topics.log(topic, home.1).read(*part.fetch.get(&topic)?)?;
        Some(Fetched {
            subscription: home.0,
            generation: part.generation,
            position: Position { topic, partition: home.1, offset },
            key: record.key,
            size: record.size,
            id: record.id,
            mark: record.id.and_then(|id| self.store_of(worker).marks.get(&(home, id)).copied()),
            redriven: record.redriven,
            verdict: record.verdict,
        })
    }

    pub(super) fn ask(&mut self, worker: usize, asked: Asked) -> Result<(), Failure> {
        let life = self.drivers[worker].life;
        match asked {
            Asked::Attempt(attempt) => {
                let Some(call) = self.call(worker, attempt) else { return Ok(()) };
                let at = self.now.after(plugin::duration(self.script.seed, &call));
                self.at(at, Happening::End { worker, life, attempt });
            }
            Asked::Commit(_) if self.cluster.is_some() => return self.transact(worker),
            Asked::Commit(checkpoint) => {
                let span = if self.random.chance(50) { 300 } else { 15 };
                self.after(span, Happening::Resolve { worker, life, checkpoint });
            }
            Asked::Rewind(home) => {
                let Some(part) = self.drivers[worker].parts.get(&home) else { return Ok(()) };
                let generation = part.generation;
                if self.cluster.is_some() {
                    self.take_over(worker, home);
                    return Ok(());
                }
                self.after(10, Happening::Answer { worker, life, home, generation });
            }
            Asked::Released(home) => {
                self.owners.remove(&home);
                self.given_back(worker, home);
                self.after(20, Happening::Assign(home));
            }
            Asked::Ends(subscription) => {
                self.after(10, Happening::Probe { worker, life, subscription });
            }
            Asked::Drained => return self.restart(worker),
        }
        Ok(())
    }

    fn call(&self, worker: usize, attempt: AttemptId) -> Option<Call> {
        let running = self.drivers[worker].running.get(&attempt)?;
        Some(Call {
            subscription: running.home.0,
            event: running.event,
            key: running.key,
            number: running.number,
            timestamp: running.timestamp,
            stateful: self.script.subscription(running.home.0).policy.stateful,
        })
    }

    fn end(&mut self, worker: usize, life: u64, attempt: AttemptId) -> Result<(), Failure> {
        if self.drivers[worker].life != life {
            return Ok(());
        }
        let Some(call) = self.call(worker, attempt) else {
            // It was cancelled: its end may come all the same.
            let late = self.drivers[worker].cancelled.remove(&attempt) && self.random.chance(700);
            let outcome = Outcome::Cancelled;
            return if late {
                self.feed(worker, Input::Finished { attempt, outcome })
            } else {
                Ok(())
            };
        };
        let outcome = if self.is_invalid(&call) {
            // An event parked behind others is decoded again: it still does not hold.
            Outcome::Failed { class: FailureClass::Invalid, retry_after: None }
        } else {
            let outcome = plugin::outcome(self.script.seed, &call, self.now, self.healed);
            self.outgoing(worker, &call, outcome)
        };
        self.drivers[worker].end(attempt, &outcome);
        self.feed(worker, Input::Finished { attempt, outcome })
    }

    /// How an attempt ends whose emission was refused before.
    fn outgoing(&mut self, worker: usize, call: &Call, outcome: Outcome) -> Outcome {
        let of = (call.subscription, call.event);
        let is_refused = self.link(worker).is_some_and(|link| link.undeliverable.contains(&of));
        if is_refused && matches!(outcome, Outcome::Succeeded { .. }) {
            return Outcome::Failed { class: FailureClass::Output, retry_after: None };
        }
        outcome
    }

    fn is_invalid(&self, call: &Call) -> bool {
        self.topics.record(call.event).is_some_and(|record| {
            record.verdict == Verdict::Invalid || (call.stateful && record.key.is_none())
        })
    }

    fn resolve(
        &mut self,
        worker: usize,
        life: u64,
        checkpoint: CheckpointId,
    ) -> Result<(), Failure> {
        if self.drivers[worker].life != life {
            return Ok(());
        }
        let Some(batch) = self.drivers[worker].committing.take() else { return Ok(()) };
        let rates = self.script.rates;
        let dice = if self.healed { 1_000 } else { self.random.below(1_000) };
        if dice < rates.abort {
            if self.options.planted == Some(Planted::AbortKept) {
                self.durable.apply(&batch, &self.topics);
            }
            self.show(gone(&batch))?;
            self.feed(worker, Input::Aborted { checkpoint })
        } else if dice < rates.abort + rates.crash_after_commit {
            self.make_durable(batch, true)?;
            self.crash(worker)
        } else if dice < rates.abort + rates.crash_after_commit + rates.crash_before_commit {
            self.show(gone(&batch))?;
            self.crash(worker)
        } else {
            self.make_durable(batch, false)?;
            self.feed(worker, Input::Committed { checkpoint })
        }
    }

    /// Makes a checkpoint durable, less what an older assignment made; `dying` when nobody will
    /// be told.
    pub(super) fn make_durable(&mut self, mut batch: Batch, dying: bool) -> Result<(), Failure> {
        let planted = self.options.planted;
        if planted != Some(Planted::StaleAccepted) {
            let owners = &self.owners;
            let worker = batch.worker;
            let ours = |home: Home, generation| owners.get(&home) == Some(&(worker, generation));
            let upgrade = |item: &Item| matches!(item.staged, Staged::Upgraded { .. });
            batch.items.retain(|item| upgrade(item) || ours(item.home, item.generation));
            batch.progress.retain(|p| ours((p.subscription, p.partition), p.generation));
        }
        self.tally.checkpoints += 1;
        let before = planted.map(|planted| (planted, self.durable.clone()));
        self.durable.apply(&batch, &self.topics);
        if let Some((planted, before)) = before {
            spoil(planted, before, &mut self.durable, dying);
        }
        self.note(|| {
            format!("durable: checkpoint {} of worker {}", batch.checkpoint.0, batch.worker)
        });
        self.show(Fact::Durable(&batch))
    }

    fn assign(&mut self, home: Home) -> Result<(), Failure> {
        if self.owners.contains_key(&home) {
            return Ok(());
        }
        let worker = self.random.index(self.drivers.len());
        if self.drivers[worker].draining || self.is_frozen(worker) {
            self.after(50, Happening::Assign(home));
            return Ok(());
        }
        if self.cluster.is_some() {
            self.grant(worker, home);
            return Ok(());
        }
        self.hand_over(worker, home)
    }

    fn hand_over(&mut self, worker: usize, home: Home) -> Result<(), Failure> {
        self.generations += 1;
        let generation = Generation(self.generations);
        self.owners.insert(home, (worker, generation));
        let assignment = self.durable.assignment(home, generation, &self.script, &self.topics);
        self.feed(worker, Input::Assigned(Box::new(assignment)))
    }

    fn answer(&mut self, worker: usize, home: Home, generation: Generation) -> Result<(), Failure> {
        let part = self.drivers[worker].parts.get(&home);
        let Some(part) = part.filter(|p| p.rewinding && p.generation == generation) else {
            return Ok(());
        };
        let (revoking, life) = (part.revoking, self.drivers[worker].life);
        self.hand_over(worker, home)?;
        if revoking && self.drivers[worker].life == life {
            return self.revoke(worker, home);
        }
        Ok(())
    }

    fn restart(&mut self, worker: usize) -> Result<(), Failure> {
        if self.cluster.is_some() {
            return self.leave(worker, 20);
        }
        self.show(Fact::Ended { worker })?;
        let homes: Vec<Home> =
            self.owners.iter().filter(|(_, o)| o.0 == worker).map(|(home, _)| *home).collect();
        for home in homes {
            self.owners.remove(&home);
            self.after(20, Happening::Assign(home));
        }
        self.start(worker)
    }
}
