//! Makes the spans of a guest's requests, by the semantic conventions for HTTP clients. It sends
//! nothing.

use std::num::NonZeroU64;

use gristmill_telemetry::{Span, SpanIds, SpanKind, TraceContext, Value, now_ns};
use http::{Method, Uri};
use wasmtime_wasi_http::Error;

use super::address::Target;

/// Spans of the requests of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Of those that wait for their answer.
    open: Vec<Span>,
    /// Of those whose answer has begun, or that failed.
    ended: Vec<Span>,
}

/// The span of a request that is being sent; nothing where none is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call(Option<NonZeroU64>);

impl Calls {
    /// A request is sent within `attempt`; its trace context, where there is one. A span is made
    /// where the trace is told of.
    pub(super) fn begin(
        &mut self,
        (attempt, number): (Option<TraceContext>, u32),
        method: &Method,
        (target, uri): (&Target, &Uri),
    ) -> (Call, Option<TraceContext>) {
        let Some(attempt) = attempt else { return (Call(None), None) };
        let id = SpanIds::within(attempt.span(), number).next_id();
        let context = attempt.at(id);
        if !context.is_sampled() {
            return (Call(None), Some(context));
        }
        let (verb, known) = verb(method);
        let mut attributes = vec![
            ("http.request.method", Value::from(known)),
            ("server.address", Value::Text(target.host.as_str().into())),
            ("server.port", Value::count(u64::from(target.port))),
            // What follows the path may be secret.
            ("url.full", Value::Text(format!("{target}{}", uri.path()).into())),
        ];
        if known == OTHER {
            attributes.push(("http.request.method_original", Value::Text(method.as_str().into())));
        }
        self.open.push(Span {
            context,
            parent: attempt.parent(),
            kind: SpanKind::Client,
            verb,
            target: "".into(),
            began_ns: now_ns(),
            ended_ns: 0,
            attributes,
            error: None,
        });
        (Call(Some(id)), Some(context))
    }

    /// Its answer has begun, with this status, or it failed.
    pub(super) fn end(&mut self, call: Call, answer: Result<u16, &Error>) {
        let Some(id) = call.0 else { return };
        // One that is not there was taken when its attempt ended.
        let Some(at) = self.open.iter().position(|span| span.context.span() == id) else { return };
        let mut span = self.open.swap_remove(at);
        match answer {
            Ok(status) => {
                let number = Value::count(u64::from(status));
                span.attributes.push(("http.response.status_code", number));
                if status >= 400 {
                    fail(&mut span, status.to_string(), format!("answered {status}"));
                }
            }
            Err(error) => fail(&mut span, word(error).to_owned(), error.to_string()),
        }
        span.ended_ns = now_ns();
        self.ended.push(span);
    }

    /// Takes the spans of those that ended; with `all`, those of all, as the attempt ends.
    pub(super) fn take(&mut self, all: bool) -> Vec<Span> {
        if all {
            for mut span in self.open.drain(..) {
                let why = "the attempt ended before it was answered";
                fail(&mut span, "cancelled".to_owned(), why.to_owned());
                span.ended_ns = now_ns();
                self.ended.push(span);
            }
        }
        std::mem::take(&mut self.ended)
    }
}

fn fail(span: &mut Span, kind: String, why: String) {
    span.attributes.push(("error.type", Value::Text(kind.into())));
    span.error = Some(why.into());
}

/// Stands for a method that the conventions do not name.
const OTHER: &str = "_OTHER";

/// The name of a request's span, and its method, as the conventions have them.
fn verb(method: &Method) -> (&'static str, &'static str) {
    match method.as_str() {
        "GET" => ("GET", "GET"),
        "HEAD" => ("HEAD", "HEAD"),
        "POST" => ("POST", "POST"),
        "PUT" => ("PUT", "PUT"),
        "PATCH" => ("PATCH", "PATCH"),
        "DELETE" => ("DELETE", "DELETE"),
        "OPTIONS" => ("OPTIONS", "OPTIONS"),
        "TRACE" => ("TRACE", "TRACE"),
        "CONNECT" => ("CONNECT", "CONNECT"),
        _ => ("HTTP", OTHER),
    }
}

