//! Drives one engine: turns records, finished attempts, commits and commands into inputs and does
//! what the effects say, in order. It contains no policy: whatever can be decided, the engine has.

mod assign;
mod attempts;
mod backlog;
mod dead_letter;
mod fetch;
mod filling;
mod hold;
mod local;
mod measure;
mod overlay;
mod ownership;
mod part;
mod pass_on;
mod rehearsal;
mod request;
mod scratch;
mod spans;
mod stage;
mod standing;
mod takeover;
mod transact;
mod world;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gristmill_engine::{
    CheckpointId, Effect, Engine, EventRef, Figures, Input, PartitionId, SubscriptionId, TopicId,
    Version,
};
use gristmill_kafka::Committer;
use gristmill_plugin_host::Runner;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::hold::Holding;
pub(crate) use self::ownership::Told;
pub(crate) use self::rehearsal::rehearsal;
pub(crate) use self::scratch::{Beneath, Did, Emitted, Outcome, Ran, Scratch, withheld_runner};

use self::attempts::{Attempts, Invocation};
use self::fetch::CursorId;
use self::filling::Filling;
use self::hold::Hold;
use self::local::Locals;
use self::measure::Tally;
use self::ownership::{Ask, Ownership};
use self::part::Part;
use self::spans::Spans;
use self::stage::Place;
use crate::Error;
use crate::binding::Binding;
use crate::envelope::time::Stamp;
use crate::metrics::Meter;
use crate::plugins::LocalTopics;
use crate::shared::Shared;

/// What a worker is told from outside. Answers go through the channels inside.
#[derive(Debug)]
pub(crate) enum Command {
    /// A version of a subscription is ready: the first one binds it, a later one upgrades it.
    /// One that is paused is so before its first event is read.
    Bind(Arc<Binding>, bool),
    /// The operator pauses a subscription.
    Pause(SubscriptionId),
    /// The operator resumes it.
    Resume(SubscriptionId),
    /// Partitions grew.
    Appended(Arc<[(TopicId, PartitionId)]>),
    /// A checkpoint of this worker is durable, or the store has failed for good.
    Committed(CheckpointId, Result<(), gristmill_store::Failed>),
    /// What a cluster, or the way to it, has to say.
    Told(Told),
    /// Storage is short, or has room again.
    StorageLow(bool),
    /// Who handles local topics now.
    Local(Arc<LocalTopics>),
    /// What the engine holds for a subscription, for metrics.
    Figures(SubscriptionId, oneshot::Sender<Figures>),
    /// A partition is held for a while, or goes on.
    Hold(Holding),
    /// The host stops.
    Drain,
}

/// Time after which neither reading nor running attempts goes on before the worker looks at the
/// rest: answers that attempts wait for are taken between the rounds. With hundreds of cursors, or
/// attempts of a third of a millisecond, a round of a host that is behind took 0.3 s, and calls by
/// HTTP, which need several rounds, ran out of time (source: `make bench`, `systems`).
const TURN_TIME_MAX: Duration = Duration::from_millis(5);

/// A table on the path of every event. Keys come from outside, so the hash is seeded; it need not
/// be as strong as the standard library's (source: foldhash's documentation).
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// One worker: an engine, the memory of its partitions, and the attempts that run.
pub(crate) struct Worker {
    index: u32,
    workers: u32,
    engine: Engine,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    sender: mpsc::UnboundedSender<Command>,
    parts: BTreeMap<(SubscriptionId, PartitionId), Part>,
    versions: Map<(SubscriptionId, Version), Bound>,
    /// Partitions that are held at a checkpoint, or will be.
    holds: BTreeMap<Place, Hold>,
    /// Bindings whose topics differ: they wait until the old partitions are released.
    rebinding: BTreeMap<SubscriptionId, Arc<Binding>>,
    /// The version each subscription uses now.
    current: BTreeMap<SubscriptionId, Arc<Binding>>,
    /// What was counted of each subscription since it was last told.
    meters: BTreeMap<SubscriptionId, Rc<Meter>>,
    /// The moment of the last emission, as its header has it.
    stamp: Stamp,
    /// Cursors that may have something to read.
    readable: BTreeSet<CursorId>,
    /// The first of them that had no turn the last time.
    unread: Option<CursorId>,
    attempts: Attempts,
    /// Handlers of local topics; none where no topic is.
    locals: Option<watch::Sender<Rc<Locals>>>,
    filling: Filling,
    /// What is held where topics live in a cluster.
    kafka: Option<Ownership>,
    /// What is forwarded before overdue timers fire, by subscription.
    backlogs: BTreeMap<SubscriptionId, backlog::Watch>,
    /// Watches over backlogs so far.
    watches: u64,
    tally: Tally,
    /// What is told of traces; none where nothing is.
    spans: Option<Spans>,
    /// Reason of the failure being handed to the engine, for a parked event's figures.
    failing: String,
    inputs: VecDeque<Input>,
    effects: Vec<Effect>,
    generations: u64,
    is_drained: bool,
}

