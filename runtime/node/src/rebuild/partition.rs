//! Rebuilds one partition: replays what the running one has finished, beside it, until little is
//! left; then holds it, replays the rest exactly, and has the new state take the old one's place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use gristmill_engine::{EventRef, FailureClass, Instant, Offset, PartitionId, Position, TimerHash};
use gristmill_plugin_host::Runner;
use gristmill_store::{Batch, Change, Cleared, Loaded, Scope, Stored, TimerRecord};

use super::RebuildError;
use super::base::Base;
use super::deaths::Deaths;
use super::held::Held;
use super::job::{Job, Within};
use super::report::{Part, Step};
use super::resume;
use super::sources::Sources;
use crate::binding::Binding;
use crate::envelope;
use crate::replay::Pace;
use crate::shared::Shared;
use crate::snapshots::Opened;
use crate::worker::{Beneath, Outcome, Ran, Scratch};

/// Events replayed between two looks at how far the running one has come, when the rest is little
/// enough to hold it.
const CLOSE: u64 = 200;
/// Changes of the new state in memory at most.
const WRITTEN_MAX: usize = 2_000;
/// Values looked at in one step.
const STEP: u32 = 1_000;
/// Events that wait for others of their key at most.
const DEFERRED_MAX: usize = 100_000;

/// A partition of a rebuild.
pub(super) struct Rebuilding<'a> {
    pub(super) within: &'a Within,
    pub(super) job: &'a Job,
    /// The running one.
    pub(super) scope: Scope,
    /// The new one, in the store.
    pub(super) new: Scope,
    pub(super) scratch: Scratch,
    pub(super) sources: Sources,
    deaths: Deaths,
    /// How often an event was met, where it became a dead letter.
    pub(super) met: BTreeMap<(String, u32, u64), u32>,
    parked: BTreeSet<Position>,
    parked_timers: BTreeSet<TimerHash>,
    /// Events that are parked, and those behind them, by key.
    pub(super) deferred: BTreeMap<Bytes, VecDeque<Deferred>>,
    pub(super) deferred_count: usize,
    unwritten: Vec<Change>,
    pub(super) base: Base,
}

/// An event that waits.
pub(super) struct Deferred {
    /// Which cursor it is of.
    pub(super) index: usize,
    pub(super) offset: Offset,
    /// The event, where its topic may not have it any more.
    pub(super) kept: Option<Stored>,
}

impl<'a> Rebuilding<'a> {
    /// A partition beside the running one, with what a snapshot has of it, or nothing.
    pub(super) fn new(
        (within, job): (&'a Within, &'a Job),
        runner: &Arc<Runner>,
        (scope, new): (Scope, Scope),
        snapshot: Option<&mut Opened>,
    ) -> Result<Self, RebuildError> {
        let (shared, binding) = (&within.shared, &within.status.binding);
        clear(shared, new)?;
        let is_empty = snapshot.is_none();
        let base = match snapshot {
            Some(snapshot) => resume::begin(shared, binding, (scope, new), snapshot)?,
            None => Base::default(),
        };
        // After the snapshot was opened: the running one has come at least as far.
        let loaded = shared.store.load(scope)?;
        let from = (job.wanted.from, &loaded, Some(&base).filter(|_| !is_empty));
        let sources = Sources::open(shared, binding, scope.partition, from)?;
        let mut rebuilding = Self {
            within,
            job,
            scope,
            new,
            scratch: Scratch::new(shared, (binding, runner), scope, Beneath::Kept(new)),
            sources,
            deaths: Deaths::default(),
            met: BTreeMap::new(),
            parked: BTreeSet::new(),
            parked_timers: BTreeSet::new(),
            deferred: BTreeMap::new(),
            deferred_count: 0,
            unwritten: Vec::new(),
            base,
        };
        rebuilding.resume()?;
        Ok(rebuilding)
    }

    /// Does it.
    pub(super) async fn run(&mut self, pace: &mut Pace) -> Result<(), RebuildError> {
        self.tell(|part| part.step = Step::Replaying);
        while self.round(pace).await? > CLOSE {}
        self.expire()?;
        self.scratch.be_timely();
        let held = Held::begin(&self.within.workers, self.scope).await;
        let held = held.ok_or_else(|| self.moved())?;
        self.tell(|part| part.step = Step::Held);
        self.must_be_bound()?;
        self.refresh()?;
        self.replay(true, pace).await?;
        let now = self.shared().clock.now();
        self.fire_due(now, pace).await?;
        for timer in self.parked_timers.clone() {
            self.scratch.forget(timer);
        }
        self.flush()?;
        self.switch(&held, now).await?;
        held.end(|| self.is_running()).await;
        self.tell(|part| part.step = Step::Done);
        self.clear()
    }

