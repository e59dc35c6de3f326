//! Decides what each fault does to a world, and what an operator does about it. It never acts
//! once the world is healed.

use gristmill_engine::{Input, Offset, PartitionId, Position, SubscriptionId, TopicId, Version};

use crate::checkers::{Fact, Failure};
use crate::script::{Arrival, Fault, records};
use crate::topic::{EventId, Record};
use crate::world::World;
use crate::world::cluster::gone;
use crate::world::durable::{CursorId, Home};
use crate::world::happenings::Happening;
use crate::world::network::Event;

/// Longest time a pause or short storage lasts, in milliseconds.
const PAUSE_MS: u64 = 600;

impl World {
    pub(super) fn strike(&mut self, fault: Fault) -> Result<(), Failure> {
        match fault {
            Fault::Crash => {
                let worker = self.random.index(self.drivers.len());
                self.crash(worker)
            }
            Fault::Revoke => match self.owned() {
                Some((worker, home)) => self.revoke(worker, home),
                None => Ok(()),
            },
            Fault::Lose => match self.owned() {
                Some((_, home)) => self.lose(home),
                None => Ok(()),
            },
            Fault::Pause => self.pause(),
            Fault::StorageLow => self.shorten(),
            Fault::Drain => self.drain(),
            Fault::Upgrade => self.upgrade(),
            Fault::Reset => self.reset(),
            Fault::Recreate => self.recreate(),
            Fault::Redrive => {
                self.redrive();
                Ok(())
            }
            Fault::Trim => self.trim(),
            Fault::Freeze => {
                self.freeze();
                Ok(())
            }
            Fault::ReadAnew => match self.owned() {
                Some((worker, home)) => self.read_anew(worker, home),
                None => Ok(()),
            },
        }
    }

    /// The process dies. What was committing is durable or not; everything in memory is gone. In a
    /// cluster it is one host of several.
    pub(super) fn crash(&mut self, worker: usize) -> Result<(), Failure> {
        if self.cluster.is_some() {
            return self.die(worker);
        }
        self.tally.crashes += 1;
        self.note(|| "the process dies".to_owned());
        for worker in 0..self.drivers.len() {
            let Some(batch) = self.drivers[worker].committing.take() else { continue };
            if self.random.chance(500) {
                self.make_durable(batch, true)?;
            } else {
                self.show(gone(&batch))?;
            }
        }
        self.owners.clear();
        self.show(Fact::Crashed)?;
        self.start_all()
    }

    pub(super) fn heal(&mut self) -> Result<(), Failure> {
        self.note(|| "faults stop".to_owned());
        self.healed = true;
        self.room()?;
        let paused: Vec<SubscriptionId> = self.paused.iter().copied().collect();
        for subscription in paused {
            self.resume(subscription)?;
        }
        Ok(())
    }

    pub(super) fn revoke(&mut self, worker: usize, home: Home) -> Result<(), Failure> {
        if let Some(part) = self.drivers[worker].parts.get_mut(&home) {
            part.revoking = true;
        }
        if let Some(link) = self.link(worker) {
            link.call_off(home);
        }
        self.feed(worker, Input::Revoked { subscription: home.0, partition: home.1 })
    }

    pub(super) fn lose(&mut self, home: Home) -> Result<(), Failure> {
        let Some((worker, _)) = self.owners.remove(&home) else { return Ok(()) };
        self.straggle(worker, home);
        self.take_away(worker, home);
        self.after(30, Happening::Assign(home));
        self.drivers[worker].parts.remove(&home);
        self.feed(worker, Input::Lost { subscription: home.0, partition: home.1 })
    }

    /// What a partition is read from fails, in a cluster: its host brings its state anew, and
    /// nobody else is told.
    fn read_anew(&mut self, worker: usize, home: Home) -> Result<(), Failure> {
        if self.cluster.is_none() || self.is_frozen(worker) {
            return Ok(());
        }
        let life = self.drivers[worker].life;
        self.straggle(worker, home);
        self.drivers[worker].parts.remove(&home);
        self.feed(worker, Input::Lost { subscription: home.0, partition: home.1 })?;
        if self.drivers[worker].life == life {
            self.take_over(worker, home);
        }
        Ok(())
    }

