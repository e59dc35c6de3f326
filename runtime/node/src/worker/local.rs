//! Runs the handlers of local topics within the attempt whose emissions they handle: one fails with
//! the other, and their effects are those of one event. It stages nothing.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gristmill_engine::{FailureClass, Instant};
use gristmill_plugin_host::{
    Effects, Emission, EmitError, Failure, Finished, Handled, LOCAL_NAMES, Request, StateChange,
    StateError, TimerError, World,
};
use gristmill_telemetry::{Span, SpanIds, TraceContext};
use tokio::sync::watch;
use uuid::Uuid;

use super::overlay::{StateValue, bytes_at, is_alive, overlaid};
use super::part::{Content, Held};
use super::request::TimerContext;
use super::stage::{emitter, origin, state_value};
use super::world::AttemptWorld;
use super::{Bound, Worker, fetch};
use crate::Error;
use crate::binding::Binding;
use crate::envelope::{self, Emitter, OriginBuf, time};
use crate::plugins::{LocalHandler, LocalTopics};
use crate::telemetry::{self, Attempted};

/// Longest chain of local events, each caused by the one before (source: the contract, "Local
/// emissions").
const DEPTH_MAX: u32 = 8;
/// How long an attempt waits for a handler that is paused, or was refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// How an attempt ended, with what handlers of local topics did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) finished: Finished,
    /// In the order in which they ran; none where the attempt failed.
    pub(super) local: Vec<LocalRun>,
    /// Spans of those that ran, and of their requests, where the trace is told of.
    pub(super) spans: Vec<Span>,
}

/// One run of a handler with an event of a local topic.
#[derive(Debug)]
pub(super) struct LocalRun {
    pub(super) binding: Arc<Binding>,
    /// The event's id.
    pub(super) id: Uuid,
    pub(super) handled: Handled,
    /// What it did. Names of state are those of the subscription that it is kept with.
    pub(super) effects: Effects,
    /// Its own span, where the trace is told of.
    pub(super) span: Option<TraceContext>,
}

/// Handlers of local topics, as this worker runs them.
#[derive(Default)]
pub(super) struct Locals {
    is_known: bool,
    topics: BTreeMap<String, Vec<Local>>,
}

enum Local {
    Ready(Bound),
    /// It cannot run now.
    Away(Away),
}

/// Why a topic's handlers cannot all run.
#[derive(Debug, Clone)]
struct Away {
    why: String,
    /// Whether that ends by itself.
    is_loading: bool,
}

impl Locals {
    /// Those of a topic, if all can run; else why not.
    fn ready(&self, topic: &str) -> Result<Vec<&Bound>, Away> {
        let away = |why: &str, is_loading| Err(Away { why: why.to_owned(), is_loading });
        if !self.is_known {
            return away("the plugins are still being loaded", true);
        }
        let handlers = self.topics.get(topic).into_iter().flatten();
        let ready: Result<Vec<&Bound>, Away> = handlers
            .map(|handler| match handler {
                Local::Ready(bound) => Ok(bound),
                Local::Away(away) => Err(away.clone()),
            })
            .collect();
        match ready {
            Ok(ready) if ready.is_empty() => away("no plugin handles it", false),
            ready => ready,
        }
    }

    /// A version that runs already.
    fn bound(&self, binding: &Binding) -> Option<&Bound> {
        self.topics.values().flatten().find_map(|handler| match handler {
            Local::Ready(bound) if bound.binding.version == binding.version => Some(bound),
            Local::Ready(_) | Local::Away(_) => None,
        })
    }
}

impl Worker {
    /// Runs those handlers of local topics from now on. What runs on older ones finishes there.
    pub(super) fn take_locals(&mut self, told: &LocalTopics) -> Result<(), Error> {
        let Some(before) = self.locals.as_ref().map(|locals| Rc::clone(&locals.borrow())) else {
            return Ok(());
        };
        let mut now = Locals { is_known: told.is_known, topics: BTreeMap::new() };
        for (topic, handlers) in &told.handlers {
            let mut of_topic = Vec::with_capacity(handlers.len());
            for handler in handlers {
                of_topic.push(match handler {
                    LocalHandler::Ready(binding) => {
                        let known = before.bound(binding).or_else(|| now.bound(binding));
                        let bound = known.cloned().map_or_else(|| self.bound(binding), Ok)?;
                        self.meters.insert(binding.subscription, Rc::clone(&bound.meter));
                        Local::Ready(bound)
                    }
                    LocalHandler::Away { name, why, is_loading } => Local::Away(Away {
                        why: format!("{name:?}: {why}"),
                        is_loading: *is_loading,
                    }),
                });
            }
            now.topics.insert(topic.clone(), of_topic);
        }
        if let Some(locals) = &self.locals {
            locals.send_replace(Rc::new(now));
        }
        Ok(())
    }
}

