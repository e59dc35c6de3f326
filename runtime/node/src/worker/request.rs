//! Turns an event's bytes into what the handler is given. It decides nothing.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::FailureClass;
use gristmill_plugin_host::{Event, Failure, Handled, Request, Timer};
use gristmill_store::{Stored, TimerRecord};
use serde::{Deserialize, Serialize};

use super::part::{Content, Held, Slot};
use crate::binding::Binding;
use crate::encryption::Kept;
use crate::envelope::{
    self, Decoded, EnvelopeRules, Invalid, OriginBuf, Record, Slices, TimerOrigin,
};
use crate::schemas::{Away, Broken, Judged};
use crate::shared::Shared;

/// What a timer carries from the event that set it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TimerContext {
    pub(super) set_by: String,
    pub(super) correlation_id: String,
    pub(super) trace_parent: Option<String>,
    /// Place of the event that set it: a dead-lettered timer names it as its source.
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) offset: u64,
}

impl TimerContext {
    /// The context of a timer record; an unreadable one is empty rather than an error, because
    /// the timer itself must still fire.
    pub(super) fn read(timer: &TimerRecord) -> Self {
        serde_json::from_slice(&timer.context).unwrap_or_else(|error| {
            tracing::warn!(timer = timer.name, %error, "a timer's context cannot be read");
            Self {
                set_by: String::new(),
                correlation_id: String::new(),
                trace_parent: None,
                topic: String::new(),
                partition: 0,
                offset: 0,
            }
        })
    }