    /// A record read before the partition went away may turn up after it came back.
    fn straggle(&mut self, worker: usize, home: Home) {
        let topic = self.script.subscription(home.0).topics[0];
        if self.random.chance(500)
            && let Some(fetched) = self.read(worker, home, topic)
        {
            let life = self.drivers[worker].life;
            let fetched = Box::new(fetched);
            self.after(60, Happening::Straggle { worker, life, fetched });
        }
    }

    fn pause(&mut self) -> Result<(), Failure> {
        let all = &self.script.subscriptions;
        let subscription = all[self.random.index(all.len())].id;
        self.paused.insert(subscription);
        self.after(PAUSE_MS, Happening::Resume(subscription));
        self.tell_all(&Input::Paused { subscription })
    }

    pub(super) fn resume(&mut self, subscription: SubscriptionId) -> Result<(), Failure> {
        self.paused.remove(&subscription);
        let ends = self.told_ends(subscription);
        self.tell_all(&Input::Resumed { subscription, ends })
    }

    /// Where the topics of a subscription end, as far as it is told at once.
    pub(super) fn told_ends(&self, subscription: SubscriptionId) -> Vec<Position> {
        let reader = self.script.subscription(subscription);
        let told = |at: Position| Position { offset: reader.told_end(at.topic, at.offset), ..at };
        self.ends(subscription).into_iter().map(told).collect()
    }

    /// Where the topics of a subscription end.
    pub(super) fn ends(&self, subscription: SubscriptionId) -> Vec<Position> {
        let mut ends = Vec::new();
        for topic in &self.script.subscription(subscription).topics {
            for partition in self.script.partition_ids() {
                let offset = self.topics.log(*topic, partition).end();
                ends.push(Position { topic: *topic, partition, offset });
            }
        }
        ends
    }

    fn shorten(&mut self) -> Result<(), Failure> {
        self.storage_low = true;
        self.after(PAUSE_MS, Happening::Room);
        self.tell_all(&Input::StorageLow(true))
    }

    pub(super) fn room(&mut self) -> Result<(), Failure> {
        self.storage_low = false;
        self.tell_all(&Input::StorageLow(false))
    }

    fn drain(&mut self) -> Result<(), Failure> {
        let worker = self.random.index(self.drivers.len());
        if self.drivers[worker].draining {
            return Ok(());
        }
        self.drivers[worker].draining = true;
        self.feed(worker, Input::Drain)
    }

    fn upgrade(&mut self) -> Result<(), Failure> {
        let all = &self.script.subscriptions;
        let subscription = all[self.random.index(all.len())].id;
        let version = Version(self.newest[&subscription].0 + 1);
        self.newest.insert(subscription, version);
        self.tell_all(&Input::Upgraded { subscription, version })
    }

    fn reset(&mut self) -> Result<(), Failure> {
        // Nobody resets the internal topic of redriven dead letters: it is no group's source.
        let sources =
            |cursor: &CursorId| cursor.1 != self.script.subscription(cursor.0).redrive_topic();
        let progress = self.durable.progress.iter().filter(|(c, p)| sources(c) && p.next.0 > 0);
        let progress: Vec<CursorId> = progress.map(|(cursor, _)| *cursor).collect();
        if progress.is_empty() {
            return Ok(());
        }
        let cursor = self.random.pick(&progress);
        let stored = &self.durable.progress[&cursor];
        // A mark knows its epoch, not its topic's life: a reset after a re-creation may make marks
        // of the former life count again. Known, and not asked for here.
        if self.topics.is_recreated(cursor.1) {
            return Ok(());
        }
        // A reset that nobody acted on yet is only ever exceeded.
        let bound =
            self.durable.committed.get(&cursor).map_or(stored.next, |c| stored.next.min(*c));
        let to = Offset(self.random.below(bound.0));
        // A group is reset while nobody reads.
        let home = (cursor.0, cursor.2);
        let crashes = self.tally.crashes;
        self.lose(home)?;
        if self.tally.crashes != crashes
            || self.owners.contains_key(&home)
            || self.is_undecided(home)
        {
            return Ok(());
        }
        self.durable.committed.insert(cursor, to);
        if let Some(cluster) = &mut self.cluster {
            cluster.broker.set_offset(cursor, to);
        }
        self.note(|| format!("reset: {cursor:?} to {}", to.0));
        self.show(Fact::Reset { cursor, to })
    }