/// What kind of failure it was, in one of few words.
fn word(error: &Error) -> &'static str {
    if matches!(error, Error::ConnectionTimeout) {
        "timeout"
    } else if matches!(error, Error::DestinationIpProhibited) {
        "denied"
    } else if matches!(error, Error::DnsError { .. }) {
        "dns"
    } else {
        "connection"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn begin(calls: &mut Calls, number: u32) -> (Call, Option<TraceContext>) {
        let uri = Uri::from_static("http://shop.example:8080/pay?token=hush");
        let target = Target::of(&uri).unwrap();
        let attempt = TraceContext::parse(ATTEMPT);
        calls.begin((attempt, number), &Method::POST, (&target, &uri))
    }

    #[test]
    fn a_call_is_a_span_within_its_attempt() {
        let mut calls = Calls::default();
        let (call, context) = begin(&mut calls, 1);
        let context = context.unwrap();
        assert!(calls.take(false).is_empty(), "it is not answered yet");
        calls.end(call, Ok(503));
        let [span] = calls.take(false).try_into().unwrap();
        assert_eq!(
            (span.context, span.parent.map(NonZeroU64::get)),
            (context, Some(0xb7ad_6b71_6920_3331))
        );
        assert_eq!(span.verb, "POST");
        let value = |name| span.attributes.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        let text = |text: &'static str| Some(Value::from(text));
        assert_eq!(value("url.full"), text("http://shop.example:8080/pay"), "no secrets");
        assert_eq!(value("server.port"), Some(Value::Number(8080)));
        assert_eq!(value("http.response.status_code"), Some(Value::Number(503)));
        assert_eq!(value("error.type"), text("503"));
        assert_eq!(span.error.as_deref(), Some("answered 503"));
    }

    #[test]
    fn calls_of_an_attempt_have_ids_of_their_own_that_are_the_same_again() {
        let ids = || {
            let mut calls = Calls::default();
            [1, 2, 3].map(|number| begin(&mut calls, number).1.unwrap().span())
        };
        let [one, two, three] = ids();
        assert!(one != two && two != three && three != one);
        assert_eq!(ids(), [one, two, three]);
    }

    #[test]
    fn one_without_an_answer_ends_with_its_attempt() {
        let mut calls = Calls::default();
        let (answered, _) = begin(&mut calls, 1);
        let (open, _) = begin(&mut calls, 2);
        calls.end(answered, Err(&Error::ConnectionTimeout));
        let spans = calls.take(true);
        let kind = |span: &Span| span.attributes.last().cloned();
        let kinds: Vec<_> = spans.iter().map(|span| kind(span).unwrap().1).collect();
        assert_eq!(kinds, [Value::from("timeout"), Value::from("cancelled")]);
        calls.end(open, Ok(200));
        assert!(calls.take(true).is_empty(), "it was told of already");
    }

    #[test]
    fn nothing_is_made_of_calls_in_a_trace_that_is_not_told_of() {
        let mut calls = Calls::default();
        let uri = Uri::from_static("http://shop.example/");
        let target = Target::of(&uri).unwrap();
        let begun = calls.begin((None, 1), &Method::GET, (&target, &uri));
        assert_eq!(begun, (Call(None), None));
        calls.end(begun.0, Ok(200));
        let untold = TraceContext::parse(ATTEMPT).map(|it| it.told(false));
        let (call, context) = calls.begin((untold, 1), &Method::GET, (&target, &uri));
        assert!(context.is_some_and(|it| !it.is_sampled()), "whoever is called must know");
        calls.end(call, Ok(200));
        assert!(calls.take(true).is_empty());
    }
}
