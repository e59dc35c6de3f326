//! Decides what a step delivers and how its outcome is written down. It compares nothing.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_config::{Clock, Format, Manifest, Pointer, Secret, SubscriptionConfig};
use gristmill_plugin_host::{
    Effects, Event, Failure, Finished, Grants, Handled, Limits, Plugin, Request, Runner,
    RunnerSettings, Runtime, StateChange, Timer, TimerRequest,
};
use serde_json::{Map, Value, json};

use super::{
    steps::{EventStep, Moment, Step},
    value,
    world::{Lane, Memory, Setter, View},
};
use crate::problem::Problem;

/// Time of the first event of a file that says none: 2026-01-01T12:00:00Z.
const START: Moment = Moment(1_767_268_800_000);

/// Timers one `advance` may fire: a handler that sets its timer again at once never ends.
const FIRED_MAX: usize = 10_000;

/// What is tested.
pub(super) struct Target<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) plugin: &'a Plugin,
    pub(super) manifest: &'a Manifest,
}

/// The steps of one case on their way.
struct Case<'a> {
    target: &'a Target<'a>,
    tokio: tokio::runtime::Runtime,
    memory: Memory,
    offsets: BTreeMap<(String, u32), u64>,
    now: Moment,
    outcomes: Vec<Value>,
}

/// Runs steps in order over an empty world and writes down what happened.
///
/// # Errors
///
/// E0511 for a step that no subscription takes, E0509 when the machine refuses a thread.
pub(super) fn run(steps: &[Step], target: &Target<'_>) -> anyhow::Result<Value> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let tokio =
        tokio.map_err(|source| Problem::environment("E0509", "start the test").source(source))?;
    let mut case = Case {
        target,
        tokio,
        memory: Memory::default(),
        offsets: BTreeMap::new(),
        now: START,
        outcomes: Vec::new(),
    };
    for step in steps {
        case.step(step)?;
    }
    let (state, timers) = left(&case.memory);
    Ok(json!({ "steps": case.outcomes, "state": state, "timers": timers }))
}

