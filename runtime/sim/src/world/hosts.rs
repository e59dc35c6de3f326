//! Decides who holds what in a cluster: hosts that die, stand still and come back, groups that deal
//! partitions out, and takeovers, whose questions the engine's `takeover` decides.

use gristmill_engine::takeover::{Answer, Ask, Cache, Takeover, within};
use gristmill_engine::{Generation, Input, Instant, Millis, Offset, SubscriptionId};

use super::link::{Restore, Stage};
use super::network::Event;
use crate::broker::{Record, Shelf};
use crate::changelog::{self, scaled};
use crate::checkers::{Fact, Failure};
use crate::planted::Planted;
use crate::world::World;
use crate::world::cluster::gone;
use crate::world::durable::{Durable, Home};
use crate::world::happenings::Happening;

/// Silence after which a host counts as dead.
const SESSION_MS: u64 = 100;
/// Longest time until members of a group know its new generation.
const JOIN_MS: u64 = 12;
/// Longest pause between two questions of a takeover.
const ASK_MS: u64 = 2;
/// Pause before what cannot be answered now is asked again.
const PAUSE_MS: u64 = 5;
/// Deletions stay in a changelog for so long: twice as long as caches are trusted.
const DELETIONS_MS: u64 = 500;
/// Pause between two compactions.
const COMPACT_MS: u64 = 150;

impl World {
    /// A host dies and comes back a while later; its partitions go to others meanwhile.
    pub(super) fn die(&mut self, worker: usize) -> Result<(), Failure> {
        self.tally.crashes += 1;
        self.note(|| format!("host {worker} dies"));
        let (disk, down) = (self.random.below(100), Millis(self.random.below(200)));
        let until = self.now.after(down);
        if let Some(cluster) = &mut self.cluster {
            let link = &mut cluster.links[worker];
            if disk < 15 {
                link.wipe();
            } else if disk < 40 {
                link.lose_unsynced();
            }
        }
        self.stand_still(worker, until);
        self.leave(worker, SESSION_MS)
    }

    /// A host ends, and begins another life; its partitions are dealt out within `span`.
    pub(super) fn leave(&mut self, worker: usize, span: u64) -> Result<(), Failure> {
        let Some(link) = self.link(worker) else { return Ok(()) };
        let work = link.work.take();
        link.restart();
        // Of what was begun others know more.
        if let Some(work) = work.filter(|work| work.stage != Stage::Flying) {
            self.show(gone(&work.batch))?;
        }
        self.show(Fact::Ended { worker })?;
        let owned = self.owners.iter().filter(|(_, owner)| owner.0 == worker);
        let homes: Vec<Home> = owned.map(|(home, _)| *home).collect();
        for home in homes {
            self.owners.remove(&home);
            self.rebalance(home.0);
            self.after(span, Happening::Assign(home));
        }
        self.start(worker)
    }

    /// The members of a group change; each is told in its own time.
    fn rebalance(&mut self, group: SubscriptionId) -> u32 {
        let Some(cluster) = &mut self.cluster else { return 0 };
        let generation = cluster.broker.rebalance(group);
        for worker in 0..self.drivers.len() {
            let life = self.drivers[worker].life;
            let at = self.now.after(Millis(self.random.below(JOIN_MS)));
            self.at_net(at, Event::Joined { worker, life, group, generation });
        }
        generation
    }

    /// A host learns of a generation.
    pub(super) fn joined(&mut self, worker: usize, group: SubscriptionId, generation: u32) {
        if let Some(link) = self.link(worker) {
            link.learn(group, generation);
        }
    }

    /// A group takes a partition from its host, which learns of it with the generation.
    pub(super) fn take_away(&mut self, worker: usize, home: Home) {
        let generation = self.rebalance(home.0);
        let Some(link) = self.link(worker) else { return };
        let term = link.held.get(&home).copied().unwrap_or(0);
        link.forget(home);
        link.losses.push((generation, home, term));
    }

    /// A host gave a partition back.
    pub(super) fn given_back(&mut self, worker: usize, home: Home) {
        if let Some(link) = self.link(worker) {
            link.held.remove(&home);
            link.forget(home);
            self.rebalance(home.0);
        }
    }

    /// A group deals a partition out to a host, which brings its state first.
    pub(super) fn grant(&mut self, worker: usize, home: Home) {
        self.rebalance(home.0);
        let Some(cluster) = &mut self.cluster else { return };
        cluster.terms += 1;
        let generation = cluster.broker.generation(home.0);
        let link = &mut cluster.links[worker];
        link.learn(home.0, generation);
        link.held.insert(home, cluster.terms);
        self.owners.insert(home, (worker, Generation(0)));
        self.take_over(worker, home);
    }

