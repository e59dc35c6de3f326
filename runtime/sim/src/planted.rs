//! Owns the bugs planted to prove the checkers: each breaks one promise on purpose, in the
//! engine's answers or in the driver. It never runs in a history that does not ask for one.

mod list;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use gristmill_engine::{
    AttemptId, Effect, Engine, EventRef, FailureClass, Input, Instant, Millis, Offset, Outcome,
    Staged, SubscriptionId, Terminal, TimerChange, Version, Violation, WorkerPolicy,
};

use crate::world::durable::Durable;

pub use list::{BUGS, Bug};

/// A bug to plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// Every seventh record never reaches the engine.
    RecordSwallowed,
    /// Every fifth success is settled as a duplicate.
    SuccessSwallowed,
    /// A committed offset set back is hidden from the engine.
    ResetSwallowed,
    /// Progress claims one offset too many.
    ProgressAhead,
    /// Every fourth checkpoint carries the progress of an earlier one.
    ProgressBack,
    /// Finished ranges are lost on restore.
    RangesDropped,
    /// Progress is not stored with its checkpoint when the process dies before it is told.
    CheckpointTorn,
    /// Every third record is put into a lane of its own.
    LaneSplit,
    /// Parked events are restored in reverse.
    ParkedReversed,
    /// Parked lanes are not restored, and later events do not wait for them.
    ParkedOvertaken,
    /// One attempt more than the policy allows.
    AttemptTooMany,
    /// Every attempt is told it is the first.
    CounterReset,
    /// Attempts of parked events are not stored.
    AttemptsForgotten,
    /// The limit of running attempts is one too high.
    ConcurrencyRaised,
    /// There is no breaker.
    BreakerMissing,
    /// Every seventh success falls back instead.
    FallbackEarly,
    /// There is no guard.
    GuardMissing,
    /// There is no limit to how often attempts start.
    PaceMissing,
    /// Pausing a subscription does nothing.
    PauseIgnored,
    /// Every fifth success becomes a dead letter.
    SuccessDead,
    /// Dead letters claim one attempt more than were made.
    DeadLetterInflated,
    /// The durable mark is not looked up.
    MarkUnseen,
    /// The mark is written when the attempt starts.
    MarkEarly,
    /// Timers fire 300 ms early.
    TimerEarly,
    /// Cancelling a timer does nothing.
    CancelIgnored,
    /// A settled timer stays in the store.
    TimerKept,
    /// Assignments claim that there is no backlog.
    HoldIgnored,
    /// Ends that were not known at first are told as if nothing had been written.
    LateEndsBare,
    /// The new version is used as soon as it is known.
    UpgradeEarly,
    /// A commit of a partition that moved away is accepted.
    StaleAccepted,
    /// A rewound partition keeps what was staged.
    RewindSkipped,
    /// An aborted checkpoint is made durable all the same.
    AbortKept,
    /// State is written twice when a checkpoint becomes durable.
    StateTwice,
    /// Every fifth record that is forwarded is forwarded in the place of the one before it.
    ForwardedTwice,
    /// Bytes are released when the attempt starts.
    ReleaseEarly,
    /// Every third release is forgotten.
    ReleaseForgotten,
    /// Paused topics are never read again.
    ResumeForgotten,
    /// Every tenth end of an attempt never reaches the engine.
    EndSwallowed,
    /// The engine's seed comes from outside the history.
    Unseeded,
    /// All hosts of a cluster have one transactional id.
    SharedId,
    /// What the next checkpoint has is handed over with this one.
    BufferedEarly,
    /// A producer whose transaction is uncertain goes on.
    UncertainKept,
    /// A transaction ends before its writes are acknowledged.
    WritesUnawaited,
    /// A transaction counts as committed as soon as that is asked for.
    CommitAssumed,
    /// A transaction has no offsets.
    OffsetsMissing,
    /// Offsets are sent one too far.
    OffsetsAhead,
    /// Whether a partition is still held is not asked before its offsets are sent.
    HeldUnasked,
    /// Offsets are sent as nobody's member.
    FenceSkipped,
    /// A producer one of whose connections failed begins another transaction.
    FailedReused,
    /// A commit that nobody answered counts as done.
    AmbiguityIgnored,
    /// A takeover takes offsets that are not decided.
    OffsetsUnstable,
    /// A takeover does not wait for transactions that are open.
    RestoreUnsettled,
    /// The first record of a checkpoint is blamed for one that was refused.
    OthersBlamed,
    /// Whose record was refused for good is forgotten.
    BlameForgotten,
    /// A takeover does not wait for the end of its own host's checkpoint.
    TakeoverEarly,
    /// A cache is trusted however old it is.
    CacheTrusted,
    /// A restore leaves out one record after what the cache has.
    StandingAhead,
    /// A restore reads what does not count.
    UncommittedRead,
    /// A restore leaves out deletions.
    DeletionsUnread,
    /// The cache does not follow what became true.
    CacheForgotten,
}

