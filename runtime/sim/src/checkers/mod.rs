//! Owns the list of promises and the way a history is shown to their checkers. A checker computes
//! what must be from the inputs and the durable model alone and shares no code with the engine.

mod attempts;
mod backlog;
mod breaker;
mod bytes;
mod changelog;
mod circuits;
mod concurrency;
mod dead_letters;
mod dedupe;
mod fencing;
mod forwarding;
mod generations;
mod guard;
mod lately;
mod loss;
mod offsets;
mod once;
mod order;
mod output;
mod pace;
mod parking;
mod pause;
mod progress;
mod restore;
mod state;
mod timers;
mod upgrade;

use std::collections::BTreeMap;

use gristmill_engine::{
    CheckpointId, Effect, FailureClass, Fetched, Generation, Input, Instant, KeyHash, Offset,
    OnExhausted, PartitionId, SubscriptionId, TopicId,
};

use crate::broker::{Record, Shelf};
use crate::script::Script;
use crate::topic::{EventId, Topics};
use crate::world::durable::{Batch, CursorId, Durable};

/// The promise that a history ends: after faults stop, everything drains.
pub const DRAINS: &str = "drains";
/// The promise that the same seed gives the same effects.
pub const DETERMINISM: &str = "determinism";
/// The promise that every host of a cluster has a transactional id of its own.
pub const IDENTITY: &str = "identity";
/// The driver's half of the protocol, as the engine sees it.
pub const PROTOCOL: &str = "protocol";

/// Something that happened, in the order it did.
#[derive(Debug, Clone, Copy)]
pub enum Fact<'a> {
    /// All workers lost their memory at once.
    Crashed,
    /// A worker ended in order; its memory is gone.
    Ended {
        /// Which.
        worker: usize,
    },
    /// An engine gets an input.
    Fed {
        /// Whose.
        worker: usize,
        /// Which.
        input: &'a Input,
    },
    /// An effect is about to be executed.
    Done {
        /// Whose.
        worker: usize,
        /// Which.
        effect: &'a Effect,
        /// The event it is about, if about any.
        event: Option<EventId>,
    },
    /// A checkpoint became durable; the durable model has it already.
    Durable(&'a Batch),
    /// A worker begins a life.
    Started {
        /// Which.
        worker: usize,
        /// Tells it from its others.
        life: u64,
    },
    /// A checkpoint will never be durable.
    Gone {
        /// Whose.
        worker: usize,
        /// In which of its lives.
        life: u64,
        /// Which.
        checkpoint: CheckpointId,
    },
    /// A record of a transaction came to count.
    Written {
        /// Where it was written.
        to: Shelf,
        /// What.
        record: &'a Record,
    },
    /// A host of a cluster has brought a partition's state to itself, and reads on from it.
    Restored {
        /// The partition.
        home: Home,
        /// What the host has.
        store: &'a Durable,
    },
    /// An operator set a group's offset back.
    Reset {
        /// Where.
        cursor: CursorId,
        /// The offset it is at now.
        to: Offset,
    },
    /// A topic was deleted and created again.
    Recreated {
        /// Which.
        topic: TopicId,
    },
    /// Retention removed all records below `start`.
    Trimmed {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionId,
        /// First offset that is left.
        start: Offset,
    },
}

/// What a checker may look at beside the fact.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The moment.
    pub now: Instant,
    /// What the history is about.
    pub script: &'a Script,
    /// What the topics hold.
    pub topics: &'a Topics,
    /// What would survive a crash.
    pub durable: &'a Durable,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The checker that saw it.
    pub checker: &'static str,
    /// What it saw.
    pub what: String,
}

/// Watches one promise.
pub trait Checker: std::fmt::Debug {
    /// The promise's name.
    fn name(&self) -> &'static str;

    /// Sees one fact.
    ///
    /// # Errors
    ///
    /// What is wrong, when the fact breaks the promise.
    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String>;

