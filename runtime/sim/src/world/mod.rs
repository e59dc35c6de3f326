//! Owns a simulated world: workers with their engines, topics, what is durable, the clock and
//! the queue of what happens next. It never knows which promise is at stake; it shows everything
//! to the checkers and stops at the first objection.

pub mod driver;
pub mod durable;

mod answers;
mod client;
mod cluster;
mod faults;
mod happenings;
mod hosts;
mod link;
mod network;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::ops::AddAssign;

use gristmill_engine::{Effect, Generation, Input, Instant, Millis, SubscriptionId, Version};

use crate::checkers::{DRAINS, Fact, Failure, PROTOCOL, Panel, Scene};
use crate::planted::{Planted, Subject};
use crate::random::{Random, mix};
use crate::script::{DAWN, KEY_SHIFT, Script};
use crate::topic::Topics;
use crate::world::cluster::Cluster;
use crate::world::driver::Driver;
use crate::world::durable::{Durable, Home};
use crate::world::happenings::Happening;

/// Inputs one history may take: over ten times what the longest need. A livelock ends here.
const STEPS_MAX: u64 = 60_000;
/// Things that may happen in one history.
const HAPPENINGS_MAX: u64 = 1_000_000;
/// Times an operator resumes everything before a world counts as stuck.
const RESUMES_MAX: u32 = 60;

/// What to look at in a history.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// A bug to plant.
    pub planted: Option<Planted>,
    /// The one checker to ask, if not all.
    pub only: Option<&'static str>,
    /// How many of the last inputs and effects to keep.
    pub journal: usize,
    /// Whether to digest all effects.
    pub digest: bool,
}

/// What a history came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Inputs given to engines.
    pub steps: u64,
    /// Effects executed.
    pub effects: u64,
    /// Times the process died.
    pub crashes: u64,
    /// Checkpoints that became durable.
    pub checkpoints: u64,
    /// Milliseconds that passed in the world.
    pub millis: u64,
    /// What befell the transactions of a cluster.
    pub net: NetTally,
    /// Digest of all effects, where asked for.
    pub digest: u64,
}

/// What befell the transactions of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetTally {
    /// Histories in a cluster.
    pub clusters: u64,
    /// Transactions that were decided to count.
    pub committed: u64,
    /// Transactions that were decided not to.
    pub aborted: u64,
    /// Ends that nobody answered, so that their hosts could not know.
    pub ambiguous: u64,
    /// Of those, ends that counted.
    pub ambiguous_committed: u64,
    /// Requests that were sent again, because their connections broke.
    pub repeated: u64,
    /// Producers that were made anew for that.
    pub doubted: u64,
    /// Records that were refused for good.
    pub refused: u64,
    /// Requests of producers that had a successor.
    pub fenced: u64,
    /// Requests of members of a former generation.
    pub stale: u64,
    /// Partitions that were taken over.
    pub restored: u64,
}

impl AddAssign for NetTally {
    fn add_assign(&mut self, other: Self) {
        self.clusters += other.clusters;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.ambiguous += other.ambiguous;
        self.ambiguous_committed += other.ambiguous_committed;
        self.repeated += other.repeated;
        self.doubted += other.doubted;
        self.refused += other.refused;
        self.fenced += other.fenced;
        self.stale += other.stale;
        self.restored += other.restored;
    }
}

impl AddAssign for Tally {
    /// The digest of a sum is that of the last.
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.effects += other.effects;
        self.crashes += other.crashes;
        self.checkpoints += other.checkpoints;
        self.millis += other.millis;
        self.net += other.net;
        self.digest = other.digest;
    }
}

/// A simulated world.
#[derive(Debug)]
pub struct World {
    script: Script,
    options: Options,
    random: Random,
    now: Instant,
    topics: Topics,
    durable: Durable,
    /// Where checkpoints become durable in a cluster.
    cluster: Option<Cluster>,
    drivers: Vec<Driver>,
    owners: BTreeMap<Home, (usize, Generation)>,
    generations: u64,
    lives: u64,
    tickets: u64,
    queue: BTreeMap<(Instant, u64), Happening>,
    polls: BTreeSet<usize>,
    panel: Panel,
    paused: BTreeSet<SubscriptionId>,
    storage_low: bool,
    newest: BTreeMap<SubscriptionId, Version>,
    redriven: usize,
    healed: bool,
    resumes: u32,
    tally: Tally,
    journal: VecDeque<String>,
}

