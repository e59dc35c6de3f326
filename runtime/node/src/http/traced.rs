//! Makes a span of every request that publishes, and of every event that it publishes: what handles
//! the event is within that. It never looks into a body.

use std::sync::atomic::Ordering;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use bytestring::ByteString;
use gristmill_store::{Append, Receipt, Topic};
use gristmill_telemetry::{Span, SpanIds, TraceContext, Value, now_ns};

use super::Api;
use super::incoming::Incoming;
use crate::envelope;
use crate::telemetry::{self, Received, Sent, Telemetry};

const TRACE_PARENT: &str = "traceparent";

/// Gives a request that publishes its span.
pub(super) async fn request(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let telemetry = &api.host.shared().telemetry;
    let Some((received, route)) = received(telemetry, &request) else {
        return next.run(request).await;
    };
    request.extensions_mut().insert(received.clone());
    let (path, began) = (request.uri().path().to_owned(), now_ns());
    let response = next.run(request).await;
    if received.is_told.load(Ordering::Relaxed) {
        let parent = received.parent.map(TraceContext::span);
        let answer = (began, response.status().as_u16());
        let context = received.context.told(true);
        let span = telemetry::answered((context, parent), ("POST", route, &path), answer);
        telemetry.put(&mut vec![span]);
    }
    response
}

/// Where a request stands, and its route, if it is one that publishes and a collector is told.
fn received(telemetry: &Telemetry, request: &Request) -> Option<(Received, ByteString)> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    let publishes = matches!(route, "/topics/{topic}" | "/commands/{command}");
    if request.method() != Method::POST || !publishes {
        return None;
    }
    let parent = request.headers().get(TRACE_PARENT).and_then(|value| value.to_str().ok());
    Some((telemetry.received(parent)?, route.into()))
}

/// Spans of the events that a request publishes.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Where each event's span is among `spans`; none for one whose trace is not told of.
    places: Vec<Option<usize>>,
    spans: Vec<Span>,
}

/// Gives every event its trace context: its own, within the request's, or within what the event
/// itself says where the request says nothing. Where neither does, the event's chain is told of or
/// not by its correlation id, and whoever reads it finds the same.
pub(super) fn mark(events: &mut [Incoming], received: Option<&Received>) -> Vec<Option<Mark>> {
    let Some(received) = received else { return vec![None; events.len()] };
    let mut ids = SpanIds::new();
    events.iter_mut().map(|event| mark_one(event, received, &mut ids)).collect()
}

fn mark_one(event: &mut Incoming, received: &Received, ids: &mut SpanIds) -> Option<Mark> {
    let brought = if received.parent.is_none() { extension(event) } else { received.parent };
    let chain = envelope::header(&event.headers, "ce_correlationid");
    let chain = chain.and_then(|it| std::str::from_utf8(it).ok()).or(event.id.as_deref());
    let parent = match (received.parent, brought, chain) {
        (None, Some(own), _) => own,
        (None, None, Some(chain)) => received.context.told(received.sampler.chooses(chain)),
        (Some(_), ..) | (None, None, None) => received.context,
    };
    let context = parent.at(ids.next_id());
    if context.is_sampled() && parent.span() == received.context.span() {
        received.is_told.store(true, Ordering::Relaxed);
    }
    let is_carried = brought.is_some() || chain.is_none();
    event.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(TRACE_PARENT));
    // What whoever reads it finds anew need not be carried.
    if is_carried || context.is_sampled() {
        event.headers.push((TRACE_PARENT.into(), context.to_text().into_bytes()));
    }
    context.is_sampled().then_some(Mark { context, parent })
}

/// Where an event stands whose trace is told of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    context: TraceContext,
    parent: TraceContext,
}

/// The trace context that a CloudEvent brings in its own attributes.
fn extension(event: &Incoming) -> Option<TraceContext> {
    let value = envelope::header(&event.headers, "ce_traceparent")?;
    TraceContext::parse(std::str::from_utf8(value).ok()?)
}

impl Published {
    /// Events begin to be published.
    pub(super) fn begin(
        (marks, ids): (&[Option<Mark>], &[Option<String>]),
        (topic, appends): (&Topic, &[Append]),
        telemetry: &Telemetry,
    ) -> Self {
        let mut published = Self::default();
        for ((mark, id), append) in marks.iter().zip(ids).zip(appends) {
            published.places.push(mark.is_some().then_some(published.spans.len()));
            let Some(Mark { context, parent }) = mark else { continue };
            published.spans.push(telemetry::send(Sent {
                context: *context,
                parent: parent.parent(),
                system: telemetry.system(),
                topic: &topic.name,
                id: id.as_deref(),
                partition: append.partition.0,
                key: append.key.as_ref(),
            }));
        }
        published
    }

