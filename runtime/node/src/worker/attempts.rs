//! Runs attempts: finds the event's bytes, calls the plugin, hands the outcome to the engine. It
//! never decides whether or when an attempt is made.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant as Moment;

use futures_util::future::{AbortHandle, Abortable, Aborted};
use futures_util::stream::{FuturesUnordered, StreamExt};
use gristmill_engine::{
    AttemptId, Bytes as Size, EventRef, FailureClass, Input, Instant, KeyHash, Outcome,
    PartitionId, SubscriptionId, TimerChange, Version,
};
use gristmill_plugin_host::{Effects, Emission, Failure, Handled, StateChange, TimerRequest};
use gristmill_store::{Parked, Scope, Topic};
use gristmill_telemetry::TraceContext;
use uuid::Uuid;

use super::local::{self, Causer, LocalRun, Ran};
use super::ownership::Refused;
use super::part::{Content, Held, Slot};
use super::spans::Own;
use super::world::AttemptWorld;
use super::{Map, TURN_TIME_MAX, Worker, request};
use crate::Error;
use crate::binding::Binding;
use crate::schemas::{Broken, Judged, Published};

/// One call the engine asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Invocation {
    pub(super) attempt: AttemptId,
    pub(super) subscription: SubscriptionId,
    pub(super) partition: PartitionId,
    pub(super) key: Option<KeyHash>,
    pub(super) event: EventRef,
    pub(super) parked: Option<u64>,
    pub(super) number: u32,
    pub(super) version: Version,
}

/// A call that was made, and the version that answers it: another may be in use when it does.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    invocation: Invocation,
    binding: Arc<Binding>,
    /// Its own span, where its trace is told of.
    own: Option<Own>,
}

/// The end of an attempt, or nothing where it was cancelled.
pub(super) type Ended = Option<(Attempt, Ran)>;

/// The call of a plugin.
type Call = Pin<Box<dyn Future<Output = Ran>>>;

/// Attempts that end in one round before the worker looks at its commands again: about two
/// milliseconds of small ones; others end by time.
const ENDED_MAX: u32 = 128;

/// The attempts of one worker: those that run, and the effects of those that succeeded and are
/// not staged yet.
#[derive(Default)]
pub(super) struct Attempts {
    /// Not begun yet, in order. Most end when they are polled once, and then cost no more.
    fresh: VecDeque<(Attempt, Call)>,
    /// Begun, and waiting for something.
    waiting: FuturesUnordered<Waiting>,
    handles: Map<AttemptId, AbortHandle>,
    succeeded: Map<AttemptId, Succeeded>,
}

type Waiting = Pin<Box<dyn Future<Output = Ended>>>;

/// Effects of an attempt, waiting for the engine to stage them.
pub(super) struct Succeeded {
    pub(super) emissions: Vec<Outgoing>,
    /// What handlers of local topics did with it.
    pub(super) local: Vec<LocalDone>,
    /// Theirs too.
    pub(super) state: Vec<StateChange>,
    pub(super) timers: Vec<TimerRequest>,
    /// The version that made them.
    pub(super) binding: Arc<Binding>,
    /// The attempt's own span, where its trace is told of.
    pub(super) span: Option<TraceContext>,
}

/// An emission, and the topic it goes to.
pub(super) struct Outgoing {
    /// Its number among those of its handler, local ones included.
    pub(super) index: u32,
    pub(super) emission: Emission,
    pub(super) topic: Topic,
}

/// What a handler did with an event of a local topic.
pub(super) struct LocalDone {
    pub(super) binding: Arc<Binding>,
    /// The event's id.
    pub(super) id: Uuid,
    pub(super) handled: Handled,
    pub(super) emissions: Vec<Outgoing>,
    /// Its own span, where the trace is told of.
    pub(super) span: Option<TraceContext>,
}

impl Attempts {
    /// Interrupts an attempt; dropping its future ends the guest.
    pub(super) fn cancel(&mut self, attempt: AttemptId) {
        match self.handles.remove(&attempt) {
            Some(handle) => handle.abort(),
            None => self.fresh.retain(|(fresh, _)| fresh.invocation.attempt != attempt),
        }
        self.succeeded.remove(&attempt);
    }