    /// Begins to bring a partition's state to a host.
    pub(super) fn take_over(&mut self, worker: usize, home: Home) {
        let life = self.drivers[worker].life;
        let is_early = self.options.planted == Some(Planted::TakeoverEarly);
        let Some(cluster) = &mut self.cluster else { return };
        let ticket = cluster.ticket();
        if !is_early && !cluster.links[worker].barrier.admits(home) {
            cluster.links[worker].restores.remove(&home);
            return;
        }
        let restore = Restore {
            ticket,
            takeover: Takeover::new(true),
            committed: std::collections::BTreeMap::new(),
            was_empty: false,
        };
        let link = &mut cluster.links[worker];
        link.finished.retain(|cursor, _| (cursor.0, cursor.2) != home);
        link.restores.insert(home, restore);
        self.after(ASK_MS, Happening::Net(Event::Ask { worker, life, home, ticket }));
    }

    /// The checkpoint that committed has ended: what waited for that is taken over.
    pub(super) fn take_over_waiting(&mut self, worker: usize) {
        let waiting = self.link(worker).map(|link| link.barrier.ended()).unwrap_or_default();
        for home in waiting {
            self.take_over(worker, home);
        }
    }

    /// A host asks the next question of a takeover.
    pub(super) fn ask_on(&mut self, worker: usize, home: Home, ticket: u64) -> Result<(), Failure> {
        let life = self.drivers[worker].life;
        let is_lost = self.is_lost();
        let Some(link) = self.link(worker) else { return Ok(()) };
        let Some(restore) = link.restores.get_mut(&home).filter(|it| it.ticket == ticket) else {
            return Ok(());
        };
        let mut pause = ASK_MS;
        if is_lost {
            // What fails is begun anew.
            restore.takeover = Takeover::new(true);
            pause = PAUSE_MS;
        } else if let Some(ask) = restore.takeover.next() {
            let answer = self.answer_to(worker, home, ask);
            let link = self.link(worker);
            let restore = link.and_then(|link| link.restores.get_mut(&home));
            match (answer, restore) {
                (Some(answer), Some(restore)) => {
                    restore.takeover.answered(answer);
                    if restore.takeover.is_waiting() && ask == Ask::Bounds {
                        pause = PAUSE_MS;
                    }
                    if restore.takeover.next().is_none() {
                        return self.taken_over(worker, home);
                    }
                }
                (_, _) => pause = PAUSE_MS,
            }
        }
        self.after(pause, Happening::Net(Event::Ask { worker, life, home, ticket }));
        Ok(())
    }

    /// The broker's answer, or the cache's; `None` where there is none yet.
    fn answer_to(&mut self, worker: usize, home: Home, ask: Ask) -> Option<Answer> {
        let (planted, now) = (self.options.planted, self.now);
        let (most, is_short) = (self.random.between(1, 40), self.random.chance(100));
        let most = usize::try_from(most).unwrap_or(1);
        let to = Shelf::Changelog(home);
        let cluster = self.cluster.as_mut()?;
        let link = &mut cluster.links[worker];
        Some(match ask {
            Ask::Committed => {
                let stable = planted != Some(Planted::OffsetsUnstable);
                let committed = cluster.broker.committed(home, stable)?;
                link.restores.get_mut(&home)?.committed = committed;
                Answer::Committed
            }
            Ask::End if planted == Some(Planted::RestoreUnsettled) => {
                Answer::End(cluster.broker.log(to).stable())
            }
            Ask::End => Answer::End(cluster.broker.log(to).end_offset()),
            Ask::Bounds => {
                Answer::Bounds { start: Offset(0), stable: cluster.broker.log(to).stable() }
            }
            Ask::Known { start, end } => {
                let known = link.caches.get(&home).copied();
                let cache = known.map(|it| Cache { at: scaled(it.at), ..it });
                let is_trusted = cache.is_some_and(|cache| {
                    planted == Some(Planted::CacheTrusted)
                        || cache.is_trusted((start, end), scaled(now))
                });
                if !is_trusted {
                    changelog::clear(&mut link.store, home);
                    link.caches.insert(home, Cache { next: start, at: now });
                }
                let next = link.caches.get(&home)?.next;
                let skip = planted == Some(Planted::StandingAhead) && next > start;
                Answer::Known(if skip { next.next() } else { next })
            }
            Ask::Read(from) => {
                let restore = link.restores.get_mut(&home)?;
                // A reader may be mistaken about the end, once.
                if is_short && !restore.was_empty {
                    restore.was_empty = true;
                    return Some(Answer::Read(None));
                }
                restore.was_empty = false;
                let end = restore.takeover.end();
                let all = planted == Some(Planted::UncommittedRead);
                let read = cluster.broker.log(to).read(from, most, all);
                let last = read.last().map(|read| read.offset);
                for read in read {
                    if let Record::Entry(key, value) = read.record {
                        let is_kept = planted == Some(Planted::DeletionsUnread) && value.is_none();
                        if !is_kept {
                            changelog::take(&mut link.store, home, key, value);
                        }
                    }
                }
                let next = last.map_or(end, Offset::next);
                link.caches.insert(home, Cache { next, at: now });
                Answer::Read(last)
            }
        })
    }

