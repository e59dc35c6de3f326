//! Owns what is told of a replay: how far it came, and what came of its events. It decides nothing.

use std::collections::BTreeMap;

use gristmill_plugin_host::{Failure, TimerRequest};
use serde::Serialize;
use serde_json::{Value, json};

use super::range::{Range, Span};
use super::{Effects, ReplayError, State, Wanted};
use crate::envelope::{self, base64_encode, header, is_json};
use crate::worker::{Did, Emitted, Outcome, Ran};

/// Failures told in full.
const FAILURES_MAX: usize = 20;
/// Code of a request that was withheld.
const WITHHELD: &str = "E0349";

/// What a replay has done so far.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) subscription: String,
    pub(crate) topic: String,
    pub(crate) effects: Effects,
    pub(crate) state: State,
    pub(crate) status: Status,
    pub(crate) partitions: Vec<Span>,
    /// Offsets in the range; some may hold no event.
    pub(crate) total: u64,
    pub(crate) limit: u64,
    /// Events replayed.
    pub(crate) events: u64,
    /// Events handed to the subscription to be handled again.
    pub(crate) applied: u64,
    pub(crate) succeeded: u64,
    pub(crate) filtered: u64,
    pub(crate) duplicates: u64,
    /// Timers that fired, whatever came of them.
    pub(crate) timers_fired: u64,
    /// Events and timers whose attempts were used up, by class.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Events and timers whose handler asked for a request, which is not sent.
    pub(crate) unreplayable: u64,
    /// The first failures, with their reasons.
    pub(crate) failures: Vec<FailedEvent>,
    pub(crate) emitted: Vec<OfType>,
    /// Why it ended early.
    pub(crate) error: Option<Told>,
}

/// How a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Running,
    /// The whole range was replayed.
    Done,
    /// As many events as were allowed were replayed, and there are more.
    Limited,
    Cancelled,
    Failed,
}

/// An event or timer that was given up on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FailedEvent {
    partition: u32,
    /// Of the event; of a timer, of the event that it fired before.
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    timer: Option<String>,
    id: String,
    class: String,
    code: Option<String>,
    reason: String,
}

/// Emissions of one type to one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OfType {
    topic: String,
    #[serde(rename = "type")]
    kind: String,
    count: u64,
}

/// An error as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    code: String,
    message: String,
    hint: String,
}

/// What one event or timer does, to be shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Effect(pub(crate) Value);

impl Report {
    pub(super) fn new(subscription: &str, wanted: &Wanted, range: &Range) -> Self {
        Self {
            subscription: subscription.to_owned(),
            topic: range.topic.name.to_string(),
            effects: wanted.effects,
            state: wanted.state,
            status: Status::Running,
            partitions: range.spans.clone(),
            total: range.total(),
            limit: wanted.limit,
            events: 0,
            applied: 0,
            succeeded: 0,
            filtered: 0,
            duplicates: 0,
            timers_fired: 0,
            failed: BTreeMap::new(),
            unreplayable: 0,
            failures: Vec::new(),
            emitted: Vec::new(),
            error: None,
        }
    }

    /// Everything below `next` of a partition is replayed.
    pub(super) fn reach(&mut self, partition: u32, next: u64) {
        if let Some(span) = self.partitions.iter_mut().find(|it| it.partition == partition) {
            span.next = next;
        }
    }

    /// Counts what came of an event at a place, or of a timer before it.
    pub(super) fn count(&mut self, (partition, offset): (u32, u64), ran: &Ran) {
        let count = |number: &mut u64| *number = number.saturating_add(1);
        count(if ran.timer.is_some() { &mut self.timers_fired } else { &mut self.events });
        match &ran.outcome {
            Outcome::Filtered => count(&mut self.filtered),
            Outcome::Duplicate => count(&mut self.duplicates),
            Outcome::Succeeded(did) => {
                count(&mut self.succeeded);
                did.emissions.iter().for_each(|it| self.emit(it));
            }
            Outcome::Failed(failure) => {
                if failure.code.as_deref() == Some(WITHHELD) {
                    count(&mut self.unreplayable);
                } else {
                    let class = envelope::class_name(failure.class).to_owned();
                    count(self.failed.entry(class).or_default());
                }
                self.fail((partition, offset), ran, failure);
            }
        }
    }