/// An attempt where no topic is local.
pub(super) fn alone(
    bound: &Bound,
    request: Request,
    world: AttemptWorld,
) -> impl Future<Output = Ran> + use<> {
    let call = Arc::clone(&bound.runner).call(request, Box::new(world));
    async { Ran { finished: call.await, local: Vec::new(), spans: Vec::new() } }
}

/// An attempt whose emissions may cause local events.
pub(super) struct Causer {
    pub(super) world: AttemptWorld,
    pub(super) request: Request,
    pub(super) content: Content,
    pub(super) locals: watch::Receiver<Rc<Locals>>,
}

impl Causer {
    /// Runs the attempt, and then what its emissions cause.
    pub(super) fn run(
        self,
        bound: &Bound,
        world: AttemptWorld,
    ) -> impl Future<Output = Ran> + use<> {
        let call = Arc::clone(&bound.runner).call(self.request.clone(), Box::new(world));
        async move {
            let finished = call.await;
            let emissions = finished.result.as_ref().map_or(&[][..], |it| &it.emissions);
            let topics = &self.world.shared.config.topics;
            if emissions.iter().all(|emission| !topics.is_local(&emission.topic)) {
                return Ran { finished, local: Vec::new(), spans: Vec::new() };
            }
            let mut cascade = Cascade::new(&self);
            let ran = cascade.run(emissions).await;
            let Cascade { runs, spans, .. } = cascade;
            match ran {
                Ok(()) => Ran { finished, local: runs, spans },
                Err(failure) => {
                    let finished = Finished { result: Err(failure), ..finished };
                    Ran { finished, local: Vec::new(), spans }
                }
            }
        }
    }

    /// What the event or timer is to those that it causes: its place.
    fn place(&self) -> OriginBuf {
        match &self.content {
            Content::Record(held) => held.origin.clone(),
            Content::Timer(timer) => {
                let TimerContext { topic, partition, offset, .. } = TimerContext::read(timer);
                OriginBuf { topic: topic.into(), partition, offset, timer: None }
            }
        }
    }
}

/// An event of a local topic that is still to be handled.
struct Caused {
    topic: String,
    id: Uuid,
    /// How many local events there are in its chain, itself included.
    depth: u32,
    held: Held,
}

/// Local events of one attempt, in the order in which they were emitted.
struct Cascade<'a> {
    causer: &'a Causer,
    /// All of them happen when their cause did: a retry sees the same.
    time: (Instant, Bytes),
    place: OriginBuf,
    queue: VecDeque<Caused>,
    /// State written so far, by whole name.
    writes: BTreeMap<String, StateValue>,
    emissions: u64,
    emitted_bytes: u64,
    runs: Vec<LocalRun>,
    spans: Vec<Span>,
}