    /// They are published, or could not be.
    pub(super) fn end<E: std::fmt::Display>(
        mut self,
        written: &Result<Receipt, E>,
        telemetry: &Telemetry,
    ) {
        let now = now_ns();
        for span in &mut self.spans {
            span.ended_ns = now;
        }
        match written {
            Ok(receipt) => {
                for (place, offset) in self.places.iter().zip(&receipt.offsets) {
                    if let Some(span) = place.and_then(|at| self.spans.get_mut(at)) {
                        span.attributes.push(("messaging.kafka.offset", Value::count(offset.0)));
                    }
                }
            }
            Err(error) => {
                for span in &mut self.spans {
                    span.attributes.push(("error.type", Value::from("_OTHER")));
                    span.error = Some(error.to_string().into());
                }
            }
        }
        telemetry.put(&mut self.spans);
    }
}

/// Where the request of a handler stands, if it has a span.
pub(super) type Trace = Option<axum::Extension<Received>>;

#[cfg(test)]
mod tests {
    use gristmill_telemetry::Sampler;

    use super::*;

    const OWN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn incoming(headers: &[(&'static str, &str)]) -> Incoming {
        let header = |(name, value): &(&'static str, &str)| {
            (ByteString::from_static(name), bytes::Bytes::from((*value).to_owned()))
        };
        Incoming { headers: headers.iter().map(header).collect(), ..Incoming::default() }
    }

    fn received(context: TraceContext, parent: Option<TraceContext>, share: u64) -> Received {
        let sampler = Sampler::thousandths(share);
        Received { context, parent, sampler, is_told: std::sync::Arc::default() }
    }

    fn written(event: &Incoming) -> Vec<TraceContext> {
        let of_trace = event.headers.iter().filter(|(name, _)| &**name == TRACE_PARENT);
        of_trace
            .map(|(_, value)| TraceContext::parse(std::str::from_utf8(value).unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn events_are_within_the_request_each_with_a_span_of_its_own() {
        let parent = TraceContext::parse(OWN);
        let context = parent.unwrap().at(SpanIds::new().next_id());
        let received = received(context, parent, 0);
        let mut events = [incoming(&[("traceparent", OWN)]), incoming(&[("ce_traceparent", OWN)])];
        let marks = mark(&mut events, Some(&received));
        let [first, second] = [0, 1].map(|at| {
            let [context] = written(&events[at]).try_into().unwrap();
            assert_eq!(marks[at].unwrap().context, context, "once, and as the span has it");
            assert_eq!(marks[at].unwrap().parent, received.context);
            context
        });
        assert_eq!(first.trace(), context.trace());
        assert!(first.span() != second.span() && first.span() != context.span());
    }

    #[test]
    fn an_event_goes_on_with_its_own_trace_where_the_request_has_none() {
        let begun = TraceContext::begin(Sampler::NONE);
        let received = received(begun, None, 0);
        let mut events = [incoming(&[("ce_traceparent", OWN)]), incoming(&[])];
        let [own, none] = mark(&mut events, Some(&received)).try_into().unwrap();
        assert_eq!(own.unwrap().parent, TraceContext::parse(OWN).unwrap());
        assert!(none.is_none(), "that of the request is not told of");
        let [context] = written(&events[1]).try_into().unwrap();
        assert_eq!((context.trace(), context.is_sampled()), (begun.trace(), false));
    }

    #[test]
    fn a_chain_is_told_of_by_its_correlation_id_or_by_its_first_event() {
        let event = |headers: &[(&'static str, &str)], id: &str| Incoming {
            id: Some(id.to_owned()),
            ..incoming(headers)
        };
        for (share, is_told) in [(0, false), (1_000, true)] {
            let received = received(TraceContext::begin(Sampler::NONE), None, share);
            let mut events = [event(&[("ce_correlationid", "c")], "a"), event(&[], "c")];
            let marks = mark(&mut events, Some(&received));
            assert!(marks.iter().all(|mark| mark.is_some() == is_told));
            assert_eq!(received.is_told.load(Ordering::Relaxed), is_told);
            // Who reads them finds the same without it.
            assert!(events.iter().all(|event| written(event).len() == usize::from(is_told)));
        }
    }

    #[test]
    fn nothing_is_written_where_nobody_is_told() {
        let mut events = [incoming(&[("traceparent", OWN)])];
        assert!(mark(&mut events, None)[0].is_none());
        assert_eq!(written(&events[0]), [TraceContext::parse(OWN).unwrap()]);
    }
}