    /// The next attempt that ends of those that wait; never, while none does.
    pub(super) async fn next(&mut self) -> Ended {
        match self.waiting.next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// One of those that wait that has ended already, or ends when polled once.
    async fn next_ready(&mut self) -> Option<Ended> {
        poll_fn(|context| match self.waiting.poll_next_unpin(context) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Begins attempts until one ends at once.
    async fn next_fresh(&mut self) -> Option<Ended> {
        poll_fn(|context| {
            while let Some((attempt, mut call)) = self.fresh.pop_front() {
                match call.as_mut().poll(context) {
                    Poll::Ready(ran) => return Poll::Ready(Some(Some((attempt, ran)))),
                    Poll::Pending => self.wait(attempt, call),
                }
            }
            Poll::Ready(None)
        })
        .await
    }

    fn wait(&mut self, attempt: Attempt, call: Call) {
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(attempt.invocation.attempt, handle);
        self.waiting.push(Box::pin(async move {
            match Abortable::new(call, registration).await {
                Ok(ran) => Some((attempt, ran)),
                Err(Aborted) => None,
            }
        }));
    }

    /// Takes the effects of an attempt that is being staged.
    pub(super) fn take(&mut self, attempt: AttemptId) -> Option<Succeeded> {
        self.succeeded.remove(&attempt)
    }
}

impl Worker {
    /// Runs guests: those that waited and can go on, then some of those that have not begun. True
    /// when any ended.
    pub(super) async fn reap(&mut self) -> Result<bool, Error> {
        let mut has_ended = false;
        while let Some(ended) = self.attempts.next_ready().await {
            self.finish(ended)?;
            has_ended = true;
        }
        let began = Moment::now();
        for _ in 0..ENDED_MAX {
            let Some(ended) = self.attempts.next_fresh().await else { break };
            self.finish(ended)?;
            has_ended = true;
            if began.elapsed() > TURN_TIME_MAX {
                break;
            }
        }
        Ok(has_ended)
    }

    /// Tells the engine how an attempt ended, and keeps its effects until they are staged.
    pub(super) fn finish(&mut self, ended: Ended) -> Result<(), Error> {
        let Some((Attempt { invocation, binding, own }, mut ran)) = ended else { return Ok(()) };
        let attempt = invocation.attempt;
        self.attempts.handles.remove(&attempt);
        self.measure(&invocation, &ran.finished);
        if let Some(own) = own {
            self.tell_attempt(own, (&invocation, &binding), &mut ran);
        }
        let outcome = match ran.finished.result {
            Ok(effects) => self.succeed(&invocation, (binding, own), (effects, ran.local)),
            Err(failure) => self.fail(&invocation, failure),
        };
        self.feed(Input::Finished { attempt, outcome })
    }

    fn succeed(
        &mut self,
        invocation: &Invocation,
        (binding, own): (Arc<Binding>, Option<Own>),
        (effects, runs): (Effects, Vec<LocalRun>),
    ) -> Outcome {
        let place = (invocation.subscription, invocation.partition);
        let slot = self.parts.get(&place).and_then(|part| part.slots.get(&invocation.event));
        let key = slot.map(|slot| slot.content.owner()).unwrap_or_default();
        if let Some(reason) = self.refused_emission(place, invocation.event) {
            let failure = refused(reason);
            return self.fail(invocation, failure);
        }
        let Effects { emissions, mut state, timers, mut bytes } = effects;
        let emissions = match self.outgoing(emissions) {
            Ok(emissions) => emissions,
            Err(failure) => return self.fail(invocation, failure),
        };
        let mut local = Vec::with_capacity(runs.len());
        for LocalRun { binding, id, handled, effects, span } in runs {
            let emissions = match self.outgoing(effects.emissions) {
                Ok(emissions) => emissions,
                Err(failure) => return self.fail(invocation, failure),
            };
            state.extend(effects.state);
            bytes = bytes.saturating_add(effects.bytes);
            local.push(LocalDone { binding, id, handled, emissions, span });
        }
        let hasher = &self.shared.hasher;
        let changes = timers.iter().map(|request| match request {
            TimerRequest::Set { name, due_ms, .. } => {
                TimerChange::Set { timer: hasher.timer(&key, name), due: Instant(*due_ms) }
            }
            TimerRequest::Cancel { name } => {
                TimerChange::Cancel { timer: hasher.timer(&key, name) }
            }
        });
        let outcome = Outcome::Succeeded { timers: changes.collect(), size: Size(bytes) };
        let span = own.map(|own| own.context);
        let succeeded = Succeeded { emissions, local, state, timers, binding, span };
        self.attempts.succeeded.insert(invocation.attempt, succeeded);
        outcome
    }

    /// Emissions with their topics; those to local topics were handled already.
    fn outgoing(&self, emissions: Vec<Emission>) -> Result<Vec<Outgoing>, Failure> {
        let broker = &self.shared.broker;
        let mut outgoing = Vec::with_capacity(emissions.len());
        for (index, emission) in (0_u32..).zip(emissions) {
            let name = self.shared.config.topics.names.on_broker(&emission.topic);
            if self.locals.is_some() && self.shared.config.topics.is_local(name) {
                continue;
            }
            // Checked when it was emitted; deleted since, it is no topic any more.
            let topic = broker.topic(name).ok_or_else(|| undeliverable(name))?;
            if broker.is_denied(name) {
                return Err(denied(name));
            }
            let emission = self.encoded(&topic, emission)?;
            let size = emission.payload.len();
            if let Some(limit) = broker.exceeded_limit(&topic.name, size) {
                return Err(too_large(&topic.name, size, limit));
            }
            outgoing.push(Outgoing { index, emission, topic });
        }
        Ok(outgoing)
    }

    /// An emission as the schema of its topic has it written. It was judged when it was emitted.
    fn encoded(&self, topic: &Topic, emission: Emission) -> Result<Emission, Failure> {
        let kept = Judged::emission(&topic.name, &emission).kept(&emission.payload);
        let emission = match self.shared.encryption.sealed(kept).map_err(undone)? {
            Some(payload) => Emission { payload, ..emission },
            None => emission,
        };
        let judged = Judged::emission(&topic.name, &emission);
        match self.shared.schemas.publish(judged, emission.content_type.as_deref()) {
            Ok(None) => Ok(emission),
            Ok(Some(Published { payload, media })) => {
                let content_type = media.map(str::to_owned).or(emission.content_type);
                Ok(Emission { payload, content_type, ..emission })
            }
            Err(broken) => Err(undone(broken)),
        }
    }

    fn fail(&mut self, invocation: &Invocation, failure: Failure) -> Outcome {
        let outcome = Outcome::Failed { class: failure.class, retry_after: failure.retry_after };
        tracing::debug!(event = ?invocation.event, attempt = invocation.number,
            class = ?failure.class, reason = failure.reason, "attempt failed");
        self.failing.clone_from(&failure.reason);
        let place = (invocation.subscription, invocation.partition);
        if let Some(part) = self.parts.get_mut(&place)
            && let Some(slot) = part.slots.get_mut(&invocation.event)
        {
            slot.failure = Some(failure);
        }
        outcome
    }

    /// Starts the attempt the engine asked for. An event whose bytes cannot be had fails at once.
    pub(super) fn invoke(&mut self, invocation: Invocation) -> Result<(), Error> {
        let version = (invocation.subscription, invocation.version);
        let Some(bound) = self.versions.get(&version).cloned() else {
            return Err(Error::broken("an attempt of a plugin version that is not bound"));
        };
        let call = self.load_slot(&invocation).and_then(|()| {
            let place = (invocation.subscription, invocation.partition);
            let timers = self.engine.timer_count(invocation.subscription);
            let part = self.parts.get_mut(&place);
            let part = part.ok_or_else(|| lost("its partition is not assigned"))?;
            let slot = part.slots.get_mut(&invocation.event);
            let slot = slot.ok_or_else(|| lost("its bytes are gone"))?;
            let mut request = request::request(
                (&self.shared, &bound.binding),
                invocation.partition.0,
                slot,
                invocation.number,
            )?;
            let begun = self.spans.as_mut().map(|spans| spans.begin(&request.handled));
            request.span = begun.map(|(context, _)| context);
            let own = begun.and_then(|(_, own)| own);
            let now = self.shared.clock.now();
            Self::measure_wait(&bound.meter, &slot.content, slot.since, now);
            let world = AttemptWorld {
                shared: Arc::clone(&self.shared),
                binding: Arc::clone(&bound.binding),
                scope: Scope { subscription: place.0, partition: place.1 },
                owner: slot.content.owner(),
                key: slot.content.key(),
                overlay: Arc::clone(&part.overlay),
                event_time: slot.content.event_time(),
                now,
                timers,
            };
            let call = match &self.locals {
                None => Box::pin(local::alone(&bound, request, world)) as Call,
                Some(locals) => {
                    let (locals, content) = (locals.subscribe(), slot.content.clone());
                    let causer =
                        Causer { world: world.clone(), request: request.clone(), content, locals };
                    Box::pin(causer.run(&bound, world))
                }
            };
            Ok((call, own))
        });
        match call {
            Ok((call, own)) => {
                let attempt = Attempt { invocation, binding: bound.binding, own };
                self.attempts.fresh.push_back((attempt, call));
            }
            Err(failure) => {
                let outcome = self.fail(&invocation, failure);
                let attempt = invocation.attempt;
                self.inputs.push_back(Input::Finished { attempt, outcome });
            }
        }
        Ok(())
    }

    /// Brings the bytes of a timer or a parked event into memory, unless they are there.
    fn load_slot(&mut self, invocation: &Invocation) -> Result<(), Failure> {
        let (subscription, partition) = (invocation.subscription, invocation.partition);
        let scope = Scope { subscription, partition };
        let Some(part) = self.parts.get_mut(&(subscription, partition)) else { return Ok(()) };
        if part.slots.contains_key(&invocation.event) {
            return Ok(());
        }
        let store = &self.shared.store;
        let (content, error) = match (invocation.parked, invocation.key, invocation.event) {
            (Some(sequence), Some(lane), _) => {
                let uncommitted = part.lock_overlay().parked(lane, sequence).cloned();
                let record = match uncommitted {
                    Some(record) => (*record).clone(),
                    None => store
                        .parked(scope, lane, sequence)
                        .map_err(|error| unavailable(&error))?
                        .ok_or_else(|| lost("it is not in its parked lane"))?,
                };
                let content = match record.source {
                    Parked::Timer(timer) => Content::Timer(Arc::new(timer)),
                    Parked::Event { topic, stored } => {
                        let EventRef::Record(position) = invocation.event else {
                            return Err(lost("a record is parked as a timer"));
                        };
                        let topic = self.shared.broker.topic_by_id(topic);
                        let topic = topic.map(|topic| topic.name);
                        let topic = topic.ok_or_else(|| lost("its topic was deleted"))?;
                        let held = Held::new(&topic, position, stored);
                        Content::Record(Arc::new(held.of(part.binding.config.state_of)))
                    }
                };
                (content, record.error)
            }
            (_, _, EventRef::Timer { timer, .. }) => {
                let uncommitted = part.lock_overlay().timer(timer).cloned();
                let record = match uncommitted {
                    Some(setting) => setting,
                    None => store
                        .timer(scope, timer)
                        .map_err(|error| unavailable(&error))?
                        .map(Arc::new),
                };
                let record = record.ok_or_else(|| lost("the timer is not set"))?;
                (Content::Timer(record), String::new())
            }
            (_, _, EventRef::Record(_)) => return Ok(()),
        };
        let mut slot = Slot::new(content, self.shared.clock.now());
        if !error.is_empty() {
            slot.failure = Some(Failure { reason: error, ..lost("") });
        }
        part.slots.insert(invocation.event, slot);
        Ok(())
    }
}

/// An emission that cannot be written as its topic wants it.
pub(super) fn undone(broken: Broken) -> Failure {
    match broken {
        Broken::Away(it) => request::away(it),
        Broken::Invalid(it) => refused(&Refused { code: it.code, text: it.to_string() }),
    }
}

/// The bytes of an event cannot be had: nothing its handler could have done.
fn lost(reason: &str) -> Failure {
    Failure {
        class: FailureClass::Infrastructure,
        retry_after: None,
        reason: reason.to_owned(),
        code: Some("E0462".to_owned()),
        detail: String::new(),
    }
}

fn unavailable(error: &gristmill_store::Error) -> Failure {
    Failure { code: Some(error.code().to_owned()), ..lost(&crate::error::chain(error)) }
}

fn too_large(topic: &str, size: usize, limit: u64) -> Failure {
    Failure {
        class: FailureClass::Output,
        code: Some("E0612".to_owned()),
        ..lost(&format!("topic {topic:?} takes {limit} bytes, and the emission has {size}"))
    }
}

pub(super) fn refused(reason: &Refused) -> Failure {
    let code = Some(reason.code.to_owned());
    Failure { class: FailureClass::Output, code, ..lost(&reason.text) }
}

fn denied(topic: &str) -> Failure {
    let text = format!("write to topic {topic:?}: no right to topic {topic:?}");
    refused(&Refused { code: "E0605", text })
}

fn undeliverable(topic: &str) -> Failure {
    Failure {
        class: FailureClass::Output,
        ..lost(&format!("topic {topic:?} was deleted while its emission was made"))
    }
}