/// The engine of a worker, or one with a bug.
#[derive(Debug, Clone)]
pub struct Subject {
    engine: Engine,
    planted: Option<Planted>,
    count: u64,
    newest: BTreeMap<SubscriptionId, Version>,
    progress: Vec<gristmill_engine::Progress>,
}

impl Subject {
    /// An engine with `planted` in it, if anything.
    #[must_use]
    pub fn new(policy: &WorkerPolicy, seed: u64, planted: Option<Planted>) -> Self {
        static OUTSIDE: AtomicU64 = AtomicU64::new(0);
        let outside = planted == Some(Planted::Unseeded);
        let salt = if outside { OUTSIDE.fetch_add(1, Ordering::Relaxed) } else { 0 };
        Self {
            engine: Engine::new(policy.clone(), seed ^ salt),
            planted,
            count: 0,
            newest: BTreeMap::new(),
            progress: Vec::new(),
        }
    }

    /// The engine, to ask.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// As [`Engine::step`], through the bug.
    ///
    /// # Errors
    ///
    /// Those of the engine.
    pub fn step(
        &mut self,
        now: Instant,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        let Some(planted) = self.planted else { return self.engine.step(now, input, effects) };
        if let Input::Upgraded { subscription, version } = &input {
            self.newest.insert(*subscription, *version);
        }
        let Some(input) = self.tamper_input(planted, input) else { return Ok(()) };
        self.engine.step(now, input, effects)?;
        for mut effect in std::mem::take(effects) {
            let early = release_of(planted, &effect);
            if self.tamper_effect(planted, &mut effect) {
                effects.push(effect);
            }
            effects.extend(early);
        }
        Ok(())
    }

    /// What the engine gets instead of `input`; `None` for nothing at all.
    fn tamper_input(&mut self, planted: Planted, mut input: Input) -> Option<Input> {
        match (planted, &mut input) {
            (Planted::RecordSwallowed, Input::Fetched(_)) if self.every(7) => return None,
            (Planted::EndSwallowed, Input::Finished { .. }) if self.every(10) => return None,
            (Planted::PauseIgnored, Input::Paused { .. }) => return None,
            (Planted::LateEndsBare, Input::Ends { ends, .. }) => {
                for end in ends {
                    end.offset = Offset(0);
                }
            }
            (Planted::MarkUnseen, Input::Fetched(fetched)) => fetched.mark = None,
            (Planted::LaneSplit, Input::Fetched(fetched)) if self.every(3) => {
                fetched.key = fetched.key.map(|mut key| {
                    key.0 ^= 1 << 100;
                    key
                });
            }
            (Planted::AttemptTooMany, Input::Subscribed { policy, .. }) => {
                policy.max_attempts += 1;
                for class in policy.classes.values_mut() {
                    class.max_attempts = class.max_attempts.map(|max| max + 1);
                }
            }
            (Planted::BreakerMissing, Input::Subscribed { policy, .. }) => policy.breaker = None,
            (Planted::GuardMissing, Input::Subscribed { policy, .. }) => policy.guard = None,
            (Planted::PaceMissing, Input::Subscribed { policy, .. }) => policy.rate = None,
            (Planted::ConcurrencyRaised, Input::Subscribed { policy, .. }) => {
                policy.concurrency += 1;
            }
            (
                Planted::TimerEarly | Planted::CancelIgnored,
                Input::Finished { outcome: Outcome::Succeeded { timers, .. }, .. },
            ) => tamper_timers(planted, timers),
            (_, Input::Assigned(assignment)) => tamper_assignment(planted, assignment),
            (_, _) => {}
        }
        Some(input)
    }

    /// Changes `effect`; false when it is to be dropped.
    fn tamper_effect(&mut self, planted: Planted, effect: &mut Effect) -> bool {
        match (planted, effect) {
            (Planted::ProgressAhead, Effect::Commit { progress, .. }) => {
                for one in progress {
                    one.next = one.next.next();
                }
            }
            (Planted::ProgressBack, Effect::Commit { progress, .. }) => {
                if self.every(4) && !self.progress.is_empty() {
                    self.keep_back(progress);
                } else {
                    self.progress.clone_from(progress);
                }
            }
            (Planted::CounterReset, Effect::Invoke { number, .. }) => *number = 1,
            (Planted::UpgradeEarly, Effect::Invoke { subscription, version, .. }) => {
                *version = self.newest.get(subscription).copied().unwrap_or(*version);
            }
            (_, Effect::Stage { staged, .. }) => self.tamper_staged(planted, staged),
            (Planted::ReleaseForgotten, Effect::Release { .. }) => return !self.every(3),
            (Planted::ResumeForgotten, Effect::ResumeFetch { .. }) => return false,
            (_, _) => {}
        }
        true
    }