impl<'a> Cascade<'a> {
    fn new(causer: &'a Causer) -> Self {
        let moment = causer.world.event_time;
        Self {
            time: (moment, time::format(moment).into()),
            place: causer.place(),
            causer,
            queue: VecDeque::new(),
            writes: BTreeMap::new(),
            emissions: 0,
            emitted_bytes: 0,
            runs: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Handles what `emissions` of the attempt cause, and what that causes.
    async fn run(&mut self, emissions: &[Emission]) -> Result<(), Failure> {
        let Causer { world, request, content, .. } = self.causer;
        let (binding, handled) = (&world.binding, &request.handled);
        let time = (self.time.0, &self.time.1);
        let emitter = emitter(binding, (origin(content), handled), self.key(), time);
        let caused = self.caused(&emitter, emissions, 1);
        self.queue.extend(caused);
        self.count(emissions)?;
        while let Some(event) = self.queue.pop_front() {
            for bound in self.handlers(&event.topic).await? {
                self.handle(&event, &bound).await?;
            }
        }
        Ok(())
    }

    /// Runs one handler, unless its filter does not want the event.
    async fn handle(&mut self, event: &Caused, bound: &Bound) -> Result<(), Failure> {
        let (world, binding) = (&self.causer.world, &bound.binding);
        let within = |failure| within(&event.topic, &binding.name, failure);
        if binding.config.grants.state && !world.binding.config.grants.state {
            return Err(within(stateless(&world.binding.name)));
        }
        let look = fetch::look(binding, &world.shared, &event.held);
        if let Some(failure) = look.failure {
            return Err(within(failure));
        }
        let Some(handled) = look.handled else { return Ok(()) };
        let span = self.own_span();
        let context = span.or(self.causer.request.span);
        let request =
            Request { handled: handled.clone(), span: context, ..self.causer.request.clone() };
        bound.meter.consumed(&event.topic);
        let world = Box::new(self.world(event, binding));
        let mut finished = Arc::clone(&bound.runner).call(request, world).await;
        self.tell(span, (event, binding, &handled), &mut finished);
        let Finished { result, usage, calls: _ } = finished;
        bound.meter.attempted(result.as_ref().err().map(|failure| failure.class), usage.wall);
        bound.meter.used(&usage);
        let mut effects = result.map_err(within)?;
        self.count(&effects.emissions)?;
        let time = (self.time.0, &self.time.1);
        let of = envelope::Cause::Local { event: event.id };
        let emitter = emitter(binding, (of, &handled), self.key(), time);
        let caused = self.caused(&emitter, &effects.emissions, event.depth.saturating_add(1));
        self.queue.extend(caused);
        self.keep(&binding.name, &mut effects.state);
        let (binding, id) = (Arc::clone(binding), event.id);
        self.runs.push(LocalRun { binding, id, handled, effects, span });
        Ok(())
    }

    /// A span within that of the attempt, for the next run of a handler; none where it has none.
    fn own_span(&self) -> Option<TraceContext> {
        let attempt = self.causer.request.span.filter(|it| it.is_sampled())?;
        // Requests of the attempt itself are numbered from 1.
        let number = u32::MAX.saturating_sub(u32::try_from(self.spans.len()).unwrap_or(u32::MAX));
        Some(attempt.at(SpanIds::within(attempt.span(), number).next_id()))
    }

    /// A handler has run.
    fn tell(
        &mut self,
        span: Option<TraceContext>,
        (event, binding, handled): (&Caused, &Binding, &Handled),
        finished: &mut Finished,
    ) {
        let Some(context) = span else { return };
        self.spans.append(&mut finished.calls);
        let attempted = Attempted {
            context,
            parent: self.causer.request.span.map(TraceContext::span),
            system: self.causer.world.shared.telemetry.system(),
            binding,
            handled,
            origin: None,
            number: self.causer.request.attempt,
        };
        let span = telemetry::attempt(attempted, (&*finished).into());
        self.spans.push(Span { target: event.topic.as_str().into(), ..span });
    }

    /// The handlers of a topic, when all can run. One that is being loaded is waited for however
    /// long that takes: a host that starts would else open breakers, and have commands fall back.
    async fn handlers(&self, topic: &str) -> Result<Vec<Bound>, Failure> {
        let mut locals = self.causer.locals.clone();
        loop {
            let ready = locals.wait_for(|locals| locals.ready(topic).is_ok());
            // Nobody says more once the worker has ended.
            let is_over = matches!(tokio::time::timeout(PATIENCE, ready).await, Ok(Err(_)));
            let away = match locals.borrow().ready(topic) {
                Ok(ready) => return Ok(ready.into_iter().cloned().collect()),
                Err(away) => away,
            };
            if is_over || !away.is_loading {
                let reason = format!("nobody handles local topic {topic:?} now: {}", away.why);
                return Err(failure(FailureClass::Infrastructure, "E0470", reason));
            }
        }
    }

    /// Events of local topics among emissions.
    fn caused(&self, emitter: &Emitter<'_>, emissions: &[Emission], depth: u32) -> Vec<Caused> {
        let topics = &self.causer.world.shared.config.topics;
        let numbered = (0_u32..).zip(emissions);
        let local = numbered.filter(|(_, emission)| topics.is_local(&emission.topic));
        let caused = local.map(|(index, emission)| {
            let (id, stored) = emitter.local(index, emission.clone());
            let topic = emission.topic.clone();
            let held = Held::local(&topic, &self.place, stored);
            Caused { topic, id, depth, held }
        });
        caused.collect()
    }

    /// One event may not cause more emissions through others than by itself.
    fn count(&mut self, emissions: &[Emission]) -> Result<(), Failure> {
        let limits = &self.causer.world.binding.runner.limits;
        let count = u64::try_from(emissions.len()).unwrap_or(u64::MAX);
        self.emissions = self.emissions.saturating_add(count);
        let bytes: u64 = emissions.iter().map(Emission::bytes).sum();
        self.emitted_bytes = self.emitted_bytes.saturating_add(bytes);
        let reached = if self.emissions > u64::from(limits.emissions) {
            format!("{} emissions", limits.emissions)
        } else if self.emitted_bytes > limits.emitted_bytes {
            format!("{} emitted bytes", limits.emitted_bytes)
        } else {
            return Ok(());
        };
        let reason = format!("more than {reached} per event, with those of local handlers");
        Err(failure(FailureClass::Output, "E0471", reason))
    }

    /// Gives names of state their whole form, and lets later handlers see what was written.
    fn keep(&mut self, subscription: &str, changes: &mut [StateChange]) {
        for change in changes {
            let (StateChange::Set { name, .. } | StateChange::Delete { name }) = change;
            *name = whole_name(subscription, name);
            let (name, value) = state_value(change.clone(), self.time.0);
            self.writes.insert(name, value);
        }
    }

    fn world(&self, event: &Caused, binding: &Arc<Binding>) -> LocalWorld {
        let prefix = whole_name(&binding.name, "");
        let own = self.writes.range(prefix.clone()..);
        let own = own.take_while(|(name, _)| name.starts_with(&prefix));
        let writes = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        let beneath =
            AttemptWorld { binding: Arc::clone(binding), timers: 0, ..self.causer.world.clone() };
        LocalWorld { beneath, prefix, writes, depth: event.depth }
    }

    /// Key of the lane, which local events have too.
    fn key(&self) -> Option<&'a Bytes> {
        Some(&self.causer.world.key).filter(|key| !key.is_empty())
    }
}

/// The name under which state of a handler of local topics is kept, with the subscription that
/// causes its events.
fn whole_name(subscription: &str, name: &str) -> String {
    format!("{LOCAL_NAMES}{subscription}:{name}")
}

fn failure(class: FailureClass, code: &str, reason: String) -> Failure {
    let code = Some(code.to_owned());
    Failure { class, retry_after: None, reason, code, detail: String::new() }
}

fn stateless(causer: &str) -> Failure {
    let reason = format!(
        "it keeps state, which is kept with subscription {causer:?}; that may keep none: its \
         manifest needs state = true"
    );
    failure(FailureClass::Output, "E0125", reason)
}

/// The failure of an attempt, one of whose emissions was not handled.
fn within(topic: &str, subscription: &str, failure: Failure) -> Failure {
    let reason = format!("{subscription:?}, of local topic {topic:?}: {}", failure.reason);
    Failure { reason, ..failure }
}

/// What a handler of a local topic can see: its own state, kept with the subscription that causes
/// its events, under names that begin with `prefix`.
struct LocalWorld {
    beneath: AttemptWorld,
    prefix: String,
    /// What its runs before this one, within the same attempt, have written.
    writes: BTreeMap<String, StateValue>,
    depth: u32,
}

impl World for LocalWorld {
    fn check_emission(&mut self, emission: &Emission) -> Result<(), EmitError> {
        let topics = &self.beneath.shared.config.topics;
        if self.depth >= DEPTH_MAX && topics.is_local(&emission.topic) {
            return Err(EmitError::LimitReached(format!("{DEPTH_MAX} local events in a chain")));
        }
        self.beneath.check_emission(emission)
    }

