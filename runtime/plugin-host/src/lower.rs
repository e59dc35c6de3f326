//! Owns the step from our requests to the contract's types. It borrows everything: bytes are
//! copied once, into the guest's memory.

use crate::{
    Event, Header, Request, Timer,
    bindings::gristmill::plugin::types::{self, HeaderParam},
};

/// Borrows the headers of an event.
pub(crate) fn headers(headers: &[Header]) -> Vec<HeaderParam<'_>> {
    headers.iter().map(|(name, value)| HeaderParam { name, value }).collect()
}

/// Borrows an event, with its headers as [`headers`] gave them.
pub(crate) fn event<'a>(
    event: &'a Event,
    headers: &'a [HeaderParam<'a>],
    request: &'a Request,
) -> types::Event<'a> {
    types::Event {
        id: &event.id,
        type_: &event.kind,
        version: event.version.as_deref(),
        source: &event.source,
        subject: event.subject.as_deref(),
        time: event.time_ms,
        topic: &event.topic,
        partition: event.partition,
        offset: event.offset,
        key: event.key.as_deref(),
        payload: &event.payload,
        tombstone: event.tombstone,
        headers,
        timestamp: event.timestamp_ms,
        content_type: event.content_type.as_deref(),
        correlation_id: &event.correlation_id,
        causation_id: event.causation_id.as_deref(),
        trace_parent: event.trace_parent.as_deref(),
        tenant: event.tenant.as_deref(),
        attempt: request.attempt,
        previous_error: request.previous_error.as_deref(),
    }
}

/// Borrows a timer.
pub(crate) fn timer<'a>(timer: &'a Timer, request: &'a Request) -> types::Timer<'a> {
    types::Timer {
        name: &timer.name,
        key: &timer.key,
        due: timer.due_ms,
        payload: &timer.payload,
        set_by: &timer.set_by,
        correlation_id: &timer.correlation_id,
        trace_parent: timer.trace_parent.as_deref(),
        partition: timer.partition,
        attempt: request.attempt,
        previous_error: request.previous_error.as_deref(),
    }
}
