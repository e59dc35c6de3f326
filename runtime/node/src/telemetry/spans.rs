//! Says what spans are made of, by the semantic conventions for messaging and HTTP. It sends none.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_plugin_host::{Failure, Finished, Handled};
use gristmill_store::Append;
use gristmill_telemetry::{Span, SpanKind, TraceContext, Value, now_ns};

use crate::binding::Binding;
use crate::envelope::{self, OriginBuf};

type Attributes = Vec<(&'static str, Value)>;

/// Attributes of a span, ordinarily.
const ATTRIBUTES_USUAL: usize = 16;

/// An attempt that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempted<'a> {
    /// Its own span.
    pub(crate) context: TraceContext,
    /// The span within which it was made.
    pub(crate) parent: Option<NonZeroU64>,
    /// Where topics are, as the conventions call it.
    pub(crate) system: &'static str,
    /// The version that made it.
    pub(crate) binding: &'a Binding,
    /// What was handled.
    pub(crate) handled: &'a Handled,
    /// Where it first came from.
    pub(crate) origin: Option<&'a OriginBuf>,
    /// Its number, from 1.
    pub(crate) number: u32,
}

/// How it ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended<'a> {
    pub(crate) took: Duration,
    pub(crate) failure: Option<&'a Failure>,
}

impl<'a> From<&'a Finished> for Ended<'a> {
    fn from(finished: &'a Finished) -> Self {
        Self { took: finished.usage.wall, failure: finished.result.as_ref().err() }
    }
}

/// The span of an attempt that ends now.
pub(crate) fn attempt(of: Attempted<'_>, ended: Ended<'_>) -> Span {
    let Attempted { context, parent, system, binding, handled, origin, number } = of;
    let ended_ns = now_ns();
    let took = u64::try_from(ended.took.as_nanos()).unwrap_or(u64::MAX);
    let mut attributes: Attributes = Vec::with_capacity(ATTRIBUTES_USUAL);
    let text = |text: &str| Value::Text(text.into());
    attributes.extend([
        ("messaging.system", Value::from(system)),
        ("messaging.operation.name", Value::from("process")),
        ("messaging.operation.type", Value::from("process")),
        ("messaging.message.id", Value::from(handled.id())),
        ("messaging.message.conversation_id", Value::from(handled.correlation_id())),
        ("messaging.destination.subscription.name", text(&binding.name)),
        ("gristmill.plugin", text(&binding.plugin_name)),
        ("gristmill.attempt", Value::count(u64::from(number))),
    ]);
    if system == "kafka" {
        attributes.push(("messaging.consumer.group.name", text(&binding.group)));
    }
    let target = match (handled, origin) {
        (Handled::Event(event), Some(origin)) => {
            place(&mut attributes, &origin.topic, origin.partition, event.key.as_ref());
            attributes.push(("messaging.kafka.offset", Value::count(origin.offset)));
            if event.tombstone {
                attributes.push(("messaging.kafka.message.tombstone", Value::Flag(true)));
            }
            origin.topic.clone()
        }
        (Handled::Event(event), None) => event.topic.clone(),
        (Handled::Timer(timer), _) => {
            attributes.push(("gristmill.timer", Value::from(&timer.name)));
            ByteString::from_static("timer")
        }
    };
    if let Some(failure) = ended.failure {
        attributes.push(("error.type", Value::from(envelope::class_name(failure.class))));
        attributes.extend(failure.code.as_deref().map(|code| ("gristmill.error.code", text(code))));
    }
    Span {
        context,
        parent,
        kind: SpanKind::Consumer,
        verb: "process",
        target,
        began_ns: ended_ns.saturating_sub(took),
        ended_ns,
        attributes,
        error: ended.failure.map(|failure| failure.reason.as_str().into()),
    }
}