    fn emit(&mut self, emitted: &Emitted) {
        let is_it = |it: &&mut OfType| it.topic == emitted.topic && it.kind == emitted.kind;
        match self.emitted.iter_mut().find(is_it) {
            Some(known) => known.count = known.count.saturating_add(1),
            None => self.emitted.push(OfType {
                topic: emitted.topic.clone(),
                kind: emitted.kind.clone(),
                count: 1,
            }),
        }
    }

    fn fail(&mut self, (partition, offset): (u32, u64), ran: &Ran, failure: &Failure) {
        if self.failures.len() == FAILURES_MAX {
            return;
        }
        self.failures.push(FailedEvent {
            partition,
            offset,
            timer: ran.timer.as_ref().map(|(name, _)| name.clone()),
            id: ran.id.to_string(),
            class: envelope::class_name(failure.class).to_owned(),
            code: failure.code.clone(),
            reason: failure.reason.clone(),
        });
    }
}

impl From<&ReplayError> for Told {
    fn from(error: &ReplayError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: crate::error::chain(error),
            hint: error.hint(),
        }
    }
}

impl Effect {
    /// What came of an event at a place, or of a timer before it.
    pub(super) fn of((topic, partition, offset): (&str, u32, u64), ran: &Ran) -> Self {
        let timer = ran.timer.as_ref();
        let mut shown = json!({
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "id": *ran.id,
            "type": *ran.kind,
            "key": text(&ran.key),
        });
        let mut add = |name: &str, value: Value| shown[name] = value;
        if let Some((name, due)) = timer {
            add("timer", json!({ "name": name, "due_ms": due.0 }));
        }
        match &ran.outcome {
            Outcome::Filtered => add("outcome", json!("filtered")),
            Outcome::Duplicate => add("outcome", json!("duplicate")),
            Outcome::Failed(failure) => {
                add("outcome", json!("failed"));
                add("class", json!(envelope::class_name(failure.class)));
                add("code", json!(failure.code));
                add("reason", json!(failure.reason));
            }
            Outcome::Succeeded(Did { emissions, state, timers }) => {
                add("outcome", json!("succeeded"));
                add("emitted", emissions.iter().map(emission).collect());
                let written = state.iter().map(|(name, value)| match value {
                    None => json!({ "name": name, "deleted": true }),
                    Some((value, expires)) => json!({
                        "name": name,
                        "value": content(value, None),
                        "expires_ms": expires.map(|at| at.0),
                    }),
                });
                add("state", written.collect());
                add("timers", timers.iter().map(timer_change).collect());
            }
        }
        Self(shown)
    }
}

fn emission(Emitted { topic, kind, stored }: &Emitted) -> Value {
    let id = header(&stored.headers, "ce_id").map(|id| text(id));
    let media = header(&stored.headers, "content-type").and_then(|it| std::str::from_utf8(it).ok());
    let payload = stored.payload.as_ref().map(|payload| content(payload, media));
    json!({
        "topic": topic,
        "id": id,
        "type": kind,
        "key": stored.key.as_deref().map(text),
        "payload": payload,
    })
}

fn timer_change(change: &TimerRequest) -> Value {
    match change {
        TimerRequest::Set { name, due_ms, payload } => {
            json!({ "name": name, "due_ms": due_ms, "payload": content(payload, None) })
        }
        TimerRequest::Cancel { name } => json!({ "name": name, "cancelled": true }),
    }
}

/// Bytes as JSON where they are, else as text, else as base64.
fn content(bytes: &[u8], media: Option<&str>) -> Value {
    let json = media.is_none_or(is_json).then(|| serde_json::from_slice(bytes).ok()).flatten();
    json.unwrap_or_else(|| text(bytes))
}

/// Bytes as text where they are, else as base64.
pub(crate) fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_no_text) => json!({ "base64": base64_encode(bytes) }),
    }
}
