//! Writes the dead letter of an event the engine gave up on. Which events those are is decided
//! there; this only says everything that is known about it.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::{EventRef, FailureClass, Instant, PartitionId};
use gristmill_plugin_host::Failure;
use gristmill_store::{Append, Header, TimerRecord};

use super::Worker;
use super::filling::Cause;
use super::part::{Content, Held, Slot};
use super::request::{CORRELATION, SET_BY, TimerContext};
use super::stage::Place;
use crate::Error;
use crate::binding::{Binding, Destination};
use crate::envelope::{self, DeadLetter, Origin};

/// What the engine knows of how an event died.
#[derive(Debug, Clone, Copy)]
pub(super) struct Death {
    pub(super) class: FailureClass,
    pub(super) attempts: u32,
    pub(super) first_failure: Instant,
    pub(super) last_failure: Instant,
}

impl Worker {
    /// Stages the dead letter of `event`; nothing where the subscription has none.
    pub(super) fn dead_letter(
        &mut self,
        place: Place,
        event: EventRef,
        death: Death,
    ) -> Result<(), Error> {
        let Some(part) = self.parts.get(&place) else {
            return Err(Error::broken("a dead letter in a partition that is not assigned"));
        };
        let Some(slot) = part.slots.get(&event) else {
            return Err(Error::broken("a dead letter of an event whose bytes are gone"));
        };
        let binding = &part.binding;
        let Some(topic) = letters_of(binding, &slot.content) else { return Ok(()) };
        let mut append = compose(binding, slot, death, (&binding.group, topic));
        if self.is_letter_refused(place, event) || self.is_letter_too_large(&append) {
            drop_payload(&mut append);
        }
        tracing::debug!(subscription = %binding.name, class = ?death.class, "event dead-lettered");
        self.stage_append(Cause { place, event, is_letter: true }, append);
        Ok(())
    }

    /// Whether its topic is known to take less than the payload of a dead letter.
    fn is_letter_too_large(&self, append: &Append) -> bool {
        let Some(payload) = &append.payload else { return false };
        let Some(topic) = self.shared.broker.topic_by_id(append.topic) else { return false };
        self.shared.broker.exceeded_limit(&topic.name, payload.len()).is_some()
    }
}

/// Leaves out what made a dead letter too large for its topic, and says so: its place in the
/// topic it came from is told, and the event may still be there.
fn drop_payload(append: &mut Append) {
    let dropped = append.payload.take().map_or(0, |payload| payload.len());
    append.headers.retain(|(name, _)| &**name != "dlq-error-detail");
    let size = Bytes::from(dropped.to_string());
    append.headers.push((ByteString::from_static("dlq-payload-dropped-bytes"), size));
}

/// The dead-letter topic of the topic an event first came from.
fn letters_of(binding: &Binding, content: &Content) -> Option<Destination> {
    let name = match content {
        Content::Record(held) => held.origin.topic.clone(),
        Content::Timer(timer) => TimerContext::read(timer).topic.into(),
    };
    let source = binding.sources.iter().find(|source| source.name == name);
    // An event of a topic the subscription no longer reads goes with those of its first topic.
    source.or_else(|| binding.sources.first())?.dead_letters
}

/// What of a dead letter depends on what the event was: a record or a timer.
struct Remains<'a> {
    origin: Origin<'a>,
    timer: Option<(&'a str, Instant)>,
    event_id: String,
    timestamp: Instant,
    key: Option<Bytes>,
    headers: Arc<[Header]>,
    payload: Option<Bytes>,
}

fn compose(
    binding: &Binding,
    slot: &Slot,
    death: Death,
    (group, topic): (&str, Destination),
) -> Append {
    let context;
    let remains = match &slot.content {
        Content::Record(held) => of_record(binding, slot, held),
        Content::Timer(timer) => {
            context = TimerContext::read(timer);
            of_timer(timer, &context)
        }
    };
    let unknown = Failure {
        class: death.class,
        retry_after: None,
        reason: reason_without_attempt(death.class).to_owned(),
        code: None,
        detail: String::new(),
    };
    let failure = slot.failure.as_ref().unwrap_or(&unknown);
    let letter = DeadLetter {
        subscription: &binding.name,
        plugin: &binding.plugin_name,
        digest: binding.plugin.digest(),
        group,
        class: death.class,
        code: failure.code.as_deref(),
        message: &failure.reason,
        detail: &failure.detail,
        attempts: death.attempts,
        first_failure: death.first_failure,
        last_failure: death.last_failure,
        event_id: &remains.event_id,
        trace_parent: slot.handled.as_ref().and_then(|(_, it)| it.trace_parent()).map(|it| &**it),
        origin: remains.origin,
        timer: remains.timer,
    };
    let partition = remains.origin.partition.checked_rem(topic.partitions).unwrap_or(0);
    Append {
        topic: topic.topic,
        partition: PartitionId(partition),
        timestamp: remains.timestamp,
        headers: letter.headers(&remains.headers),
        key: remains.key,
        payload: remains.payload,
    }
}

fn of_record<'a>(binding: &Binding, slot: &Slot, held: &'a Held) -> Remains<'a> {
    let timer = held.origin.timer.as_ref();
    Remains {
        origin: Origin {
            topic: &held.origin.topic,
            partition: held.origin.partition,
            offset: held.origin.offset,
        },
        timer: timer.map(|timer| (timer.name.as_str(), Instant(timer.due_ms))),
        event_id: event_id(binding, slot, held),
        timestamp: held.stored.timestamp,
        key: held.stored.key.clone(),
        headers: Arc::clone(&held.stored.headers),
        payload: held.stored.payload.clone(),
    }
}

fn of_timer<'a>(timer: &'a TimerRecord, context: &'a TimerContext) -> Remains<'a> {
    Remains {
        origin: Origin {
            topic: &context.topic,
            partition: context.partition,
            offset: context.offset,
        },
        timer: Some((timer.name.as_str(), timer.entry.due)),
        event_id: context.set_by.clone(),
        timestamp: timer.entry.due,
        key: Some(timer.key.clone()),
        headers: timer_headers(context),
        payload: Some(timer.payload.clone()),
    }
}

/// The event's id: known from its call, else read from the envelope, else made from its place.
fn event_id(binding: &Binding, slot: &Slot, held: &Held) -> String {
    if let Some((_, handled)) = &slot.handled {
        return handled.id().to_string();
    }
    match envelope::identify(&binding.rules, &held.record()) {
        Ok(identity) => identity.id.into_owned(),
        Err(_invalid) => {
            let origin = &held.origin;
            format!("{}/{}/{}", origin.topic, origin.partition, origin.offset)
        }
    }
}

/// What a timer inherited, as headers: its dead letter has no record to take them from.
fn timer_headers(context: &TimerContext) -> Arc<[Header]> {
    let text = |name: &'static str, value: &str| {
        (ByteString::from_static(name), Bytes::copy_from_slice(value.as_bytes()))
    };
    let mut headers =
        vec![text(SET_BY, &context.set_by), text(CORRELATION, &context.correlation_id)];
    if let Some(parent) = &context.trace_parent {
        headers.push(text("traceparent", parent));
    }
    headers.into()
}

/// Why an event that was never attempted was given up on.
fn reason_without_attempt(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Invalid => "the event has no key, and the subscription keeps state per key",
        FailureClass::Retryable
        | FailureClass::Rejected
        | FailureClass::Output
        | FailureClass::Trap
        | FailureClass::Timeout
        | FailureClass::Memory
        | FailureClass::Infrastructure => "the attempts before the host's last restart failed",
    }
}