/// An event that is published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent<'a> {
    /// Its own span: what handles it is within that.
    pub(crate) context: TraceContext,
    /// The span within which it is published.
    pub(crate) parent: Option<NonZeroU64>,
    /// Where topics are.
    pub(crate) system: &'static str,
    /// Topic it goes to.
    pub(crate) topic: &'a ByteString,
    /// Its id, where it has one.
    pub(crate) id: Option<&'a str>,
    /// Its partition.
    pub(crate) partition: u32,
    /// Its key.
    pub(crate) key: Option<&'a Bytes>,
}

/// The span of an event that begins to be published now.
pub(crate) fn send(of: Sent<'_>) -> Span {
    let Sent { context, parent, system, topic, id, partition, key } = of;
    let mut attributes: Attributes = Vec::with_capacity(ATTRIBUTES_USUAL);
    attributes.extend([
        ("messaging.system", Value::from(system)),
        ("messaging.operation.name", Value::from("send")),
        ("messaging.operation.type", Value::from("send")),
    ]);
    attributes.extend(id.map(|id| ("messaging.message.id", Value::Text(id.into()))));
    place(&mut attributes, topic, partition, key);
    Span {
        context,
        parent,
        kind: SpanKind::Producer,
        verb: "send",
        target: topic.clone(),
        began_ns: now_ns(),
        ended_ns: 0,
        attributes,
        error: None,
    }
}

/// The same of an emission, whose trace context is its own.
pub(crate) fn emitted(
    append: &Append,
    topic: &ByteString,
    (system, within): (&'static str, TraceContext),
) -> Option<Span> {
    let context = trace_of(append)?;
    Some(appended((append, topic), (context, Some(within.span())), system))
}

/// The same of an event that keeps the trace context it came with; none where that trace is not
/// told of. `own` makes its own of that.
pub(crate) fn passed_on(
    append: &Append,
    topic: &ByteString,
    system: &'static str,
    own: impl FnOnce(TraceContext) -> TraceContext,
) -> Option<Span> {
    let parent = trace_of(append).filter(|parent| parent.is_sampled())?;
    Some(appended((append, topic), (own(parent), parent.parent()), system))
}

fn appended(
    (append, topic): (&Append, &ByteString),
    (context, parent): (TraceContext, Option<NonZeroU64>),
    system: &'static str,
) -> Span {
    let (partition, key) = (append.partition.0, append.key.as_ref());
    send(Sent { context, parent, system, topic, id: header(append, "ce_id"), partition, key })
}

fn trace_of(append: &Append) -> Option<TraceContext> {
    TraceContext::parse(header(append, "traceparent")?)
}

fn header<'a>(append: &'a Append, name: &str) -> Option<&'a str> {
    std::str::from_utf8(envelope::header(&append.headers, name)?).ok()
}

/// A request that is answered.
pub(crate) fn answered(
    (context, parent): (TraceContext, Option<NonZeroU64>),
    (method, route, path): (&'static str, ByteString, &str),
    (began_ns, status): (u64, u16),
) -> Span {
    let mut attributes: Attributes = vec![
        ("http.request.method", Value::from(method)),
        ("http.route", Value::from(&route)),
        ("url.path", Value::Text(path.into())),
        ("url.scheme", Value::from("http")),
        ("http.response.status_code", Value::count(u64::from(status))),
    ];
    // Source: semantic conventions for HTTP, "Status": what a client did wrong is no failure here.
    let error = (status >= 500).then(|| ByteString::from(format!("answered {status}")));
    if error.is_some() {
        attributes.push(("error.type", Value::Text(status.to_string().into())));
    }
    Span {
        context,
        parent,
        kind: SpanKind::Server,
        verb: method,
        target: route,
        began_ns,
        ended_ns: now_ns(),
        attributes,
        error,
    }
}

/// Where an event is.
fn place(into: &mut Attributes, topic: &ByteString, partition: u32, key: Option<&Bytes>) {
    into.push(("messaging.destination.name", Value::from(topic)));
    let partition = Value::Text(partition.to_string().into());
    into.push(("messaging.destination.partition.id", partition));
    // A key that is no text says nothing to a reader.
    let key = key.and_then(|key| ByteString::try_from(key.clone()).ok());
    into.extend(key.map(|key| ("messaging.kafka.message.key", Value::Text(key))));
}
