//! Drives an engine in unit tests: one worker, subscription 1, topic 1 unless told otherwise. It
//! never checks anything by itself.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::{
    Assignment, AttemptId, Bytes, CheckpointId, Cursor, Effect, Engine, EventRef, FailureClass,
    Fetched, Generation, IdHash, Input, Instant, KeyHash, Mark, Millis, Observation, Offset,
    OffsetRange, Outcome, PartitionId, Policy, Position, Progress, Staged, StoredProgress,
    SubscriptionId, Terminal, TimerChange, TimerEntry, TimerHash, TopicId, Verdict, Version,
    Violation, WorkerPolicy,
};

pub(crate) const SUBSCRIPTION: SubscriptionId = SubscriptionId(1);
pub(crate) const TOPIC: TopicId = TopicId(1);
pub(crate) const PARTITION: PartitionId = PartitionId(0);

/// An engine, the time and what it last asked for.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) now: u64,
    /// Effects of the last step.
    pub(crate) last: Vec<Effect>,
    /// Effects of all steps.
    pub(crate) all: Vec<Effect>,
}

/// A policy without jitter, so that moments can be named, and without breaker and guard, so that a
/// test may fail as often as it likes.
pub(crate) fn policy() -> Policy {
    Policy { jitter_permille: 0, breaker: None, guard: None, ..Policy::default() }
}

pub(crate) fn position(offset: u64) -> Position {
    Position { topic: TOPIC, partition: PARTITION, offset: Offset(offset) }
}

pub(crate) fn record(offset: u64) -> EventRef {
    EventRef::Record(position(offset))
}

pub(crate) fn timer(timer: u128, sequence: u64) -> EventRef {
    EventRef::Timer { partition: PARTITION, timer: TimerHash(timer), sequence }
}

pub(crate) fn set(timer: u128, due: u64) -> TimerChange {
    TimerChange::Set { timer: TimerHash(timer), due: Instant(due) }
}

pub(crate) fn timer_entry(timer: u128, key: u128, due: u64, sequence: u64) -> TimerEntry {
    TimerEntry { timer: TimerHash(timer), key: KeyHash(key), due: Instant(due), sequence }
}

pub(crate) fn range(from: u64, to: u64) -> OffsetRange {
    OffsetRange { from: Offset(from), to: Offset(to) }
}

/// A cursor of a topic that starts at 0 and holds nothing.
pub(crate) fn cursor(topic: u32) -> Cursor {
    Cursor {
        topic: TopicId(topic),
        incarnation: 1,
        start: Offset(0),
        end: Offset(0),
        committed: None,
        initial: Offset(0),
        stored: None,
    }
}

pub(crate) fn stored(next: u64, finished: &[(u64, u64)]) -> StoredProgress {
    StoredProgress {
        incarnation: 1,
        epoch: 0,
        epoch_start: Offset(0),
        next: Offset(next),
        finished: finished.iter().map(|(from, to)| range(*from, *to)).collect(),
    }
}

pub(crate) fn assignment(generation: u64) -> Assignment {
    Assignment {
        subscription: SUBSCRIPTION,
        partition: PARTITION,
        generation: Generation(generation),
        cursors: vec![Cursor { stored: Some(stored(0, &[])), ..cursor(1) }],
        parked: Vec::new(),
        timers: Vec::new(),
    }
}

pub(crate) fn fetched(offset: u64, key: u128) -> Fetched {
    Fetched {
        subscription: SUBSCRIPTION,
        generation: Generation(1),
        position: position(offset),
        key: Some(KeyHash(key)),
        size: Bytes(100),
        id: None,
        mark: None,
        redriven: false,
        verdict: Verdict::Accepted,
    }
}

pub(crate) fn with_id(offset: u64, key: u128, id: u128) -> Fetched {
    Fetched { id: Some(IdHash(id)), ..fetched(offset, key) }
}

pub(crate) fn mark(offset: u64, epoch: u32) -> Mark {
    Mark { position: position(offset), epoch }
}

impl Rig {
    /// A worker with `policy`, the subscription, and no partition.
    pub(crate) fn bare(worker: WorkerPolicy, policy: Policy) -> Self {
        let engine = Engine::new(worker, 7);
        let mut rig = Self { engine, now: 1_000, last: Vec::new(), all: Vec::new() };
        rig.subscribe(SUBSCRIPTION, policy);
        rig
    }

    /// A worker with `policy` and partition 0 assigned under generation 1.
    pub(crate) fn new(policy: Policy) -> Self {
        Self::assigned(policy, assignment(1))
    }

    pub(crate) fn assigned(policy: Policy, assignment: Assignment) -> Self {
        let mut rig = Self::bare(WorkerPolicy::default(), policy);
        rig.give(Input::Assigned(Box::new(assignment)));
        rig
    }

    pub(crate) fn subscribe(&mut self, subscription: SubscriptionId, policy: Policy) {
        let policy = Box::new(policy);
        self.give(Input::Subscribed { subscription, policy, version: Version(1) });
    }

    pub(crate) fn try_give(&mut self, input: Input) -> Result<(), Violation> {
        self.last.clear();
        let outcome = self.engine.step(Instant(self.now), input, &mut self.last);
        self.all.extend(self.last.iter().cloned());
        outcome
    }

    pub(crate) fn give(&mut self, input: Input) -> &mut Self {
        self.try_give(input).unwrap();
        self
    }

    pub(crate) fn fetch(&mut self, fetched: Fetched) -> &mut Self {
        self.give(Input::Fetched(fetched))
    }

    /// Lets time pass to `now`.
    pub(crate) fn at(&mut self, now: u64) -> &mut Self {
        self.now = now;
        self.give(Input::Deadline)
    }