    /// Sees the end of a history in which everything drained.
    ///
    /// # Errors
    ///
    /// What is wrong, when the whole breaks the promise.
    fn end(&mut self, scene: Scene<'_>) -> Result<(), String> {
        let _ = scene;
        Ok(())
    }
}

/// The checkers of one history.
#[derive(Debug)]
pub struct Panel {
    checkers: Vec<Box<dyn Checker>>,
}

impl Panel {
    /// All checkers, or the one named `only`.
    #[must_use]
    pub fn new(only: Option<&str>) -> Self {
        let mut checkers: Vec<Box<dyn Checker>> = vec![
            Box::<attempts::Attempts>::default(),
            Box::<backlog::Backlog>::default(),
            Box::<breaker::Breaker>::default(),
            Box::<bytes::Bytes>::default(),
            Box::<changelog::Changelog>::default(),
            Box::<concurrency::Concurrency>::default(),
            Box::<dead_letters::DeadLetters>::default(),
            Box::<dedupe::Dedupe>::default(),
            Box::<fencing::Fencing>::default(),
            Box::<forwarding::Forwarding>::default(),
            Box::<generations::Generations>::default(),
            Box::<guard::Guard>::default(),
            Box::<loss::Loss>::default(),
            Box::<offsets::Offsets>::default(),
            Box::<once::Once>::default(),
            Box::<order::Order>::default(),
            Box::<output::Output>::default(),
            Box::<pace::Pace>::default(),
            Box::<parking::Parking>::default(),
            Box::<pause::Pause>::default(),
            Box::<progress::Progress>::default(),
            Box::<restore::Restore>::default(),
            Box::<state::State>::default(),
            Box::<timers::Timers>::default(),
            Box::<upgrade::Upgrade>::default(),
        ];
        checkers.retain(|checker| only.is_none_or(|name| name == checker.name()));
        Self { checkers }
    }

    /// The names of all checkers, those of the history itself included.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        let all = Self::new(None);
        let own = [DRAINS, DETERMINISM, IDENTITY, PROTOCOL];
        all.checkers.iter().map(|checker| checker.name()).chain(own).collect()
    }

    /// Shows `fact` to all.
    ///
    /// # Errors
    ///
    /// The first objection.
    pub fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), Failure> {
        for checker in &mut self.checkers {
            let name = checker.name();
            checker.see(fact, scene).map_err(|what| Failure { checker: name, what })?;
        }
        Ok(())
    }

    /// Shows the end to all.
    ///
    /// # Errors
    ///
    /// The first objection.
    pub fn end(&mut self, scene: Scene<'_>) -> Result<(), Failure> {
        for checker in &mut self.checkers {
            let name = checker.name();
            checker.end(scene).map_err(|what| Failure { checker: name, what })?;
        }
        Ok(())
    }
}

/// The objection that `ok` does not hold.
fn ensure(ok: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if ok { Ok(()) } else { Err(what()) }
}

/// A subscription and an event: what has one outcome.
type Case = (SubscriptionId, EventId);

/// A partition of a subscription.
type Home = (SubscriptionId, PartitionId);

/// Who owns which partition, as far as inputs and effects tell.
#[derive(Debug, Default)]
struct Owners(BTreeMap<Home, (usize, Generation)>);

impl Owners {
    /// Follows one fact. Returns the partitions whose memory is gone, or fresh, after it.
    fn follow(&mut self, fact: Fact<'_>) -> Vec<Home> {
        match fact {
            Fact::Crashed => std::mem::take(&mut self.0).into_keys().collect(),
            Fact::Ended { worker } => {
                let gone: Vec<Home> =
                    self.0.iter().filter(|(_, o)| o.0 == worker).map(|(home, _)| *home).collect();
                self.0.retain(|_, owner| owner.0 != worker);
                gone
            }
            Fact::Fed { worker, input } => self.fed(worker, input),
            Fact::Done { effect, .. } => self.done(effect),
            Fact::Durable(_)
            | Fact::Started { .. }
            | Fact::Gone { .. }
            | Fact::Written { .. }
            | Fact::Restored { .. }
            | Fact::Reset { .. }
            | Fact::Recreated { .. }
            | Fact::Trimmed { .. } => Vec::new(),
        }
    }

