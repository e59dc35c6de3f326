//! Turns an event's bytes into what the handler is given, and remembers what its emissions
//! inherit. It decides nothing.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use gristmill_engine::FailureClass;
use gristmill_plugin_host::{Event, Failure, Header, Request, Timer};
use gristmill_store::TimerRecord;
use serde::{Deserialize, Serialize};

use super::part::{Content, Held, Slot, Told};
use crate::binding::Binding;
use crate::envelope::{self, Decoded, Invalid, OriginBuf, TimerOrigin};

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

/// The request for attempt `number`, with what the event hands on noted in its slot.
///
/// # Errors
///
/// The failure of class `invalid`, when the envelope does not hold.
pub(super) fn request(
    binding: &Binding,
    partition: u32,
    slot: &mut Slot,
    number: u32,
) -> Result<Request, Failure> {
    let previous_error = slot.failure.as_ref().map(|failure| Arc::from(failure.reason.as_str()));
    let request = match &slot.content {
        Content::Timer(timer) => Request::Timer(timer_request(timer, partition)),
        Content::Record(held) => match &held.origin.timer {
            Some(timer) => Request::Timer(redriven_timer(held, timer)),
            None => Request::Event(event_request(binding, held)?),
        },
    };
    let (request, told) = match request {
        Request::Event(event) => {
            let told = Told {
                event_id: Arc::clone(&event.id),
                correlation_id: Arc::clone(&event.correlation_id),
                trace_parent: event.trace_parent.clone(),
            };
            (Request::Event(Event { attempt: number, previous_error, ..event }), told)
        }
        Request::Timer(timer) => {
            let told = Told {
                event_id: Arc::clone(&timer.set_by),
                correlation_id: Arc::clone(&timer.correlation_id),
                trace_parent: timer.trace_parent.clone(),
            };
            (Request::Timer(Timer { attempt: number, previous_error, ..timer }), told)
        }
    };
    slot.told = told;
    Ok(request)
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

fn event_request(binding: &Binding, held: &Held) -> Result<Event, Failure> {
    let decoded = envelope::decode(&binding.rules, &held.record()).map_err(|it| invalid(&it))?;
    let Decoded { identity, source, subject, time, correlation_id, causation_id, .. } = decoded;
    let OriginBuf { topic, partition, offset, .. } = &held.origin;
    let shared = |text: Option<Cow<'_, str>>| text.map(|text| Arc::<str>::from(&*text));
    let id: Arc<str> = Arc::from(&*identity.id);
    let begins_chain = correlation_id == identity.id;
    Ok(Event {
        correlation_id: if begins_chain { Arc::clone(&id) } else { Arc::from(&*correlation_id) },
        id,
        kind: Arc::from(&*identity.kind),
        version: shared(identity.version),
        source: Arc::from(&*source),
        subject: shared(subject),
        time_ms: time.0,
        topic: Arc::from(topic.as_str()),
        partition: *partition,
        offset: *offset,
        key: held.stored.key.clone(),
        payload: decoded.payload,
        tombstone: decoded.is_tombstone,
        headers: headers(&held.stored.headers),
        timestamp_ms: held.stored.timestamp.0,
        content_type: shared(decoded.content_type),
        causation_id: shared(causation_id),
        trace_parent: shared(decoded.trace_parent),
        tenant: shared(decoded.tenant),
        attempt: 0,
        previous_error: None,
    })
}

fn headers(headers: &[(String, Bytes)]) -> Arc<[Header]> {
    headers
        .iter()
        .map(|(name, value)| Header { name: Arc::from(name.as_str()), value: value.clone() })
        .collect()
}

fn timer_request(timer: &TimerRecord, partition: u32) -> Timer {
    let context = TimerContext::read(timer);
    Timer {
        name: Arc::from(timer.name.as_str()),
        key: timer.key.clone(),
        due_ms: timer.entry.due.0,
        payload: timer.payload.clone(),
        set_by: Arc::from(context.set_by),
        correlation_id: Arc::from(context.correlation_id),
        trace_parent: context.trace_parent.map(Arc::from),
        partition,
        attempt: 0,
        previous_error: None,
    }
}

/// A timer that was a dead letter comes back as a record of the redrive topic.
fn redriven_timer(held: &Held, timer: &TimerOrigin) -> Timer {
    let text = |name: &str| {
        let value = envelope::header(&held.stored.headers, name)?;
        std::str::from_utf8(value).ok().map(Arc::<str>::from)
    };
    let set_by = text(SET_BY).unwrap_or_default();
    Timer {
        name: Arc::from(timer.name.as_str()),
        key: held.stored.key.clone().unwrap_or_default(),
        due_ms: timer.due_ms,
        payload: held.stored.payload.clone().unwrap_or_default(),
        correlation_id: text(CORRELATION).unwrap_or_else(|| Arc::clone(&set_by)),
        set_by,
        trace_parent: text("traceparent"),
        partition: held.read_at.partition.0,
        attempt: 0,
        previous_error: None,
    }
}

/// Header of a dead-lettered timer's record: the event that set it.
pub(super) const SET_BY: &str = "ce_causationid";
/// Header of a dead-lettered timer's record: the correlation id it inherited.
pub(super) const CORRELATION: &str = "ce_correlationid";