    fn state_get(&mut self, name: &str) -> Result<Option<Bytes>, StateError> {
        let name = format!("{}{name}", self.prefix);
        match self.writes.get(&name) {
            Some(value) => Ok(bytes_at(value, self.beneath.now)),
            None => self.beneath.state_get(&name),
        }
    }

    fn state_names(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, StateError> {
        let prefix = format!("{}{prefix}", self.prefix);
        let after = after.map(|after| format!("{}{after}", self.prefix));
        let is_wanted = |name: &str| {
            name.starts_with(&prefix) && after.as_deref().is_none_or(|after| name > after)
        };
        let own = self.writes.iter().filter(|(name, _)| is_wanted(name));
        let own = own.map(|(name, it)| (name.clone(), is_alive(it, self.beneath.now))).collect();
        let names = overlaid(&own, limit, |limit| {
            self.beneath.state_names(&prefix, after.as_deref(), limit)
        })?;
        let own = names.iter().filter_map(|name| name.strip_prefix(&self.prefix));
        Ok(own.map(str::to_owned).collect())
    }

    fn timer_room(&mut self, _due_ms: u64) -> Result<(), TimerError> {
        Err(TimerError::LimitReached(0))
    }

    fn event_time(&self) -> u64 {
        self.beneath.event_time()
    }
}