/// A version of a subscription with this worker's own runner for it.
#[derive(Clone)]
struct Bound {
    binding: Arc<Binding>,
    runner: Arc<Runner>,
    meter: Rc<Meter>,
}

impl Worker {
    /// A worker that owns every partition number congruent to `index` modulo `workers`.
    pub(crate) fn new(
        index: u32,
        workers: u32,
        shared: Arc<Shared>,
        channel: (mpsc::UnboundedSender<Command>, mpsc::UnboundedReceiver<Command>),
    ) -> Self {
        let seed = shared.seed ^ u64::from(index);
        let has_local = shared.config.topics.local().next().is_some();
        let locals = has_local.then(watch::Sender::default);
        Self {
            index,
            workers,
            engine: Engine::new(shared.config.worker_policy(), seed),
            sender: channel.0,
            commands: channel.1,
            parts: BTreeMap::new(),
            versions: Map::default(),
            holds: BTreeMap::new(),
            rebinding: BTreeMap::new(),
            current: BTreeMap::new(),
            meters: BTreeMap::new(),
            stamp: Stamp::default(),
            readable: BTreeSet::new(),
            unread: None,
            backlogs: BTreeMap::new(),
            watches: 0,
            attempts: Attempts::default(),
            locals,
            filling: Filling::default(),
            kafka: None,
            tally: Tally::default(),
            spans: shared.telemetry.is_on().then(Spans::default),
            failing: String::new(),
            inputs: VecDeque::new(),
            effects: Vec::new(),
            generations: 0,
            is_drained: false,
            shared,
        }
    }

    /// The same worker, for topics that live in a cluster.
    pub(crate) fn on_kafka(mut self, committer: Committer) -> Self {
        self.kafka = Some(Ownership::new(committer));
        self
    }