    /// Lets everything staged become durable and time pass to `now`.
    pub(crate) fn later(&mut self, now: u64) -> &mut Self {
        self.commit_outstanding().at(now);
        if self.invoked().is_empty() { self.commit_outstanding() } else { self }
    }

    fn commit_outstanding(&mut self) -> &mut Self {
        let committing = self.engine.worker.checkpoints.committing.as_ref();
        match committing.map(|committing| committing.id) {
            Some(checkpoint) => self.give(Input::Committed { checkpoint }),
            None => self,
        }
    }

    /// Ends the oldest running attempt of `event`.
    pub(crate) fn finish(&mut self, event: EventRef, outcome: Outcome) -> &mut Self {
        let attempt = self.attempt_of(event);
        self.give(Input::Finished { attempt, outcome })
    }

    pub(crate) fn succeed(&mut self, event: EventRef) -> &mut Self {
        self.finish(event, Outcome::Succeeded { timers: Vec::new(), size: Bytes(10) })
    }

    pub(crate) fn succeed_with(&mut self, event: EventRef, timers: Vec<TimerChange>) -> &mut Self {
        self.finish(event, Outcome::Succeeded { timers, size: Bytes(10) })
    }

    pub(crate) fn fail(&mut self, event: EventRef, class: FailureClass) -> &mut Self {
        self.finish(event, Outcome::Failed { class, retry_after: None })
    }

    pub(crate) fn fail_asking(&mut self, event: EventRef, delay: u64) -> &mut Self {
        let retry_after = Some(Millis(delay));
        self.finish(event, Outcome::Failed { class: FailureClass::Retryable, retry_after })
    }

    /// The last attempt of `event`.
    pub(crate) fn attempt_of(&self, event: EventRef) -> AttemptId {
        let attempts = self.all.iter().rev().filter_map(|effect| match effect {
            Effect::Invoke { attempt, event: of, .. } if *of == event => Some(*attempt),
            _ => None,
        });
        attempts.into_iter().next().unwrap_or_else(|| panic!("{event:?} was never invoked"))
    }

    pub(crate) fn commit(&mut self, checkpoint: u64) -> &mut Self {
        self.give(Input::Committed { checkpoint: CheckpointId(checkpoint) })
    }

    pub(crate) fn abort(&mut self, checkpoint: u64) -> &mut Self {
        self.give(Input::Aborted { checkpoint: CheckpointId(checkpoint) })
    }

    pub(crate) fn resume(&mut self) -> &mut Self {
        self.give(Input::Resumed { subscription: SUBSCRIPTION, ends: Vec::new() })
    }

    pub(crate) fn pause(&mut self) -> &mut Self {
        self.give(Input::Paused { subscription: SUBSCRIPTION })
    }

    pub(crate) fn revoke(&mut self) -> &mut Self {
        self.give(Input::Revoked { subscription: SUBSCRIPTION, partition: PARTITION })
    }

    /// Events invoked by the last step, in order.
    pub(crate) fn invoked(&self) -> Vec<EventRef> {
        invoked(&self.last)
    }

    /// What the last step staged, in order.
    pub(crate) fn staged(&self) -> Vec<Staged> {
        let staged = self.last.iter().filter_map(|effect| match effect {
            Effect::Stage { staged, .. } => Some(staged.clone()),
            _ => None,
        });
        staged.collect()
    }

    /// Events and outcomes settled by the last step, in order.
    pub(crate) fn settled(&self) -> Vec<(EventRef, Terminal)> {
        let settled = self.staged().into_iter().filter_map(|staged| match staged {
            Staged::Settled { event, outcome, .. } => Some((event, outcome)),
            _ => None,
        });
        settled.collect()
    }

    /// Events parked by the last step: event, sequence and due time.
    pub(crate) fn parked(&self) -> Vec<(EventRef, u64, Instant)> {
        let parked = self.staged().into_iter().filter_map(|staged| match staged {
            Staged::Parked { event, sequence, due, .. } => Some((event, sequence, due)),
            _ => None,
        });
        parked.collect()
    }

    /// Checkpoint and progress committed by the last step.
    pub(crate) fn committed(&self) -> Option<(u64, Vec<Progress>)> {
        self.last.iter().find_map(|effect| match effect {
            Effect::Commit { checkpoint, progress } => Some((checkpoint.0, progress.clone())),
            _ => None,
        })
    }

    /// The only cursor's progress committed by the last step.
    pub(crate) fn progress(&self) -> Option<(u64, Vec<OffsetRange>)> {
        let (_, progress) = self.committed()?;
        progress.first().map(|progress| (progress.next.0, progress.finished.clone()))
    }

    pub(crate) fn observed(&self) -> Vec<Observation> {
        let observed = self.last.iter().filter_map(|effect| match effect {
            Effect::Observe(observation) => Some(*observation),
            _ => None,
        });
        observed.collect()
    }

    pub(crate) fn has(&self, wanted: &Effect) -> bool {
        self.last.contains(wanted)
    }

    pub(crate) fn released(&self) -> Vec<EventRef> {
        let released = self.last.iter().filter_map(|effect| match effect {
            Effect::Release { event, .. } => Some(*event),
            _ => None,
        });
        released.collect()
    }

    /// Topics whose reading the last step paused (`true`) or resumed.
    pub(crate) fn paused(&self) -> Vec<bool> {
        let paused = self.last.iter().filter_map(|effect| match effect {
            Effect::PauseFetch { .. } => Some(true),
            Effect::ResumeFetch { .. } => Some(false),
            _ => None,
        });
        paused.collect()
    }
}

pub(crate) fn invoked(effects: &[Effect]) -> Vec<EventRef> {
    let invoked = effects.iter().filter_map(|effect| match effect {
        Effect::Invoke { event, .. } => Some(*event),
        _ => None,
    });
    invoked.collect()
}
