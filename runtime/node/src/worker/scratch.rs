//! Runs handlers beside the running ones, in a state of their own: each event sees what those
//! before it wrote there, and nothing else of what it asks for is done. It reads no topic.

mod ids;
mod timers;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::{
    CheckpointId, FailureClass, IdHash, Instant, Policy, Position, SubscriptionId, TimerEntry,
    TimerHash, Verdict,
};
use gristmill_plugin_host::{
    Effects, Emission, Error, Failure, Handled, Runner, RunnerSettings, TimerRequest,
};
use gristmill_store::{Change, Scope, Stored, TimerRecord};

use self::ids::Ids;
use self::timers::Timers;
use super::attempts::undone;
use super::fetch::look;
use super::overlay::{Overlay, StateValue};
use super::part::{Content, Held, Slot};
use super::request;
use super::stage::{emitter, inherited, origin, state_value, timer_change};
use super::world::AttemptWorld;
use crate::binding::Binding;
use crate::envelope::time;
use crate::schemas::Judged;
use crate::shared::Shared;

/// Nothing is stored of it: numbers of subscriptions are given from 1.
const NOBODY: SubscriptionId = SubscriptionId(u32::MAX);
/// A partition of a subscription beside the running one.
pub(crate) struct Scratch {
    shared: Arc<Shared>,
    binding: Arc<Binding>,
    runner: Arc<Runner>,
    policy: Policy,
    /// Whose partition it would be.
    scope: Scope,
    /// What lies beneath what is written here.
    beneath: Scope,
    overlay: Arc<Mutex<Overlay>>,
    /// What is in the overlay, for the store beneath; none where it stays in memory.
    written: Option<Vec<Change>>,
    /// Counts what was taken to the store.
    round: CheckpointId,
    /// Whether the store forgets what has expired: time here has come to that of the clock.
    is_timely: bool,
    ids: Ids,
    timers: Timers,
    /// The latest moment of anything handled: what time has come to.
    now: Instant,
}

/// What a scratch state begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beneath {
    /// Nothing.
    Empty,
    /// The running state, as it is at each read.
    Live,
    /// What was written here, taken to the store under this scope.
    Kept(Scope),
}

/// One event or timer, and what came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Id of the event, or of the one that set the timer; empty where it has no envelope.
    pub(crate) id: ByteString,
    /// Type of the event.
    pub(crate) kind: ByteString,
    /// The timer's name and due time, where it is one.
    pub(crate) timer: Option<(String, Instant)>,
    /// What its state and timers belong to.
    pub(crate) key: Bytes,
    pub(crate) outcome: Outcome,
}

/// What came of an event.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The subscription's filter does not want it.
    Filtered,
    /// One of its id was handled before.
    Duplicate,
    /// Its handler succeeded.
    Succeeded(Did),
    /// Its attempts are used up.
    Failed(Failure),
}

/// What a handler asked for.
#[derive(Debug, Default)]
pub(crate) struct Did {
    /// What would be published.
    pub(crate) emissions: Vec<Emitted>,
    /// What was written to the scratch state.
    pub(crate) state: Vec<(String, StateValue)>,
    /// Timers set and cancelled there.
    pub(crate) timers: Vec<TimerRequest>,
}

/// An emission as it would be published.
#[derive(Debug)]
pub(crate) struct Emitted {
    pub(crate) topic: String,
    pub(crate) kind: String,
    /// Its record; the offset means nothing.
    pub(crate) stored: Stored,
}

/// What calls handlers of this version without a request leaving the host.
///
/// # Errors
///
/// The plugin's, when its limits are beyond those of the host.
pub(crate) fn withheld_runner(shared: &Shared, binding: &Binding) -> Result<Arc<Runner>, Error> {
    let mut settings: RunnerSettings = binding.runner.clone();
    settings.http.withheld = true;
    Runner::new(&shared.plugins, &binding.plugin, settings)
}