    /// Runs until drained.
    ///
    /// # Errors
    ///
    /// The engine's violation or the store's failure; the process must stop and recover from its
    /// last checkpoint.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        while !self.is_drained {
            let mut is_busy = false;
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command)?;
                is_busy = true;
            }
            is_busy |= self.fetch()?;
            is_busy |= self.reap().await?;
            is_busy |= self.tick()?;
            if is_busy {
                // Lets timers and sockets of waiting guests make progress between rounds.
                tokio::task::yield_now().await;
            } else {
                self.tell_meters();
                self.rest().await?;
            }
        }
        Ok(())
    }

    /// Waits for whatever comes first: a command, a finished attempt, a deadline.
    async fn rest(&mut self) -> Result<(), Error> {
        let now = self.shared.clock.now();
        let wait = self.engine.next_deadline().map(|deadline| deadline.since(now));
        let until_deadline = async {
            match wait {
                Some(wait) => tokio::time::sleep(Duration::from_millis(wait.0)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            command = self.commands.recv() => {
                // The worker holds a sender itself, so the channel never closes.
                command.map_or(Ok(()), |command| self.obey(command))
            }
            ended = self.attempts.next() => self.finish(ended),
            () = until_deadline => Ok(()),
        }
    }

    fn obey(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Bind(binding, is_paused) => self.bind(binding, is_paused),
            Command::Pause(subscription) => self.feed(Input::Paused { subscription }),
            Command::Resume(subscription) if self.kafka.is_some() => {
                self.ask_for_ends(Ask::ToResume, subscription);
                Ok(())
            }
            Command::Resume(subscription) => {
                let ends = self.ends_of(subscription)?;
                self.feed(Input::Resumed { subscription, ends })
            }
            Command::Appended(grown) => {
                self.note_growth(&grown);
                Ok(())
            }
            Command::Committed(checkpoint, result) => {
                result?;
                for part in self.parts.values() {
                    part.lock_overlay().committed(checkpoint);
                }
                if let Some(kafka) = &mut self.kafka {
                    kafka.committed();
                }
                self.take_over_waiting();
                self.count_committed(checkpoint);
                self.tell_meters();
                self.feed(Input::Committed { checkpoint })
            }
            Command::Local(topics) => self.take_locals(&topics),
            Command::Told(told) => self.hear(told),
            Command::StorageLow(is_low) => self.feed(Input::StorageLow(is_low)),
            Command::Figures(subscription, answer) => {
                // Whoever asked may have gone; that is its business.
                let _asker_gone = answer.send(self.engine.figures(subscription));
                Ok(())
            }
            Command::Hold(holding) => self.hold(holding),
            Command::Drain => self.feed(Input::Drain),
        }
    }

    /// Tells the engine that time has passed, when it asked to be told.
    fn tick(&mut self) -> Result<bool, Error> {
        let now = self.shared.clock.now();
        match self.engine.next_deadline() {
            Some(deadline) if deadline <= now => self.feed(Input::Deadline).map(|()| true),
            _ => Ok(false),
        }
    }

    /// Hands `input` to the engine and does everything that follows from it.
    fn feed(&mut self, input: Input) -> Result<(), Error> {
        self.inputs.push_back(input);
        self.feed_pending()
    }

    /// Hands over the inputs that effects have queued.
    fn feed_pending(&mut self) -> Result<(), Error> {
        while let Some(input) = self.inputs.pop_front() {
            if let Some(subscription) = backlog::left_open(&input) {
                self.await_backlog(subscription);
            }
            let now = self.shared.clock.now();
            let mut effects = std::mem::take(&mut self.effects);
            self.engine.step(now, input, &mut effects)?;
            for effect in effects.drain(..) {
                self.execute(effect)?;
            }
            self.effects = effects;
        }
        Ok(())
    }

    fn execute(&mut self, effect: Effect) -> Result<(), Error> {
        match effect {
            Effect::Invoke {
                attempt,
                subscription,
                partition,
                key,
                event,
                parked,
                number,
                version,
            } => {
                self.invoke(Invocation {
                    attempt,
                    subscription,
                    partition,
                    key,
                    event,
                    parked,
                    number,
                    version,
                })?;
            }
            Effect::Cancel { attempt } => self.attempts.cancel(attempt),
            Effect::Stage { checkpoint, subscription, partition, generation: _, staged } => {
                self.stage(checkpoint, (subscription, partition), staged)?;
            }
            Effect::Commit { checkpoint, progress } => self.commit(checkpoint, progress)?,
            Effect::Activated { subscription, version } => self.activate(subscription, version),
            Effect::Probe { subscription } => self.look_for_ends(subscription)?,
            Effect::Drained => self.is_drained = true,
            Effect::Observe(observation) => self.observe(observation),
            Effect::Discard { .. }
            | Effect::Rewind { .. }
            | Effect::Fetch { .. }
            | Effect::PauseFetch { .. }
            | Effect::ResumeFetch { .. }
            | Effect::Release { .. }
            | Effect::Released { .. } => self.move_partition(&effect)?,
        }
        Ok(())
    }

    /// The effects on what is read and held of a partition.
    fn move_partition(&mut self, effect: &Effect) -> Result<(), Error> {
        match *effect {
            Effect::Discard { subscription, partition, generation: _ } => {
                self.filling.discard((subscription, partition));
                self.parts.remove(&(subscription, partition));
            }
            Effect::Rewind { subscription, partition, generation: _ } => {
                self.filling.discard((subscription, partition));
                if let Some(part) = self.parts.remove(&(subscription, partition)) {
                    let binding = Arc::clone(&part.binding);
                    // What reads it goes first.
                    drop(part);
                    self.let_go((subscription, partition))?;
                    self.assign(&binding, partition)?;
                }
            }
            Effect::Fetch { subscription, topic, partition, generation, from } => {
                self.start_fetching((subscription, partition, topic), generation, from);
            }
            Effect::PauseFetch { subscription, topic, partition } => {
                self.set_paused((subscription, partition, topic), true);
            }
            Effect::ResumeFetch { subscription, topic, partition } => {
                self.set_paused((subscription, partition, topic), false);
            }
            Effect::Release { subscription, event } => {
                let partition = match event {
                    EventRef::Record(position) => position.partition,
                    EventRef::Timer { partition, .. } => partition,
                };
                if let Some(part) = self.parts.get_mut(&(subscription, partition)) {
                    part.slots.remove(&event);
                }
            }
            Effect::Released { subscription, partition, generation: _ } => {
                if self.released_to_hold((subscription, partition))? {
                    return Ok(());
                }
                self.parts.remove(&(subscription, partition));
                self.let_go((subscription, partition))?;
                self.assign_when_released(subscription)?;
            }
            Effect::Invoke { .. }
            | Effect::Cancel { .. }
            | Effect::Stage { .. }
            | Effect::Commit { .. }
            | Effect::Activated { .. }
            | Effect::Probe { .. }
            | Effect::Drained
            | Effect::Observe(_) => return Err(Error::broken("an effect on no partition")),
        }
        Ok(())
    }
}