    fn keep_back(&self, progress: &mut [gristmill_engine::Progress]) {
        for one in progress {
            let place = (one.subscription, one.topic, one.partition, one.generation);
            let old = self
                .progress
                .iter()
                .find(|p| (p.subscription, p.topic, p.partition, p.generation) == place);
            if let Some(old) = old {
                *one = old.clone();
            }
        }
    }

    fn tamper_staged(&mut self, planted: Planted, staged: &mut Staged) {
        match (planted, staged) {
            (
                Planted::AttemptsForgotten,
                Staged::Parked { attempts, .. } | Staged::Retried { attempts, .. },
            ) => *attempts = 0,
            (Planted::SuccessSwallowed, Staged::Settled { outcome, .. }) => {
                if matches!(outcome, Terminal::Succeeded { .. }) && self.every(5) {
                    *outcome = Terminal::Duplicate;
                }
            }
            (Planted::FallbackEarly, Staged::Settled { outcome, .. }) => {
                if matches!(outcome, Terminal::Succeeded { .. }) && self.every(7) {
                    *outcome = Terminal::FellBack;
                }
            }
            (
                Planted::ForwardedTwice,
                Staged::Settled {
                    event: EventRef::Record(at), outcome: Terminal::Forwarded, ..
                },
            ) => {
                if self.every(5) {
                    at.offset = Offset(at.offset.0.saturating_sub(1));
                }
            }
            (Planted::SuccessDead, Staged::Settled { outcome, .. }) => {
                if matches!(outcome, Terminal::Succeeded { .. }) && self.every(5) {
                    *outcome = Terminal::DeadLettered {
                        class: FailureClass::Retryable,
                        attempts: 1,
                        first_failure: Instant::default(),
                        last_failure: Instant::default(),
                    };
                }
            }
            (
                Planted::DeadLetterInflated,
                Staged::Settled { outcome: Terminal::DeadLettered { attempts, .. }, .. },
            ) => *attempts += 1,
            (_, _) => {}
        }
    }

    fn every(&mut self, n: u64) -> bool {
        self.count += 1;
        self.count.is_multiple_of(n)
    }
}

fn tamper_timers(planted: Planted, timers: &mut Vec<TimerChange>) {
    if planted == Planted::CancelIgnored {
        timers.retain(|change| matches!(change, TimerChange::Set { .. }));
    }
    for change in timers {
        if let (Planted::TimerEarly, TimerChange::Set { due, .. }) = (planted, change) {
            *due = early(*due);
        }
    }
}

fn early(due: Instant) -> Instant {
    Instant(due.0.saturating_sub(Millis(300).0))
}

fn tamper_assignment(planted: Planted, assignment: &mut gristmill_engine::Assignment) {
    for cursor in &mut assignment.cursors {
        let Some(stored) = &mut cursor.stored else { continue };
        if planted == Planted::RangesDropped {
            stored.finished.clear();
        }
        if planted == Planted::ResetSwallowed && cursor.committed.is_some() {
            cursor.committed = Some(stored.next);
        }
    }
    if planted == Planted::HoldIgnored {
        for cursor in &mut assignment.cursors {
            cursor.end = Offset(0);
        }
    }
    if planted == Planted::TimerEarly {
        for timer in &mut assignment.timers {
            timer.due = early(timer.due);
        }
    }
    if planted == Planted::ParkedOvertaken {
        assignment.parked.clear();
    }
    if planted == Planted::ParkedReversed {
        for lane in &mut assignment.parked {
            lane.events.reverse();
        }
    }
}

/// The release a bug adds after `effect`.
fn release_of(planted: Planted, effect: &Effect) -> Option<Effect> {
    let Effect::Invoke { subscription, event: event @ EventRef::Record(_), .. } = effect else {
        return None;
    };
    let release = Effect::Release { subscription: *subscription, event: *event };
    (planted == Planted::ReleaseEarly).then_some(release)
}

/// Whether `attempt` is one a driver's bug picks out.
#[must_use]
pub fn picks(attempt: AttemptId) -> bool {
    attempt.0.is_multiple_of(3)
}

/// What a bug of the store leaves of a checkpoint that was just applied; `dying` when the process
/// dies before anybody is told.
pub(crate) fn spoil(planted: Planted, before: Durable, after: &mut Durable, dying: bool) {
    if planted == Planted::CheckpointTorn && dying {
        after.progress = before.progress;
        after.committed = before.committed;
    } else if planted == Planted::TimerKept {
        for (home, timers) in before.timers {
            let kept = after.timers.entry(home).or_default();
            for (timer, entry) in timers {
                kept.entry(timer).or_insert(entry);
            }
        }
    } else if planted == Planted::StateTwice {
        for (lane, events) in &mut after.state {
            let known = before.state.get(lane).map_or(0, Vec::len);
            events.extend_from_within(known..);
        }
    }
}