    /// The context as a timer record keeps it.
    pub(super) fn to_bytes(&self) -> Bytes {
        // Strings and numbers always have a JSON form.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// The request for attempt `number`. What it handles was made when the event was read; it is made
/// again where another version reads it.
///
/// # Errors
///
/// The failure of class `invalid`, when the envelope does not hold.
pub(super) fn request(
    (shared, binding): (&Shared, &Binding),
    partition: u32,
    slot: &mut Slot,
    number: u32,
) -> Result<Request, Failure> {
    let handled = match &slot.handled {
        Some((version, handled)) if *version == binding.version => handled.clone(),
        _ => {
            let handled = handled((shared, binding), partition, &slot.content)?;
            slot.handled = Some((binding.version, handled.clone()));
            handled
        }
    };
    let previous_error = slot.failure.as_ref().map(|failure| failure.reason.as_str().into());
    Ok(Request { handled, attempt: number, previous_error, span: None })
}

fn handled(
    (shared, binding): (&Shared, &Binding),
    partition: u32,
    content: &Content,
) -> Result<Handled, Failure> {
    let held = match content {
        Content::Timer(timer) => {
            return Ok(Handled::Timer(Arc::new(timer_request(timer, partition))));
        }
        Content::Record(held) => held,
    };
    if let Some(timer) = &held.origin.timer {
        return Ok(Handled::Timer(Arc::new(redriven_timer(held, timer))));
    }
    let decoded = envelope::decode(&binding.rules, &held.record()).map_err(|it| invalid(&it))?;
    judged((shared, binding), held, decoded).map_err(|broken| match broken {
        Broken::Invalid(it) => invalid(&it),
        Broken::Away(it) => away(it),
    })
}

/// The failure of an event whose schema is not here.
pub(super) fn away(Away { code, reason }: Away) -> Failure {
    Failure {
        class: FailureClass::Infrastructure,
        retry_after: None,
        reason,
        code: Some(code.to_owned()),
        detail: String::new(),
    }
}

/// The failure of an event whose envelope does not hold.
pub(super) fn invalid(invalid: &Invalid) -> Failure {
    Failure {
        class: FailureClass::Invalid,
        retry_after: None,
        reason: invalid.violations.join("; "),
        code: Some(invalid.code.to_owned()),
        detail: String::new(),
    }
}

/// The event as its handler is given it, if its schema says nothing against that: with the fields
/// in the clear that it may see.
pub(super) fn judged(
    (shared, binding): (&Shared, &Binding),
    held: &Held,
    mut decoded: Decoded<'_>,
) -> Result<Handled, Broken> {
    let (topics, rules) = (&shared.config.topics, &binding.rules);
    // What is local was judged when it was emitted, and is not written as anything else. What is
    // taken raw is taken as it is, whatever it wears: its type is not known.
    let is_judged = !rules.is_raw() && !topics.is_local(&held.origin.topic);
    if !decoded.is_tombstone && is_judged {
        let judged = Judged {
            topic: &held.origin.topic,
            kind: &decoded.identity.kind,
            version: decoded.identity.version.as_deref(),
            payload: rules.published(&held.stored, &decoded.payload),
        };
        if let Some(json) = shared.schemas.read(judged, &shared.encryption)? {
            decoded.payload = json;
            decoded.content_type = Some(Cow::Owned("application/json".to_owned()));
        }
    }
    if shared.encryption.is_of(&held.origin.topic) {
        let (topic, kind) = (&held.origin.topic, &decoded.identity.kind);
        let payload = rules.published(&held.stored, &decoded.payload);
        let kept = Kept { topic, kind, payload };
        if let Some(seen) = shared.encryption.seen(kept, &binding.config.grants.decrypt)? {
            decoded.payload = data_of(rules, held, seen)?;
        }
    }
    Ok(event(shared, held, decoded))
}

/// The data of an event that was published as `seen`, but for fields that were opened or sealed.
fn data_of(rules: &EnvelopeRules, held: &Held, seen: Bytes) -> Result<Bytes, Broken> {
    if !rules.is_json() {
        return Ok(seen);
    }
    let stored = Stored { payload: Some(seen), ..held.stored.clone() };
    let record = Record { stored: &stored, ..held.record() };
    envelope::decode(rules, &record).map(|it| it.payload).map_err(Broken::Invalid)
}

/// The event as it was decoded.
fn event(host: &Shared, held: &Held, decoded: Decoded<'_>) -> Handled {
    let names = &host.config.topics.names;
    let Decoded { identity, source, subject, time, correlation_id, causation_id, .. } = &decoded;
    let OriginBuf { topic, partition, offset, .. } = &held.origin;
    let slices = Slices::of(topic, &held.stored);
    let shared = |text: &Cow<'_, str>| slices.text(text);
    let id = shared(&identity.id);
    let begins_chain = *correlation_id == identity.id;
    let given = decoded.trace_parent.as_ref().map(shared);
    let trace_parent = host.trace_of((&held.origin, correlation_id), given);
    Handled::Event(Arc::new(Event {
        correlation_id: if begins_chain { id.clone() } else { shared(correlation_id) },
        id,
        kind: shared(&identity.kind),
        version: identity.version.as_ref().map(shared),
        source: shared(source),
        subject: subject.as_ref().map(shared),
        time_ms: time.0,
        topic: if names.differ() { names.own(topic).into() } else { topic.clone() },
        partition: *partition,
        offset: *offset,
        key: held.stored.key.clone(),
        tombstone: decoded.is_tombstone,
        headers: Arc::clone(&held.stored.headers),
        timestamp_ms: held.stored.timestamp.0,
        content_type: decoded.content_type.as_ref().map(shared),
        causation_id: causation_id.as_ref().map(shared),
        trace_parent,
        tenant: decoded.tenant.as_ref().map(shared),
        payload: decoded.payload,
    }))
}

fn timer_request(timer: &TimerRecord, partition: u32) -> Timer {
    let context = TimerContext::read(timer);
    Timer {
        name: timer.name.as_str().into(),
        key: timer.key.clone(),
        due_ms: timer.entry.due.0,
        payload: timer.payload.clone(),
        set_by: context.set_by.into(),
        correlation_id: context.correlation_id.into(),
        trace_parent: context.trace_parent.map(Into::into),
        partition,
    }
}

/// A timer that was a dead letter comes back as a record of the redrive topic.
fn redriven_timer(held: &Held, timer: &TimerOrigin) -> Timer {
    let text = |name: &str| {
        let value = envelope::header(&held.stored.headers, name)?;
        ByteString::try_from(value.clone()).ok()
    };
    let set_by = text(SET_BY).unwrap_or_default();
    Timer {
        name: timer.name.as_str().into(),
        key: held.stored.key.clone().unwrap_or_default(),
        due_ms: timer.due_ms,
        payload: held.stored.payload.clone().unwrap_or_default(),
        correlation_id: text(CORRELATION).unwrap_or_else(|| set_by.clone()),
        set_by,
        trace_parent: text("traceparent"),
        partition: held.read_at.partition.0,
    }
}

/// Header of a dead-lettered timer's record: the event that set it.
pub(super) const SET_BY: &str = "ce_causationid";
/// Header of a dead-lettered timer's record: the correlation id it inherited.
pub(super) const CORRELATION: &str = "ce_correlationid";
