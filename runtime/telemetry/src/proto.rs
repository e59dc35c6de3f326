//! Turns spans into what OTLP sends. It decides nothing.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans, Status};
use prost::Message;

use crate::{Span, SpanKind, Value};

/// Who tells: the same with everything it tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Teller {
    pub(crate) resource: Resource,
    pub(crate) scope: InstrumentationScope,
}

impl Teller {
    /// What is told by the host of these attributes, of this version.
    pub(crate) fn new(attributes: &[(&str, &str)], version: &str) -> Self {
        let attributes = attributes.iter().map(|(name, value)| text(name, (*value).to_owned()));
        let resource = Resource { attributes: attributes.collect(), ..Resource::default() };
        let (name, version) = ("gristmill".to_owned(), version.to_owned());
        let scope = InstrumentationScope { name, version, ..InstrumentationScope::default() };
        Self { resource, scope }
    }

    /// The request that tells of spans.
    pub(crate) fn traces(&self, spans: Vec<Span>) -> Vec<u8> {
        let spans = spans.into_iter().map(span).collect();
        let scope = Some(self.scope.clone());
        let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
        let resource = Some(self.resource.clone());
        let of_host = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
        ExportTraceServiceRequest { resource_spans: vec![of_host] }.encode_to_vec()
    }
}

fn span(span: Span) -> otlp::Span {
    let Span { context, parent, kind, verb, target, began_ns, ended_ns, attributes, error } = span;
    let kind = match kind {
        SpanKind::Internal => otlp::span::SpanKind::Internal,
        SpanKind::Server => otlp::span::SpanKind::Server,
        SpanKind::Client => otlp::span::SpanKind::Client,
        SpanKind::Producer => otlp::span::SpanKind::Producer,
        SpanKind::Consumer => otlp::span::SpanKind::Consumer,
    };
    otlp::Span {
        trace_id: context.trace().get().to_be_bytes().into(),
        span_id: context.span().get().to_be_bytes().into(),
        parent_span_id: parent.map(|it| it.get().to_be_bytes().into()).unwrap_or_default(),
        flags: 1,
        name: if target.is_empty() { verb.to_owned() } else { format!("{verb} {target}") },
        kind: kind.into(),
        start_time_unix_nano: began_ns,
        end_time_unix_nano: ended_ns,
        attributes: attributes.into_iter().map(attribute).collect(),
        status: error.map(|why| failed(&why)),
        ..otlp::Span::default()
    }
}

fn failed(why: &str) -> Status {
    Status { message: why.to_owned(), code: otlp::status::StatusCode::Error.into() }
}

fn attribute((name, value): (&'static str, Value)) -> KeyValue {
    let value = match value {
        Value::Text(value) => any_value::Value::StringValue(value.to_string()),
        Value::Number(value) => any_value::Value::IntValue(value),
        Value::Flag(value) => any_value::Value::BoolValue(value),
    };
    valued(name, value)
}

/// An attribute that is text.
pub(crate) fn text(name: &str, value: String) -> KeyValue {
    valued(name, any_value::Value::StringValue(value))
}

fn valued(name: &str, value: any_value::Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::TraceContext;

    #[test]
    fn a_span_is_told_with_all_that_is_known_of_it() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let told = Span {
            context: TraceContext::parse(text).unwrap(),
            parent: NonZeroU64::new(258),
            kind: SpanKind::Consumer,
            verb: "process",
            target: "orders".into(),
            began_ns: 5,
            ended_ns: 9,
            attributes: vec![
                ("a", Value::from("b")),
                ("n", Value::count(u64::MAX)),
                ("f", Value::Flag(true)),
            ],
            error: Some("no".into()),
        };
        let teller = Teller::new(&[("service.name", "shop")], "1.2");
        let sent = teller.traces(vec![told]);
        let read = ExportTraceServiceRequest::decode(&*sent).unwrap();
        let of_host = &read.resource_spans[0];
        assert_eq!(of_host.resource.as_ref().unwrap().attributes[0].key, "service.name");
        let span = &of_host.scope_spans[0].spans[0];
        assert_eq!(span.trace_id[..2], [0x0a, 0xf7]);
        assert_eq!(span.span_id[..2], [0xb7, 0xad]);
        assert_eq!(span.parent_span_id, [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!((span.name.as_str(), span.kind), ("process orders", 5));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (5, 9));
        let status = span.status.as_ref().unwrap();
        assert_eq!((status.message.as_str(), status.code), ("no", 2));
        let values: Vec<_> = span.attributes.iter().map(|it| it.value.clone().unwrap()).collect();
        let value = |value| AnyValue { value: Some(value) };
        let expected = [
            value(any_value::Value::StringValue("b".to_owned())),
            value(any_value::Value::IntValue(i64::MAX)),
            value(any_value::Value::BoolValue(true)),
        ];
        assert_eq!(values, expected);
    }
}