impl Scratch {
    /// The partition `scope` beside the running one.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        (binding, runner): (&Arc<Binding>, &Arc<Runner>),
        scope: Scope,
        beneath: Beneath,
    ) -> Self {
        let (beneath, written) = match beneath {
            Beneath::Empty => (Scope { subscription: NOBODY, ..scope }, None),
            Beneath::Live => (scope, None),
            Beneath::Kept(own) => (own, Some(Vec::new())),
        };
        Self {
            shared: Arc::clone(shared),
            binding: Arc::clone(binding),
            runner: Arc::clone(runner),
            policy: binding.config.policy(),
            scope,
            beneath,
            overlay: Arc::default(),
            written,
            round: CheckpointId(1),
            is_timely: false,
            ids: Ids::default(),
            timers: Timers::default(),
            now: Instant(0),
        }
    }

    /// Begins with what was taken to the store before: timers that are set there, and ids that were
    /// handled, the oldest first.
    pub(crate) fn begin(&mut self, timers: &[TimerEntry], ids: Vec<(Instant, IdHash)>) {
        for entry in timers {
            self.timers.set(entry.timer, Some(*entry));
            let next = self.timers.sequence();
            *next = entry.sequence.saturating_add(1).max(*next);
        }
        for (at, id) in ids {
            self.ids.insert(id, at);
        }
    }

    /// Handles an event as its first attempts would, one after the other without a pause.
    /// One that is handled `again` is no duplicate of itself.
    pub(crate) async fn event(
        &mut self,
        (topic, at): (&ByteString, Position),
        stored: Stored,
        again: bool,
    ) -> Ran {
        self.now = self.now.max(stored.timestamp);
        let held = Held::new(topic, at, stored).of(self.binding.config.state_of);
        let look = look(&self.binding, &self.shared, &held);
        let mut slot = Slot::new(Content::Record(Arc::new(held)), self.now);
        let mut ran = Ran {
            id: ByteString::new(),
            kind: ByteString::new(),
            timer: None,
            key: slot.content.owner(),
            outcome: Outcome::Filtered,
        };
        if let Some(handled) = look.handled {
            ran.describe(&handled);
            slot.handled = Some((self.binding.version, handled));
        }
        ran.outcome = match look.verdict {
            _ if look.id.is_some_and(|id| !self.ids.insert(id, self.now)) && !again => {
                Outcome::Duplicate
            }
            Verdict::Filtered => Outcome::Filtered,
            Verdict::Invalid => Outcome::Failed(look.failure.unwrap_or_else(keyless)),
            Verdict::Accepted | Verdict::Forwarded
                if self.policy.stateful && !has_owner(&slot.content) =>
            {
                Outcome::Failed(keyless())
            }
            Verdict::Accepted | Verdict::Forwarded => self.handle(&mut slot).await,
        };
        ran
    }

    /// What the state of an event belongs to.
    pub(crate) fn owner(&self, (topic, at): (&ByteString, Position), stored: &Stored) -> Bytes {
        let held = Held::new(topic, at, stored.clone()).of(self.binding.config.state_of);
        held.owner().cloned().unwrap_or_default()
    }

    /// Takes the next timer that is due before `moment`, if there is one.
    ///
    /// # Errors
    ///
    /// The store's, where what was set is not in memory.
    pub(crate) fn take_due(
        &mut self,
        moment: Instant,
    ) -> Result<Option<Arc<TimerRecord>>, gristmill_store::Error> {
        match self.timers.take_due(moment) {
            Some(timer) => self.setting(timer),
            None => Ok(None),
        }
    }

    /// How a timer is set here.
    pub(crate) fn setting(
        &self,
        timer: TimerHash,
    ) -> Result<Option<Arc<TimerRecord>>, gristmill_store::Error> {
        let written = self.lock().timer(timer).cloned();
        match written {
            Some(setting) => Ok(setting),
            None => Ok(self.shared.store.timer(self.beneath, timer)?.map(Arc::new)),
        }
    }

    /// A timer that was taken is set as it was.
    pub(crate) fn put_off(&mut self, record: &TimerRecord) {
        self.timers.set(record.entry.timer, Some(record.entry));
    }

    /// A timer that was taken is set no more.
    pub(crate) fn forget(&mut self, timer: TimerHash) {
        self.timers.set(timer, None);
        self.lock().write_timer(self.round, timer, None);
        if let Some(written) = &mut self.written {
            written.push(Change::TimerDelete { scope: self.beneath, timer });
        }
    }

    /// Fires a timer that was taken.
    pub(crate) async fn fire(&mut self, record: Arc<TimerRecord>) -> Ran {
        self.now = self.now.max(record.entry.due);
        self.forget(record.entry.timer);
        let mut slot = Slot::new(Content::Timer(Arc::clone(&record)), self.now);
        let outcome = self.handle(&mut slot).await;
        let mut ran = Ran {
            id: ByteString::new(),
            kind: ByteString::new(),
            timer: Some((record.name.clone(), record.entry.due)),
            key: record.key.clone(),
            outcome,
        };
        if let Some((_, handled)) = &slot.handled {
            ran.describe(handled);
        }
        ran
    }

    /// Timers that are set.
    pub(crate) fn timers(&self) -> Vec<TimerHash> {
        self.timers.all()
    }

    /// From here on the store forgets by itself what has expired.
    pub(crate) fn be_timely(&mut self) {
        self.is_timely = true;
    }

    /// What was written since it was last taken, for the store. [`Scratch::flushed`] says that the
    /// store has it.
    pub(crate) fn take_written(&mut self) -> Vec<Change> {
        self.written.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Everything that was taken is in the store.
    pub(crate) fn flushed(&mut self) {
        self.lock().committed(self.round);
        self.round = CheckpointId(self.round.0.saturating_add(1));
    }

    async fn handle(&mut self, slot: &mut Slot) -> Outcome {
        match self.attempt(slot).await.and_then(|(handled, it)| self.keep(slot, &handled, it)) {
            Ok(did) => Outcome::Succeeded(did),
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// Calls the handler until it succeeds, or its attempts are used up.
    async fn attempt(&self, slot: &mut Slot) -> Result<(Handled, Effects), Failure> {
        let parts = (&*self.shared, &*self.binding);
        let mut number: u32 = 1;
        loop {
            let request = request::request(parts, self.scope.partition.0, slot, number)?;
            let handled = request.handled.clone();
            let world = AttemptWorld {
                shared: Arc::clone(&self.shared),
                binding: Arc::clone(&self.binding),
                scope: self.beneath,
                owner: slot.content.owner(),
                key: slot.content.key(),
                overlay: Arc::clone(&self.overlay),
                event_time: slot.content.event_time(),
                now: self.now,
                timers: self.timers.count(),
            };
            let ended = Arc::clone(&self.runner).call(request, Box::new(world)).await;
            let failure = match ended.result {
                Ok(effects) => return Ok((handled, effects)),
                Err(failure) => failure,
            };
            // What is away does not come back for being asked again at once.
            let is_last = failure.class == FailureClass::Infrastructure
                || number >= self.policy.attempts_max(failure.class);
            if is_last {
                return Err(failure);
            }
            slot.failure = Some(failure);
            number = number.saturating_add(1);
        }
    }

    /// Writes what a handler did into the scratch state.
    fn keep(&mut self, slot: &Slot, handled: &Handled, it: Effects) -> Result<Did, Failure> {
        let (content, key) = (&slot.content, slot.content.owner());
        let emissions = self.emitted((content, handled), &content.key(), it.emissions)?;
        let mut did = Did { emissions, state: Vec::new(), timers: it.timers };
        let mut overlay = self.overlay.lock().unwrap_or_else(PoisonError::into_inner);
        let scope = self.beneath;
        for change in it.state {
            let (name, value) = state_value(change, content.event_time());
            overlay.write_state(self.round, key.clone(), name.clone(), value.clone());
            if let Some(written) = &mut self.written {
                written.push(state_change((scope, &key, &name), value.clone(), self.is_timely));
            }
            did.state.push((name, value));
        }
        for request in did.timers.iter().cloned() {
            let lane = (&self.shared.hasher, &key);
            let carried = || inherited(content, handled).to_bytes();
            let (timer, record) = timer_change(lane, request, self.timers.sequence(), carried);
            self.timers.set(timer, record.as_ref().map(|it: &TimerRecord| it.entry));
            if let Some(written) = &mut self.written {
                written.push(match record.clone() {
                    Some(record) => Change::TimerSet { scope, record },
                    None => Change::TimerDelete { scope, timer },
                });
            }
            overlay.write_timer(self.round, timer, record.map(Arc::new));
        }
        Ok(did)
    }

    /// Emissions as they would be published, with the ids that they had at first.
    fn emitted(
        &self,
        (content, handled): (&Content, &Handled),
        key: &Bytes,
        emissions: Vec<Emission>,
    ) -> Result<Vec<Emitted>, Failure> {
        let text = time::format(self.now).into();
        let key = Some(key).filter(|key| !key.is_empty());
        let emitter = emitter(&self.binding, (origin(content), handled), key, (self.now, &text));
        let numbered = (0_u32..).zip(emissions);
        let records = numbered.map(|(index, mut emission)| {
            let name = self.shared.config.topics.names.on_broker(&emission.topic).to_owned();
            let kept = Judged::emission(&name, &emission).kept(&emission.payload);
            if let Some(sealed) = self.shared.encryption.sealed(kept).map_err(undone)? {
                emission.payload = sealed;
            }
            let kind = emission.kind.clone();
            let (_, stored) = emitter.local(index, emission);
            Ok(Emitted { topic: name, kind, stored })
        });
        records.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Overlay> {
        // Every write to an overlay is whole: a panicking attempt leaves nothing half done.
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ran {
    fn describe(&mut self, handled: &Handled) {
        self.id = handled.id().clone();
        if let Handled::Event(event) = handled {
            self.kind = event.kind.clone();
        }
    }
}

/// A write of state as the store takes it.
fn state_change(
    (scope, key, name): (Scope, &Bytes, &str),
    value: StateValue,
    is_timely: bool,
) -> Change {
    let (key, name) = (key.clone(), name.to_owned());
    match value {
        None => Change::StateDelete { scope, key, name },
        Some((value, expires)) if is_timely => {
            Change::StateSet { scope, key, name, value, expires }
        }
        Some((value, expires)) => Change::StateKeep { scope, key, name, value, expires },
    }
}

fn has_owner(content: &Content) -> bool {
    match content {
        Content::Record(held) => held.owner().is_some(),
        Content::Timer(_) => true,
    }
}

/// The failure of an event without key where state is kept by key.
fn keyless() -> Failure {
    Failure {
        class: FailureClass::Invalid,
        retry_after: None,
        reason: "the event has no key, and the subscription keeps state per key".to_owned(),
        code: None,
        detail: String::new(),
    }
}