    /// A partition's state is here: it is read from now on.
    fn taken_over(&mut self, worker: usize, home: Home) -> Result<(), Failure> {
        let now = self.now;
        self.tally.net.restored += 1;
        self.generations += 1;
        let generation = Generation(self.generations);
        let Some(cluster) = &mut self.cluster else { return Ok(()) };
        let link = &mut cluster.links[worker];
        let Some(restore) = link.restores.remove(&home) else { return Ok(()) };
        let next = restore.takeover.standing().unwrap_or_default();
        let cache = Cache { next, at: now };
        link.caches.insert(home, cache);
        link.synced.insert(home, (changelog::contents(&link.store, home), cache));
        for topic in &self.script.subscription(home.0).topics {
            let cursor = (home.0, *topic, home.1);
            let end = self.topics.log(*topic, home.1).end();
            link.store.committed.remove(&cursor);
            if let Some(offset) = within(restore.committed.get(&cursor).copied(), end) {
                link.store.committed.insert(cursor, offset);
            }
        }
        self.owners.insert(home, (worker, generation));
        // It is shown as it lies there, and put back.
        let store = std::mem::take(&mut cluster.links[worker].store);
        let shown = self.show(Fact::Restored { home, store: &store });
        let assignment = store.assignment(home, generation, &self.script, &self.topics);
        if let Some(link) = self.link(worker) {
            link.store = store;
        }
        shown?;
        self.feed(worker, Input::Assigned(Box::new(assignment)))
    }

    /// Somebody who knows nothing reads everything.
    pub(super) fn read_all(&mut self) -> Result<(), Failure> {
        for home in self.homes() {
            let Some(cluster) = &mut self.cluster else { return Ok(()) };
            let mut store = Durable::default();
            store.committed.extend(cluster.broker.committed(home, true).unwrap_or_default());
            let log = cluster.broker.log(Shelf::Changelog(home));
            for read in log.read(Offset(0), usize::MAX, false) {
                if let Record::Entry(key, value) = read.record {
                    changelog::take(&mut store, home, key, value);
                }
            }
            self.show(Fact::Restored { home, store: &store })?;
        }
        Ok(())
    }

    /// A host stands still for a while, as one that is stopped by a signal does.
    pub(super) fn freeze(&mut self) {
        let worker = self.random.index(self.drivers.len());
        let span = self.random.pick(&[20, 60, 130, 300]);
        let (until, life) = (self.now.after(Millis(span)), self.drivers[worker].life);
        self.stand_still(worker, until);
        if span > SESSION_MS {
            let at = self.now.after(Millis(SESSION_MS));
            self.at_net(at, Event::Evict { worker, life });
        }
    }

    fn stand_still(&mut self, worker: usize, until: Instant) {
        let Some(cluster) = &mut self.cluster else { return };
        let until = cluster.frozen_until(worker, self.now).map_or(until, |it| it.max(until));
        cluster.frozen.insert(worker, until);
        self.at_net(until, Event::Thaw { worker });
    }

    /// A host goes on, and finds what happened meanwhile.
    pub(super) fn thaw(&mut self, worker: usize) {
        let now = self.now;
        let Some(cluster) = &mut self.cluster else { return };
        if cluster.frozen_until(worker, now).is_none() {
            for happening in cluster.open_inbox(worker) {
                self.at(now, happening);
            }
        }
    }

    /// A host that was silent for too long loses all it has.
    pub(super) fn evict(&mut self, worker: usize, life: u64) -> Result<(), Failure> {
        let owned = self.owners.iter().filter(|(_, owner)| owner.0 == worker);
        let homes: Vec<Home> = owned.map(|(home, _)| *home).collect();
        for home in homes {
            if self.drivers[worker].life != life {
                break;
            }
            self.lose(home)?;
        }
        Ok(())
    }

    /// Changelogs are compacted.
    pub(super) fn compact(&mut self) {
        let at = self.now.after(Millis(COMPACT_MS));
        if self.cluster.is_some() && !self.healed {
            self.at_net(at, Event::Compact);
        }
        let deletions = Instant(self.now.0.saturating_sub(DELETIONS_MS));
        let homes = self.homes();
        let Some(cluster) = &mut self.cluster else { return };
        for home in homes {
            cluster.broker.log(Shelf::Changelog(home)).compact(deletions);
        }
    }
}