    fn fed(&mut self, worker: usize, input: &Input) -> Vec<Home> {
        if let Input::Assigned(assignment) = input {
            let home = (assignment.subscription, assignment.partition);
            self.0.insert(home, (worker, assignment.generation));
            return vec![home];
        }
        if let Input::Lost { subscription, partition } = input {
            self.0.remove(&(*subscription, *partition));
            return vec![(*subscription, *partition)];
        }
        Vec::new()
    }

    fn done(&mut self, effect: &Effect) -> Vec<Home> {
        if let Effect::Rewind { subscription, partition, .. }
        | Effect::Released { subscription, partition, .. } = effect
        {
            self.0.remove(&(*subscription, *partition));
            return vec![(*subscription, *partition)];
        }
        Vec::new()
    }

    /// Whether this assignment is the present one.
    fn holds(&self, worker: usize, home: Home, generation: Generation) -> bool {
        self.0.get(&home) == Some(&(worker, generation))
    }

    /// The event of a record that was read under the present assignment.
    fn fetched<'a>(&self, fact: Fact<'a>, scene: Scene<'_>) -> Option<(&'a Fetched, EventId)> {
        let Fact::Fed { worker, input: Input::Fetched(fetched) } = fact else { return None };
        let position = fetched.position;
        let home = (fetched.subscription, position.partition);
        let incarnation = scene.topics.topic(position.topic).incarnation;
        let event = EventId::Record { position, incarnation };
        self.holds(worker, home, fetched.generation).then_some((fetched, event))
    }
}

/// Resets of groups and re-creations of topics, each of which lets events happen again.
#[derive(Debug, Default)]
struct Resets(Vec<(CursorId, Offset)>);

impl Resets {
    fn follow(&mut self, fact: Fact<'_>) {
        if let Fact::Reset { cursor, to } = fact {
            self.0.push((cursor, to));
        }
    }

    /// How often `event` was set back.
    fn of(&self, subscription: SubscriptionId, event: EventId) -> usize {
        let EventId::Record { position, .. } = event else { return 0 };
        let cursor = (subscription, position.topic, position.partition);
        self.0.iter().filter(|(at, to)| *at == cursor && position.offset >= *to).count()
    }
}

/// What a lane goes by within its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    /// All events of the partition.
    Whole,
    /// The events of a key.
    Key(KeyHash),
}

/// The lane of an event; `None` when it waits for nobody.
fn lane_of(scene: Scene<'_>, home: Home, event: EventId, key: Option<KeyHash>) -> Option<Lane> {
    let key = scene.topics.record(event).map_or(key, |record| record.key);
    match scene.script.subscription(home.0).policy.order {
        gristmill_engine::Order::Key => key.map(Lane::Key),
        gristmill_engine::Order::Partition => Some(Lane::Whole),
        gristmill_engine::Order::None => None,
    }
}

/// Counted attempts after which a failure of `class` exhausts an event.
fn attempts_max(scene: Scene<'_>, subscription: SubscriptionId, class: FailureClass) -> u32 {
    let policy = &scene.script.subscription(subscription).policy;
    policy.classes.get(&class).and_then(|c| c.max_attempts).unwrap_or(policy.max_attempts)
}

/// What policy says about an event exhausted by `class`.
fn exhaustion(scene: Scene<'_>, subscription: SubscriptionId, class: FailureClass) -> OnExhausted {
    let policy = &scene.script.subscription(subscription).policy;
    policy.classes.get(&class).and_then(|c| c.on_exhausted).unwrap_or(policy.on_exhausted)
}