impl Case<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Problem> {
        match step {
            Step::Event(step) => self.deliver(step),
            Step::Fire(step) => {
                let key = value::read_text(&step.key);
                if self.fire(&key, &step.fire)? {
                    return Ok(());
                }
                let what = format!("fire timer {:?} of key {}: it is not set", step.fire, step.key);
                Err(Problem::failed("E0511", what))
            }
            Step::Advance(step) => {
                self.now = self.now.max(step.advance);
                for _ in 0..FIRED_MAX {
                    let Some((key, name)) = self.memory.next_due(step.advance.0) else {
                        return Ok(());
                    };
                    self.fire(&key, &name)?;
                }
                let what = format!("fire all timers until {}", step.advance.text());
                Err(Problem::failed("E0511", format!("{what}: over {FIRED_MAX} came due")))
            }
        }
    }

    fn deliver(&mut self, step: &EventStep) -> Result<(), Problem> {
        let reads = |subscription: &&SubscriptionConfig| subscription.reads(&step.topic);
        let manifest = self.target.manifest;
        let Some(subscription) = manifest.subscriptions.iter().find(reads) else {
            let what = format!("deliver an event of {:?}: no subscription reads it", step.topic);
            return Err(Problem::usage("E0511", what).hint(format!("see {}", manifest.file)));
        };
        let event = self.event(step, subscription);
        self.now = Moment(event.timestamp_ms);
        let label = json!({ "event": &*event.id, "topic": &*event.topic });
        let header = |name: &str| {
            event.headers.iter().find(|(other, _)| &**other == name).map(|(_, value)| &**value)
        };
        if !subscription.filter.accepts(&event.kind, event.version.as_deref(), header) {
            self.record(label, json!({ "outcome": "filtered" }));
            return Ok(());
        }
        if subscription.stateful() && event.key.is_none() {
            self.record(label, json!({ "outcome": "invalid", "reason": "the event has no key" }));
            return Ok(());
        }
        let setter = Setter {
            id: event.id.clone(),
            correlation_id: event.correlation_id.clone(),
            partition: event.partition,
            time_ms: event.timestamp_ms,
        };
        let key = event.key.as_deref().unwrap_or_default().to_vec();
        let lane = (subscription.name.clone(), key);
        let request = Request {
            span: None,
            handled: Handled::Event(Arc::new(event)),
            attempt: step.attempt.unwrap_or(1),
            previous_error: step.previous_error.as_deref().map(ByteString::from),
        };
        self.attempt(subscription, &lane, (request, setter), label)?;
        Ok(())
    }

    /// Fires a timer; says whether there is one. A step is one attempt: a timer whose handler
    /// fails is over, as an event is.
    fn fire(&mut self, key: &[u8], name: &str) -> Result<bool, Problem> {
        let Some((lane, timer)) = self.memory.take_timer(key, name) else {
            return Ok(false);
        };
        let manifest = self.target.manifest;
        let owner = |subscription: &&SubscriptionConfig| subscription.name == lane.0;
        let Some(subscription) = manifest.subscriptions.iter().find(owner) else {
            return Ok(false);
        };
        let request = Request::first(Handled::Timer(Arc::new(Timer {
            name: name.into(),
            key: Bytes::copy_from_slice(key),
            due_ms: timer.due_ms,
            payload: timer.payload.clone(),
            set_by: timer.set_by.clone(),
            correlation_id: timer.correlation_id.clone(),
            trace_parent: None,
            partition: timer.partition,
        })));
        let setter = Setter {
            id: timer.set_by,
            correlation_id: timer.correlation_id,
            partition: timer.partition,
            time_ms: timer.due_ms,
        };
        let due = Moment(timer.due_ms).text();
        let label = json!({ "timer": name, "key": value::show_text(key), "due": due });
        self.attempt(subscription, &lane, (request, setter), label)?;
        Ok(true)
    }

    fn attempt(
        &mut self,
        subscription: &SubscriptionConfig,
        lane: &Lane,
        (request, setter): (Request, Setter),
        label: Value,
    ) -> Result<(), Problem> {
        let settings = settings(self.target.manifest, subscription);
        let runner = Runner::new(self.target.runtime, self.target.plugin, settings);
        let runner = runner.map_err(|error| {
            Problem::usage(error.code(), "start the plugin").hint(error.hint()).source(error)
        })?;
        let view = View {
            memory: self.memory.clone(),
            lane: lane.clone(),
            grants: subscription.grants.clone(),
            time_ms: setter.time_ms,
        };
        let Finished { result, .. } = self.tokio.block_on(runner.call(request, Box::new(view)));
        match result {
            Ok(effects) => {
                self.memory.apply(lane, &effects, &setter);
                self.record(label, show_effects(&effects));
            }
            Err(failure) => self.record(label, show_failure(&failure)),
        }
        Ok(())
    }

    fn record(&mut self, mut label: Value, outcome: Value) {
        if let (Value::Object(label), Value::Object(outcome)) = (&mut label, outcome) {
            label.extend(outcome);
        }
        self.outcomes.push(label);
    }

    /// The event a handler sees. Of envelopes it reads JSON ones by their pointers; any other
    /// field is given in the file.
    fn event(&mut self, step: &EventStep, subscription: &SubscriptionConfig) -> Event {
        let partition = step.partition.unwrap_or(0);
        let next = self.offsets.entry((step.topic.clone(), partition)).or_default();
        let offset = step.offset.unwrap_or(*next);
        *next = offset.saturating_add(1);
        let is_json = subscription.envelope.format == Format::Json;
        let whole = step.payload.as_ref().filter(|_| is_json);
        let fields = &subscription.envelope.fields;
        let pick = |given: &Option<String>, pointers: &[Pointer]| {
            given.clone().or_else(|| scalar(found(whole, pointers)?)).map(ByteString::from)
        };
        let timestamp = step.timestamp.unwrap_or(self.now);
        let envelope_time = scalar_time(found(whole, &fields.time));
        let id: Option<ByteString> = pick(&step.id, &fields.id);
        let id = id.unwrap_or_else(|| format!("{}:{partition}:{offset}", step.topic).into());
        let topic: ByteString = step.topic.as_str().into();
        let data = found(whole, &fields.data).or(step.payload.as_ref());
        let header = |(name, value): (&String, &Value)| {
            (name.as_str().into(), value::read_text(value).into())
        };
        Event {
            kind: pick(&step.kind, &fields.kind).unwrap_or_else(|| topic.clone()),
            version: pick(&step.version, &fields.version),
            source: pick(&step.source, &fields.source).unwrap_or_else(|| topic.clone()),
            subject: pick(&step.subject, &fields.subject),
            time_ms: step.time.or(envelope_time).unwrap_or(timestamp).0,
            topic,
            partition,
            offset,
            key: step.key.as_ref().map(|key| value::read_text(key).into()),
            payload: data.map(value::read).unwrap_or_default().into(),
            tombstone: step.payload.is_none(),
            headers: step.headers.iter().map(header).collect(),
            timestamp_ms: timestamp.0,
            content_type: step.content_type.as_deref().map(ByteString::from),
            correlation_id: pick(&step.correlation_id, &fields.correlation)
                .unwrap_or_else(|| id.clone()),
            causation_id: pick(&step.causation_id, &fields.causation),
            trace_parent: step.trace_parent.as_deref().map(ByteString::from),
            tenant: pick(&step.tenant, &fields.tenant),
            id,
        }
    }
}