impl World {
    /// The world of `script`, at its dawn.
    #[must_use]
    pub fn new(script: Script, options: Options) -> Self {
        let mut topics = Topics::default();
        for topic in script.subscriptions.iter().flat_map(|s| &s.topics) {
            topics.create(*topic, script.partitions);
        }
        let mut world = Self {
            options,
            random: Random::new(mix(&[script.seed, 1])),
            now: DAWN,
            topics,
            durable: Durable { group_offsets: script.group_offsets, ..Durable::default() },
            cluster: script.cluster.then(|| Cluster::new(script.workers, options.planted)),
            drivers: Vec::new(),
            owners: BTreeMap::new(),
            generations: 0,
            lives: 0,
            tickets: 0,
            queue: BTreeMap::new(),
            polls: BTreeSet::new(),
            panel: Panel::new(options.only),
            paused: BTreeSet::new(),
            storage_low: false,
            newest: script.subscriptions.iter().map(|s| (s.id, Version(1))).collect(),
            redriven: 0,
            healed: false,
            resumes: 0,
            tally: Tally::default(),
            journal: VecDeque::new(),
            script,
        };
        for (at, arrival) in world.script.arrivals.clone() {
            world.at(at, Happening::Arrive(arrival));
        }
        for (at, fault) in world.script.faults.clone() {
            world.at(at, Happening::Strike(fault));
        }
        world.at(world.script.heal_at, Happening::Heal);
        world
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// The first broken promise.
    pub fn run(&mut self) -> Result<Tally, Failure> {
        self.tally.net.clusters = u64::from(self.cluster.is_some());
        self.start_all()?;
        self.compact();
        while !self.is_drained() {
            if self.tally.steps > STEPS_MAX || self.tickets > HAPPENINGS_MAX {
                return Err(self.stuck("the history does not end"));
            }
            self.next()?;
        }
        self.read_all()?;
        let scene = Scene {
            now: self.now,
            script: &self.script,
            topics: &self.topics,
            durable: &self.durable,
        };
        self.panel.end(scene)?;
        self.tally.millis = self.now.since(DAWN).0;
        Ok(self.tally)
    }

    /// The last inputs and effects, oldest first, where asked for.
    pub fn journal(&self) -> impl Iterator<Item = &str> {
        self.journal.iter().map(String::as_str)
    }

    /// Lets the next thing happen.
    fn next(&mut self) -> Result<(), Failure> {
        let due = self.drivers.iter().enumerate().filter_map(|(worker, driver)| {
            let due = driver.subject.engine().next_deadline()?;
            let due = self.frozen_until(worker).map_or(due, |thaw| due.max(thaw));
            (due < Instant::NEVER).then_some((due, worker))
        });
        let due = due.min();
        let first = self.queue.first_key_value().map(|((at, _), _)| *at);
        match (due, first) {
            (Some((due, worker)), first) if first.is_none_or(|at| due <= at.max(self.now)) => {
                self.now = self.now.max(due);
                self.feed(worker, Input::Deadline)?;
            }
            (_, Some(_)) => {
                if let Some(((at, _), happening)) = self.queue.pop_first() {
                    self.now = self.now.max(at);
                    let host = happening.host();
                    let thaw = host.and_then(|host| self.frozen_until(host));
                    match (host.filter(|_| thaw.is_some()), &mut self.cluster) {
                        (Some(host), Some(cluster)) => cluster.keep(host, happening),
                        (_, _) => self.happen(happening)?,
                    }
                }
            }
            (_, None) => self.resume_all()?,
        }
        self.poll_soon();
        Ok(())
    }

    /// Nothing is left to happen: an operator resumes what waits for one.
    fn resume_all(&mut self) -> Result<(), Failure> {
        self.resumes += 1;
        if self.resumes > RESUMES_MAX {
            return Err(self.stuck("nothing is left to happen"));
        }
        for subscription in self.script.subscriptions.clone() {
            self.resume(subscription.id)?;
        }
        Ok(())
    }

    /// Hands one input to an engine and executes the effects; the process may die between two.
    fn feed(&mut self, worker: usize, input: Input) -> Result<(), Failure> {
        self.tally.steps += 1;
        self.record(worker, "<-", &input);
        self.show(Fact::Fed { worker, input: &input })?;
        if let Input::Assigned(assignment) = &input {
            let store = match &self.cluster {
                Some(cluster) => &cluster.links[worker].store,
                None => &self.durable,
            };
            self.drivers[worker].assign(assignment, store);
        }
        self.tell_ends_later(worker, &input);
        let mut effects = Vec::new();
        self.drivers[worker]
            .subject
            .step(self.now, input, &mut effects)
            .map_err(|violation| Failure { checker: PROTOCOL, what: violation.what.to_owned() })?;
        let dies = !self.healed && self.random.chance(self.script.rates.crash_per_step);
        let last = if dies { self.random.index(effects.len() + 1) } else { usize::MAX };
        let life = self.drivers[worker].life;
        for (index, effect) in effects.into_iter().enumerate() {
            if index == last {
                break;
            }
            self.execute(worker, effect)?;
            if self.drivers[worker].life != life {
                return Ok(());
            }
        }
        if dies { self.crash(worker) } else { Ok(()) }
    }

    fn execute(&mut self, worker: usize, effect: Effect) -> Result<(), Failure> {
        self.tally.effects += 1;
        self.record(worker, "->", &effect);
        if self.options.digest {
            let mut digest = Digest(self.tally.digest);
            if write!(digest, "{worker} {} {effect:?}", self.now.0).is_ok() {
                self.tally.digest = digest.0;
            }
        }
        let event = self.drivers[worker].event_of(&effect);
        if let (Effect::Fetch { subscription, topic, partition, from, .. }, Some(link)) =
            (&effect, self.link(worker))
        {
            link.finished.insert((*subscription, *topic, *partition), *from);
        }
        self.show(Fact::Done { worker, effect: &effect, event })?;
        let driver = &mut self.drivers[worker];
        let asked = driver.execute(effect, event, &mut self.durable, &self.topics);
        asked.map_or(Ok(()), |asked| self.ask(worker, asked))
    }

    /// A worker with nothing in memory, and what its engine is told first.
    fn start(&mut self, worker: usize) -> Result<(), Failure> {
        self.lives += 1;
        let seed = mix(&[self.script.seed, self.lives]);
        let subject = Subject::new(&self.script.worker_policy, seed, self.options.planted);
        let driver = Driver::new(worker, self.lives, subject, self.options.planted);
        if worker < self.drivers.len() {
            self.drivers[worker] = driver;
        } else {
            self.drivers.push(driver);
        }
        self.polls.remove(&worker);
        let life = self.lives;
        self.show(Fact::Started { worker, life })?;
        for subscription in self.script.subscriptions.clone() {
            let id = subscription.id;
            let version = self.durable.versions.get(&(worker, id)).copied().unwrap_or(Version(1));
            // A host of a cluster begins with what is installed.
            let version = if self.cluster.is_some() { self.newest[&id] } else { version };
            let policy = Box::new(subscription.policy);
            self.tell(worker, life, Input::Subscribed { subscription: id, policy, version })?;
            if self.newest[&id] != version {
                let version = self.newest[&id];
                self.tell(worker, life, Input::Upgraded { subscription: id, version })?;
            }
            if self.paused.contains(&id) {
                self.tell(worker, life, Input::Paused { subscription: id })?;
            }
        }
        if self.storage_low {
            self.tell(worker, life, Input::StorageLow(true))?;
        }
        // What an earlier life left open ends at once.
        if self.drivers[worker].life == life { self.drive(worker) } else { Ok(()) }
    }

    fn start_all(&mut self) -> Result<(), Failure> {
        let crashes = self.tally.crashes;
        for worker in 0..self.script.workers {
            self.start(worker)?;
            // A crash during the start has started everything already, where it is of all.
            if self.tally.crashes != crashes && self.cluster.is_none() {
                return Ok(());
            }
        }
        for home in self.homes() {
            self.after(20, Happening::Assign(home));
        }
        Ok(())
    }

    /// Feeds `input` if the worker still lives the life it is meant for.
    fn tell(&mut self, worker: usize, life: u64, input: Input) -> Result<(), Failure> {
        if self.drivers[worker].life == life { self.feed(worker, input) } else { Ok(()) }
    }

    fn is_drained(&self) -> bool {
        self.healed
            && self.owners.len() == self.homes().len()
            && self.cluster.as_ref().is_none_or(Cluster::is_settled)
            && self.drivers.iter().all(|d| d.is_settled() && d.subject.engine().is_idle())
            && self.durable.parked.values().all(BTreeMap::is_empty)
            && self.durable.timers.values().all(BTreeMap::is_empty)
            && self.script.subscriptions.iter().all(|s| {
                s.topics.iter().all(|topic| {
                    self.script.partition_ids().all(|partition| {
                        let log = self.topics.log(*topic, partition);
                        let stored = self.durable.progress.get(&(s.id, *topic, partition));
                        let same = stored
                            .filter(|p| p.incarnation == self.topics.topic(*topic).incarnation);
                        let next = same.map(|p| p.next).unwrap_or_default();
                        log.read(next).is_none()
                    })
                })
            })
    }

    /// What a host has of the state of its partitions.
    fn store_of(&self, worker: usize) -> &Durable {
        match &self.cluster {
            Some(cluster) => &cluster.links[worker].store,
            None => &self.durable,
        }
    }

    fn frozen_until(&self, worker: usize) -> Option<Instant> {
        self.cluster.as_ref()?.frozen_until(worker, self.now)
    }

    fn is_frozen(&self, worker: usize) -> bool {
        self.frozen_until(worker).is_some()
    }

    /// Whether a transaction about a partition is not decided, or not told to it.
    fn is_undecided(&self, home: Home) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.is_undecided(home))
    }

    fn homes(&self) -> Vec<Home> {
        let partitions = || self.script.partition_ids();
        let subscriptions = self.script.subscriptions.iter();
        subscriptions.flat_map(|s| partitions().map(|p| (s.id, p))).collect()
    }

    fn show(&mut self, fact: Fact<'_>) -> Result<(), Failure> {
        let scene = Scene {
            now: self.now,
            script: &self.script,
            topics: &self.topics,
            durable: &self.durable,
        };
        self.panel.see(fact, scene)
    }

    fn at(&mut self, at: Instant, happening: Happening) {
        self.tickets += 1;
        self.queue.insert((at, self.tickets), happening);
    }

    /// `happening` comes within `span` milliseconds.
    fn after(&mut self, span: u64, happening: Happening) {
        let delay = Millis(self.random.below(span + 1));
        self.at(self.now.after(delay), happening);
    }

    fn record(&mut self, worker: usize, arrow: &str, what: &dyn std::fmt::Debug) {
        if self.options.journal > 0 {
            let millis = self.now.since(DAWN).0;
            let what = brief(&format!("{what:?}"));
            self.note(|| format!("{millis:>6} ms  worker {worker} {arrow} {what}"));
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.options.journal > 0 {
            let line = line();
            if self.journal.len() == self.options.journal {
                self.journal.pop_front();
            }
            self.journal.push_back(line);
        }
    }

    fn stuck(&mut self, what: &str) -> Failure {
        let held = self.durable.parked.values().map(BTreeMap::len).sum::<usize>();
        let timers = self.durable.timers.values().map(BTreeMap::len).sum::<usize>();
        let idle: Vec<bool> =
            self.drivers.iter().map(|d| d.subject.engine().is_idle() && d.is_settled()).collect();
        let figures: Vec<_> = self
            .drivers
            .iter()
            .flat_map(|d| {
                self.script.subscriptions.iter().map(|s| d.subject.engine().figures(s.id))
            })
            .collect();
        let unowned = self.homes().len() - self.owners.len();
        Failure {
            checker: DRAINS,
            what: format!(
                "{what}: {held} parked, {timers} timers, {unowned} unowned, idle {idle:?}, \
                 progress {:?}, {figures:?}",
                self.durable.progress
            ),
        }
    }
}

/// Debug output without the names of the engine's numbers: they outweigh what is said.
pub(crate) fn brief(text: &str) -> String {
    const NUMBERS: [&str; 14] = [
        "SubscriptionId",
        "TopicId",
        "PartitionId",
        "Offset",
        "Generation",
        "CheckpointId",
        "AttemptId",
        "KeyHash",
        "IdHash",
        "TimerHash",
        "Version",
        "Bytes",
        "Millis",
        "Instant",
    ];
    let mut text = text.to_owned();
    for name in NUMBERS {
        let open = format!("{name}(");
        while let Some(at) = text.find(&open) {
            let Some(length) = text[at..].find(')') else { break };
            let number = &text[at + open.len()..at + length];
            let hash = number.parse::<u128>().unwrap_or(0) >> KEY_SHIFT;
            let number = if hash > 0 { format!("#{hash}") } else { number.to_owned() };
            text.replace_range(at..=at + length, &number);
        }
    }
    text
}

/// FNV-1a over everything written.
struct Digest(u64);

impl std::fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        Ok(())
    }
}