    fn recreate(&mut self) -> Result<(), Failure> {
        let sources = &self.script.subscriptions[0].topics;
        let topic = sources[self.random.index(sources.len() - 1)];
        let crashes = self.tally.crashes;
        for home in self.readers(topic) {
            self.lose(home)?;
        }
        let is_undecided = self.readers(topic).into_iter().any(|home| self.is_undecided(home));
        if self.tally.crashes != crashes || is_undecided {
            return Ok(());
        }
        self.topics.create(topic, self.script.partitions);
        self.durable.committed.retain(|cursor, _| cursor.1 != topic);
        if let Some(cluster) = &mut self.cluster {
            cluster.broker.forget(|cursor| cursor.1 == topic);
        }
        self.note(|| format!("re-created: {topic:?}"));
        self.show(Fact::Recreated { topic })?;
        for partition in self.script.partition_ids() {
            let count = self.random.below(6);
            for (gap, record) in records(&mut self.random, partition, count, self.now) {
                let arrival = Arrival { topic, partition, gap, record };
                self.after(100, Happening::Arrive(arrival));
            }
        }
        Ok(())
    }

    fn redrive(&mut self) {
        let letters = self.durable.dead_letters[self.redriven..].to_vec();
        self.redriven = self.durable.dead_letters.len();
        for letter in letters {
            let EventId::Record { position, .. } = letter.event else { continue };
            let Some(record) = self.topics.record(letter.event).copied() else { continue };
            let record = Record { redriven: true, timestamp: self.now, ..record };
            let topic = self.script.subscription(letter.subscription).redrive_topic();
            let partition = position.partition;
            self.after(50, Happening::Arrive(Arrival { topic, partition, gap: 0, record }));
        }
    }

    fn trim(&mut self) -> Result<(), Failure> {
        let sources = &self.script.subscriptions[0].topics;
        let topic = sources[self.random.index(sources.len() - 1)];
        let partition = PartitionId(u32::try_from(self.random.below(3)).unwrap_or(0));
        let span = self.random.between(1, 8);
        let Some(log) = self.topics.log_mut(topic, partition) else { return Ok(()) };
        let start = Offset(log.end().0.min(log.start.0 + span));
        log.start = start;
        let empty = log.read(start).is_none();
        self.show(Fact::Trimmed { topic, partition, start })?;
        // Who stands before an empty log gets no record to tell it by: the fetch is refused as
        // out of range, and the partition assigned afresh.
        for home in self.readers(topic) {
            if empty && home.1 == partition {
                self.lose(home)?;
            }
        }
        Ok(())
    }

    fn readers(&self, topic: TopicId) -> Vec<Home> {
        let reads = |home: &Home| self.script.subscription(home.0).topics.contains(&topic);
        self.homes().into_iter().filter(reads).collect()
    }

    /// A partition that has an owner, is not on its way, and whose worker is not stopping.
    fn owned(&mut self) -> Option<(usize, Home)> {
        let steady = |(home, (worker, _)): (&Home, &(usize, _))| {
            let driver = &self.drivers[*worker];
            let part = driver.parts.get(home)?;
            (!driver.draining && !part.revoking).then_some((*worker, *home))
        };
        let steady: Vec<(usize, Home)> = self.owners.iter().filter_map(steady).collect();
        (!steady.is_empty()).then(|| self.random.pick(&steady))
    }

    fn tell_all(&mut self, input: &Input) -> Result<(), Failure> {
        let lives: Vec<u64> = self.drivers.iter().map(|driver| driver.life).collect();
        for (worker, life) in lives.into_iter().enumerate() {
            if self.is_frozen(worker) {
                let input = Box::new(input.clone());
                self.at_net(self.now, Event::Tell { worker, life, input });
            } else {
                self.tell(worker, life, input.clone())?;
            }
        }
        Ok(())
    }
}