    pub(super) fn shared(&self) -> &'a Arc<Shared> {
        &self.within.shared
    }

    pub(super) fn binding(&self) -> &'a Arc<Binding> {
        &self.within.status.binding
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Part)) {
        self.job.change_part(self.scope.partition, change);
    }

    pub(super) fn moved(&self) -> RebuildError {
        RebuildError::Moved {
            subscription: self.binding().name.to_string(),
            partition: self.scope.partition.0,
        }
    }

    /// Whether the running one reads on.
    fn is_running(&self) -> bool {
        let (subscription, partition) = (self.scope.subscription, self.scope.partition);
        let progress = &self.shared().progress;
        let mut sources = self.binding().sources.iter().filter(|it| partition.0 < it.partitions);
        sources.any(|it| progress.finished(subscription, it.topic, partition).is_some())
    }

    /// Refuses where handlers are not those any more that run.
    fn must_be_bound(&self) -> Result<(), RebuildError> {
        let name = &self.binding().name;
        let board = self.shared().board.read();
        let now = board.subscriptions.get(&**name).map(|status| status.binding.version);
        if now == Some(self.binding().version) { Ok(()) } else { Err(self.rebound()) }
    }

    pub(super) fn rebound(&self) -> RebuildError {
        RebuildError::Rebound { subscription: self.binding().name.to_string() }
    }

    /// Replays what the running one has finished by now; how many events that were.
    async fn round(&mut self, pace: &mut Pace) -> Result<u64, RebuildError> {
        self.refresh()?;
        let count = self.replay(false, pace).await?;
        self.flush()?;
        Ok(count)
    }

    /// Learns how far the running one has come, and what of that it has nothing of.
    fn refresh(&mut self) -> Result<(), RebuildError> {
        let Loaded { progress, parked, .. } = self.shared().store.load(self.scope)?;
        self.sources.extend(&progress);
        let is_new = |topic| self.binding().source(topic).is_some() && !self.sources.has(topic);
        if progress.iter().any(|(topic, _)| is_new(*topic)) {
            return Err(self.rebound());
        }
        self.parked.clear();
        self.parked_timers.clear();
        for event in parked.into_iter().flat_map(|lane| lane.events) {
            match event.event {
                EventRef::Record(position) => {
                    self.parked.insert(position);
                }
                EventRef::Timer { timer, .. } => {
                    self.parked_timers.insert(timer);
                }
            }
        }
        // After how far it has come: whatever died by then is among them.
        self.deaths.refresh(self.shared(), &self.within.status)?;
        let total = self.sources.total();
        self.tell(|part| part.total = total);
        Ok(())
    }

    async fn replay(&mut self, all: bool, pace: &mut Pace) -> Result<u64, RebuildError> {
        let mut count: u64 = self.replay_deferred(pace).await?;
        while let Some((index, stored)) = self.sources.next(all)? {
            if !pace.wait(1).await {
                return Err(RebuildError::Cancelled);
            }
            count = count.saturating_add(1);
            self.fire_due(stored.timestamp, pace).await?;
            self.meet(index, stored).await?;
            if self.unwritten.len() >= WRITTEN_MAX {
                self.flush()?;
            }
        }
        Ok(count)
    }

    /// Handles an event, unless the running one has nothing of it, or not yet.
    async fn meet(&mut self, index: usize, stored: Stored) -> Result<(), RebuildError> {
        let cursor = self.sources.cursor(index);
        let (topic, offset) = (cursor.topic, stored.offset);
        let at = Position { topic, partition: self.scope.partition, offset };
        let lane = self.scratch.owner((&cursor.name, at), &stored);
        if self.parked.contains(&at) || self.deferred.contains_key(&lane) {
            if self.deferred_count >= DEFERRED_MAX {
                return Err(self.stuck(index, offset, "too many events wait for parked ones"));
            }
            self.deferred_count = self.deferred_count.saturating_add(1);
            let waits = Deferred { index, offset, kept: None };
            self.deferred.entry(lane).or_default().push_back(waits);
            return Ok(());
        }
        self.tell(|part| part.events = part.events.saturating_add(1));
        if self.has_died(index, &stored) {
            self.tell(|part| part.left_out = part.left_out.saturating_add(1));
            return Ok(());
        }
        let cursor = self.sources.cursor(index);
        let (name, again) = (cursor.name.clone(), cursor.again);
        let ran = self.scratch.event((&name, at), stored, again).await;
        self.take(index, offset, &ran)
    }

    /// Whether this handling of an event was one of those that ended as its dead letter: of
    /// several the first ones are.
    fn has_died(&mut self, index: usize, stored: &Stored) -> bool {
        let cursor = self.sources.cursor(index);
        let wrapped = cursor.again.then(|| envelope::unwrapped(&mut stored.clone())).flatten();
        let place = match wrapped {
            Some(origin) if origin.timer.is_some() => return false,
            Some(origin) => (origin.topic.to_string(), origin.partition, origin.offset),
            None => (cursor.name.to_string(), self.scope.partition.0, stored.offset.0),
        };
        let deaths = self.deaths.of(&place.0, place.1, place.2);
        if deaths == 0 {
            return false;
        }
        let before = self.met_before(&place);
        let met = self.met.entry(place).or_default();
        *met = met.saturating_add(1);
        met.saturating_add(before) <= deaths
    }

    /// Handles events that waited, as far as the running one has finished them.
    async fn replay_deferred(&mut self, pace: &mut Pace) -> Result<u64, RebuildError> {
        let mut count: u64 = 0;
        for (lane, mut waiting) in std::mem::take(&mut self.deferred) {
            while let Some(Deferred { index, offset, .. }) = waiting.front() {
                let (index, offset) = (*index, *offset);
                let cursor = self.sources.cursor(index);
                let (topic, partition) = (cursor.topic, self.scope.partition);
                if self.parked.contains(&Position { topic, partition, offset }) {
                    break;
                }
                if !pace.wait(1).await {
                    return Err(RebuildError::Cancelled);
                }
                let kept = waiting.pop_front().and_then(|waited| waited.kept);
                self.deferred_count = self.deferred_count.saturating_sub(1);
                count = count.saturating_add(1);
                let stored = match kept {
                    Some(stored) => Some(stored),
                    None => self.sources.read_one(index, offset)?,
                };
                if let Some(stored) = stored {
                    self.meet(index, stored).await?;
                }
            }
            if !waiting.is_empty() {
                self.deferred.insert(lane, waiting);
            }
        }
        Ok(count)
    }

    /// Fires timers that are due before `moment`, but for those the running one still has.
    async fn fire_due(&mut self, moment: Instant, pace: &mut Pace) -> Result<(), RebuildError> {
        let mut kept: Vec<Arc<TimerRecord>> = Vec::new();
        while let Some(record) = self.scratch.take_due(moment)? {
            if pace.is_over() {
                return Err(RebuildError::Cancelled);
            }
            let timer = record.entry.timer;
            let running = self.shared().store.timer(self.scope, timer)?;
            let is_set = running.is_some_and(|it| it.entry.due == record.entry.due);
            if is_set || self.parked_timers.contains(&timer) {
                kept.push(record);
                continue;
            }
            let ran = self.scratch.fire(record).await;
            self.tell(|part| part.timers_fired = part.timers_fired.saturating_add(1));
            self.take(0, Offset(0), &ran)?;
        }
        for record in kept {
            self.scratch.put_off(&record);
        }
        Ok(())
    }

    /// Notes what came of an event or timer.
    fn take(&mut self, index: usize, offset: Offset, ran: &Ran) -> Result<(), RebuildError> {
        if let Outcome::Failed(failure) = &ran.outcome {
            if failure.class == FailureClass::Infrastructure {
                return Err(self.stuck(index, offset, &failure.reason));
            }
            let class = envelope::class_name(failure.class).to_owned();
            self.tell(|part| {
                let count = part.failed.entry(class).or_default();
                *count = count.saturating_add(1);
            });
        }
        self.unwritten.extend(self.scratch.take_written());
        Ok(())
    }

    fn stuck(&self, index: usize, offset: Offset, reason: &str) -> RebuildError {
        RebuildError::Stuck {
            topic: self.sources.cursor(index).name.to_string(),
            partition: self.scope.partition.0,
            offset: offset.0,
            reason: reason.to_owned(),
        }
    }

    /// Takes what was written to the store.
    fn flush(&mut self) -> Result<(), RebuildError> {
        self.unwritten.extend(self.scratch.take_written());
        let changes = std::mem::take(&mut self.unwritten);
        if !changes.is_empty() {
            self.shared().write_store(Batch { changes, ..Batch::default() })?;
        }
        self.scratch.flushed();
        Ok(())
    }

    /// Forgets what has expired of the new state, and has the store know when the rest does.
    fn expire(&mut self) -> Result<(), RebuildError> {
        let now = self.shared().clock.now();
        let mut last: Option<(Bytes, String)> = None;
        loop {
            let after = last.as_ref().map(|(key, name)| (&key[..], name.as_str()));
            let page = self.shared().store.state_entries(self.new, after, STEP)?;
            let Some(end) = page.last() else { return Ok(()) };
            last = Some((end.key.clone(), end.name.clone()));
            let scope = self.new;
            let changes = page.into_iter().filter(|entry| entry.expires.is_some()).map(|entry| {
                let (key, name, value, expires) =
                    (entry.key, entry.name, entry.value, entry.expires);
                if expires.is_some_and(|at| at <= now) {
                    Change::StateDelete { scope, key, name }
                } else {
                    Change::StateSet { scope, key, name, value, expires }
                }
            });
            let changes: Vec<Change> = changes.collect();
            if !changes.is_empty() {
                self.shared().write_store(Batch { changes, ..Batch::default() })?;
            }
        }
    }

    /// Forgets the new state.
    fn clear(&self) -> Result<(), RebuildError> {
        clear(self.shared(), self.new)
    }
}

/// Forgets a state that was made beside another.
pub(super) fn clear(shared: &Shared, new: Scope) -> Result<(), RebuildError> {
    let what = Cleared { state: true, timers: true, ..Cleared::default() };
    let partition: Option<PartitionId> = Some(new.partition);
    let change = Change::SubscriptionClear { subscription: new.subscription, partition, what };
    shared.write_store(Batch { changes: vec![change], ..Batch::default() })?;
    Ok(())
}
