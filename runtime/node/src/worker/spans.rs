//! Makes the spans of a worker's attempts and emissions, and keeps those of emissions until they
//! are durable. It decides nothing.

use std::collections::VecDeque;

use gristmill_engine::CheckpointId;
use gristmill_plugin_host::Handled;
use gristmill_store::Append;
use gristmill_telemetry::{Span, SpanIds, TraceContext, now_ns};

use super::Worker;
use super::attempts::Invocation;
use super::local::Ran;
use super::part::Content;
use crate::binding::Binding;
use crate::telemetry::{self, Attempted};

/// Spans handed over at once, while a worker has no time to rest.
const READY_MAX: usize = 256;

/// Spans of one worker.
#[derive(Debug, Default)]
pub(super) struct Spans {
    ids: SpanIds,
    /// Over, and not handed over yet.
    ready: Vec<Span>,
    /// Of what the filling checkpoint publishes.
    filling: Vec<Span>,
    committing: VecDeque<(CheckpointId, Vec<Span>)>,
}

/// An attempt's own span, and the one it is within.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    pub(super) context: TraceContext,
    parent: TraceContext,
}

impl Spans {
    /// Where an attempt that begins stands, for whomever it calls; and its span, where its trace is
    /// told of.
    pub(super) fn begin(&mut self, handled: &Handled) -> (TraceContext, Option<Own>) {
        let parent = handled.trace_parent().and_then(|it| TraceContext::parse(it));
        let Some(parent) = parent else { return (TraceContext::untold(&mut self.ids), None) };
        let context = parent.at(self.ids.next_id());
        (context, parent.is_sampled().then_some(Own { context, parent }))
    }

    /// An event is published with the filling checkpoint.
    pub(super) fn stage(&mut self, span: Span) {
        self.filling.push(span);
    }

    /// What was staged belongs to `checkpoint`; what follows belongs to the next.
    pub(super) fn close(&mut self, checkpoint: CheckpointId) {
        if !self.filling.is_empty() {
            self.committing.push_back((checkpoint, std::mem::take(&mut self.filling)));
        }
    }

    /// `checkpoint`, and those before it, are durable: what they publish is published now.
    pub(super) fn committed(&mut self, checkpoint: CheckpointId) {
        let now = now_ns();
        while self.committing.front().is_some_and(|(id, _)| *id <= checkpoint) {
            let Some((_, mut spans)) = self.committing.pop_front() else { return };
            for span in &mut spans {
                span.ended_ns = now;
            }
            self.ready.append(&mut spans);
        }
    }

    /// What `checkpoint` and the filling one were to publish is not published.
    pub(super) fn drop(&mut self, checkpoint: CheckpointId) {
        self.committing.retain(|(id, _)| *id != checkpoint);
        self.filling.clear();
    }
}

impl Worker {
    /// An attempt ended that has a span of its own.
    pub(super) fn tell_attempt(
        &mut self,
        own: Own,
        (invocation, binding): (&Invocation, &Binding),
        ran: &mut Ran,
    ) {
        let Some(spans) = &mut self.spans else { return };
        spans.ready.append(&mut ran.finished.calls);
        spans.ready.append(&mut ran.spans);
        let place = (invocation.subscription, invocation.partition);
        let slot = self.parts.get(&place).and_then(|part| part.slots.get(&invocation.event));
        let Some(slot) = slot else { return };
        let Some((_, handled)) = &slot.handled else { return };
        let origin = match &slot.content {
            Content::Record(held) => Some(&held.origin),
            Content::Timer(_) => None,
        };
        let attempted = Attempted {
            context: own.context,
            parent: own.parent.parent(),
            system: self.shared.telemetry.system(),
            binding,
            handled,
            origin,
            number: invocation.number,
        };
        spans.ready.push(telemetry::attempt(attempted, (&ran.finished).into()));
        if spans.ready.len() >= READY_MAX {
            self.shared.telemetry.put(&mut spans.ready);
        }
    }

    /// An event is staged that no handler emitted: a dead letter, or one that is passed on. It
    /// keeps the trace context it came with.
    pub(super) fn trace_append(&mut self, append: &Append) {
        let Some(spans) = &mut self.spans else { return };
        let Some(topic) = self.shared.broker.topic_by_id(append.topic) else { return };
        let system = self.shared.telemetry.system();
        let own = |parent: TraceContext| parent.at(spans.ids.next_id());
        if let Some(span) = telemetry::passed_on(append, &topic.name, system, own) {
            spans.stage(span);
        }
    }

    /// Hands over what is known of what happened.
    pub(super) fn tell_spans(&mut self) {
        if let Some(spans) = &mut self.spans {
            self.shared.telemetry.put(&mut spans.ready);
        }
    }
}