fn found<'a>(whole: Option<&'a Value>, pointers: &[Pointer]) -> Option<&'a Value> {
    let mut values = pointers.iter().filter_map(|pointer| whole?.pointer(pointer.as_str()));
    values.find(|value| !value.is_null())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn scalar_time(value: Option<&Value>) -> Option<Moment> {
    let value = value?;
    value.as_u64().map(Moment).or_else(|| Moment::parse(value.as_str()?))
}

fn settings(manifest: &Manifest, subscription: &SubscriptionConfig) -> RunnerSettings {
    let limits = &subscription.limits;
    let config = subscription.grants.config.iter().filter_map(|(name, value)| {
        // A test has no secrets: what a file would give is not there.
        let Secret::Text(value) = value else { return None };
        Some((name.clone(), value.clone()))
    });
    RunnerSettings {
        plugin: manifest.name.as_str().into(),
        subscription: subscription.name.as_str().into(),
        limits: Limits {
            memory_bytes: limits.memory.0,
            timeout: std::time::Duration::from_millis(limits.attempt_timeout.0),
            emissions: limits.emissions,
            emitted_bytes: limits.emitted_bytes.0,
            value_bytes: limits.value_bytes.0,
            log_bytes: limits.log_bytes.0,
            ..Limits::default()
        },
        config: config.collect(),
        grants: Grants {
            state: subscription.grants.state,
            timers: subscription.grants.timers,
            wall_clock: subscription.grants.clock == Clock::Wall,
        },
        // What a test needs from elsewhere would make it depend on that.
        http: gristmill_plugin_host::HttpGrants::default(),
    }
}

fn show_failure(failure: &Failure) -> Value {
    let class = format!("{:?}", failure.class).to_lowercase();
    let mut shown = json!({ "outcome": class, "reason": failure.reason });
    set(&mut shown, "code", failure.code.clone().map(Value::from));
    set(&mut shown, "retryAfterMs", failure.retry_after.map(|delay| delay.0.into()));
    shown
}

fn show_effects(effects: &Effects) -> Value {
    let mut shown = json!({ "outcome": "ok" });
    let emissions: Vec<Value> = effects.emissions.iter().map(show_emission).collect();
    set(&mut shown, "emissions", (!emissions.is_empty()).then(|| emissions.into()));
    let state: Map<String, Value> = effects
        .state
        .iter()
        .map(|change| match change {
            StateChange::Set { name, value, ttl_ms: None } => (name.clone(), value::show(value)),
            StateChange::Set { name, value, ttl_ms } => {
                (name.clone(), json!({ "value": value::show(value), "ttlMs": ttl_ms }))
            }
            StateChange::Delete { name } => (name.clone(), Value::Null),
        })
        .collect();
    set(&mut shown, "state", (!state.is_empty()).then(|| state.into()));
    let timers = effects.timers.iter().map(|request| match request {
        TimerRequest::Set { name, due_ms, payload } => {
            json!({ "set": name, "due": Moment(*due_ms).text(), "payload": value::show(payload) })
        }
        TimerRequest::Cancel { name } => json!({ "cancel": name }),
    });
    let timers: Vec<Value> = timers.collect();
    set(&mut shown, "timers", (!timers.is_empty()).then(|| timers.into()));
    shown
}

fn show_emission(emission: &gristmill_plugin_host::Emission) -> Value {
    let mut shown = json!({ "topic": emission.topic, "type": emission.kind });
    set(&mut shown, "key", emission.key.as_ref().map(|key| value::show_text(key)));
    set(&mut shown, "version", emission.version.clone().map(Value::from));
    set(&mut shown, "subject", emission.subject.clone().map(Value::from));
    set(&mut shown, "contentType", emission.content_type.clone().map(Value::from));
    set(&mut shown, "correlationId", emission.correlation_id.clone().map(Value::from));
    let headers: Map<String, Value> = emission
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value::show_text(value)))
        .collect();
    set(&mut shown, "headers", (!headers.is_empty()).then(|| headers.into()));
    set(&mut shown, "payload", Some(value::show(&emission.payload)));
    shown
}

fn set(object: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value);
    }
}

/// The state and the timers that are left, by subscription and key.
fn left(memory: &Memory) -> (Value, Value) {
    let kept = memory.kept();
    let mut state = Map::new();
    for ((subscription, key), values) in &kept.state {
        let values: Map<String, Value> =
            values.iter().map(|(name, value)| (name.clone(), value::show(&value.bytes))).collect();
        state.insert(lane_name(subscription, key), values.into());
    }
    let mut timers = Map::new();
    for ((subscription, key), set) in kept.timers.iter().filter(|(_, set)| !set.is_empty()) {
        let set: Map<String, Value> = set
            .iter()
            .map(|(name, timer)| (name.clone(), Moment(timer.due_ms).text().into()))
            .collect();
        timers.insert(lane_name(subscription, key), set.into());
    }
    (state.into(), timers.into())
}

fn lane_name(subscription: &str, key: &[u8]) -> String {
    format!("{subscription}/{}", String::from_utf8_lossy(key))
}
