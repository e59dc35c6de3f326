//! Takes a command in, publishes it and answers with what its handler made of it. What is not
//! answered in time stays published: the sender may ask again under the same key.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gristmill_engine::Offset;
use gristmill_store::Stored;

use super::error::ApiError;
use super::incoming::{self, Incoming};
use super::query::{self, Parameters};
use super::traced::Trace;
use super::{Api, ingest};
use crate::commands::{CommandId, Outcome, Route};
use crate::envelope::{self, Headers, Record, identify, time};

/// Longest idempotency key, in characters.
const KEY_MAX: usize = 255;
/// Names the command in every answer to it.
const COMMAND_ID: HeaderName = HeaderName::from_static("command-id");
/// Says that the answer was there before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Header of a reply that says with which status it answers.
const STATUS: &str = "http-status";

/// One command being sent.
struct Sent<'a> {
    api: &'a Api,
    route: &'a Route,
    id: &'a CommandId,
    /// Whether its sender named it.
    is_named: bool,
}

/// What comes of it.
struct Answered {
    outcome: Arc<Outcome>,
    is_replayed: bool,
}

/// Publishes a command and answers with its reply.
pub(super) async fn send(
    State(api): State<Api>,
    Path(name): Path<String>,
    parameters: Parameters,
    (headers, trace): (HeaderMap, Trace),
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    api.accepting()?;
    let began = Moment::now();
    let parameters = parameters.only(&["key"])?;
    let body = query::body(&api, body)?;
    let route = api.commands.route(&name)?;
    let named = idempotency_key(&headers)?;
    let id = CommandId::new(&name, named.as_deref());
    let event = event(&api, &id, &route, incoming::command(&headers, body)?)?;
    let key = key(&route, parameters.text("key"), &event)?;
    let sent = Sent { api: &api, route: &route, id: &id, is_named: named.is_some() };
    let patience = Duration::from_millis(route.config.timeout.0);
    let mut is_published = false;
    let carried = sent.carry_out(key.as_deref(), (event, trace), &mut is_published);
    let answered = match tokio::time::timeout(patience, carried).await {
        Ok(answered) => answered,
        Err(_elapsed) if is_published => Err(ApiError::late(&name, patience, route.paused)),
        Err(_elapsed) => Err(ApiError::not_sent(&name, patience)),
    };
    count(&api, &name, &answered, began);
    let mut response = match answered {
        Ok(answered) => answer(&route, &answered),
        Err(error) => error.into_response(),
    };
    // An id is made of the command's name and a UUID.
    if let Ok(id) = HeaderValue::from_str(id.text()) {
        response.headers_mut().insert(COMMAND_ID, id);
    }
    Ok(response)
}

impl Sent<'_> {
    async fn carry_out(
        &self,
        key: Option<&str>,
        (event, trace): (Incoming, Trace),
        is_published: &mut bool,
    ) -> Result<Answered, ApiError> {
        let commands = &self.api.commands;
        commands.follow(self.route, self.is_named).await?;
        let waiting = commands.wait(self.id);
        let mut waiting = waiting.map_err(|full| ApiError::too_many_commands(full.0))?;
        if self.is_named {
            let (commands, id) = (Arc::clone(commands), self.id.clone());
            let known = self.api.blocking(move |_| commands.known(&id)).await?;
            if let Some(outcome) = known {
                return Ok(Answered { outcome, is_replayed: true });
            }
        }
        ingest::append(self.api, (&self.route.topic, key), vec![event], trace).await?;
        *is_published = true;
        let mut stopping = self.api.stopping.clone();
        let outcome = tokio::select! {
            outcome = waiting.answer() => outcome,
            _ = stopping.wait_for(|stop| *stop) => None,
        };
        let outcome = outcome.ok_or_else(ApiError::stopping_unanswered)?;
        Ok(Answered { outcome, is_replayed: false })
    }
}

fn count(api: &Api, name: &str, answered: &Result<Answered, ApiError>, began: Moment) {
    let outcome = match answered {
        Ok(Answered { is_replayed: true, .. }) => "replayed",
        Ok(Answered { outcome, .. }) => match **outcome {
            Outcome::Replied(_) => "replied",
            Outcome::GivenUp(_) => "dead_lettered",
            Outcome::FellBack => "fell_back",
        },
        Err(error) if error.is_late() => "timed_out",
        Err(_) => "refused",
    };
    let took = (outcome == "replied").then(|| began.elapsed());
    api.host.shared().metrics.command_answered(name, outcome, took);
}

/// The sender's own name for the command, with or without the quotes that the header is specified
/// with (source: draft-ietf-httpapi-idempotency-key-header).
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let key = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text);
    let holds = (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    let wanted = "1 to 255 visible ASCII characters";
    if holds {
        Ok(Some(key.to_owned()))
    } else {
        Err(ApiError::parameter("Idempotency-Key", text, wanted))
    }
}

/// The command as an event. Its id is what answers are known by, so the handler must see that one.
fn event(
    api: &Api,
    id: &CommandId,
    route: &Route,
    incoming: Incoming,
) -> Result<Incoming, ApiError> {
    let now = api.host.shared().clock.now();
    let own = [
        ("ce_specversion", Bytes::from_static(b"1.0")),
        ("ce_id", Bytes::from(id.text().to_owned())),
        ("ce_source", api.commands.source().into_bytes()),
        ("ce_type", Bytes::from(route.config.kind.clone())),
        ("ce_time", Bytes::from(time::format(now))),
    ];
    let mut headers: Vec<_> = own.map(|(name, value)| (name.into(), value)).into();
    headers.extend(incoming.headers);
    let stored = Stored {
        offset: Offset(0),
        timestamp: now,
        key: None,
        headers: headers.clone().into(),
        payload: incoming.payload.clone(),
    };
    let record = Record { topic: &route.topic.name, partition: 0, offset: 0, stored: &stored };
    let seen = identify(&route.binding.rules, &record).map_err(ApiError::invalid)?;
    if seen.id != id.text() {
        let handler = &route.config.subscription;
        return Err(ApiError::no_handler(&format!(
            "subscription {handler:?} knows its events by another id than a CloudEvent's: its \
             `envelope` must be `auto` or `cloudevents`, without `id_header` and `fields.id`"
        )));
    }
    // Twins must meet to be known for what they are, with a key or without.
    let spread = id.spread();
    Ok(Incoming { headers, id: Some(id.text().to_owned()), spread, ..incoming })
}

/// The key that the sender or the command's rule says; `None` leaves it to the topic's.
fn key(route: &Route, given: Option<&str>, event: &Incoming) -> Result<Option<String>, ApiError> {
    if let Some(given) = given {
        return Ok(Some(given.to_owned()));
    }
    let rule = route.config.key.as_ref().filter(|_| event.partition_key.is_none());
    rule.map(|rule| ingest::key_by(&route.topic, rule, event)).transpose()
}

fn answer(route: &Route, answered: &Answered) -> Response {
    let mut response = match &*answered.outcome {
        Outcome::Replied(stored) => reply(stored),
        Outcome::GivenUp(letter) => ApiError::given_up(letter).into_response(),
        Outcome::FellBack => match route.config.fallback_reply.clone() {
            Some(reply) => {
                let media = [(header::CONTENT_TYPE, "application/json")];
                (StatusCode::ACCEPTED, media, reply).into_response()
            }
            None => ApiError::fell_back(&route.config.subscription).into_response(),
        },
    };
    if answered.is_replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A reply as a CloudEvent in binary mode (source: CloudEvents HTTP protocol binding 1.0.2).
fn reply(stored: &Stored) -> Response {
    let mut response = stored.payload.clone().unwrap_or_default().into_response();
    *response.status_mut() = status(&stored.headers);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in stored.headers.iter() {
        let name = match name.strip_prefix("ce_") {
            Some(attribute) => Cow::Owned(format!("ce-{attribute}")),
            None if name.eq_ignore_ascii_case("content-type") => Cow::Borrowed("content-type"),
            None => continue,
        };
        let value = encoded(value);
        // An attribute whose name no header can have stays in the topic.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(&*name), HeaderValue::try_from(value))
        {
            headers.insert(name, value);
        }
    }
    response
}

/// The status a handler gave its reply in the header `http-status`; else 200.
fn status(headers: &Headers) -> StatusCode {
    let given = envelope::header(headers, STATUS).and_then(|it| std::str::from_utf8(it).ok());
    let status = given.and_then(|it| it.parse::<u16>().ok());
    let status = status.filter(|status| (200..=599).contains(status));
    status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK)
}

/// A value as a header has it: what is no visible ASCII, `"` and `%` are percent-encoded, and
/// spaces stay inside (source: the same, section 3.1.3.2).
fn encoded(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value {
        match byte {
            b'"' | b'%' => text.extend(["%", &format!("{byte:02X}")]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.extend(["%", &format!("{byte:02X}")]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use gristmill_engine::Instant;

    use super::*;

    fn stored(headers: &[(&'static str, &'static str)]) -> Stored {
        let header = |(name, value): &(&'static str, &'static str)| {
            ((*name).into(), Bytes::from_static(value.as_bytes()))
        };
        Stored {
            offset: Offset(0),
            timestamp: Instant(0),
            key: None,
            headers: headers.iter().map(header).collect(),
            payload: Some(Bytes::from_static(b"{}")),
        }
    }

    #[test]
    fn a_reply_answers_with_its_status_and_attributes() {
        for (given, expected) in [
            (None, 200),
            (Some("201"), 201),
            (Some("404"), 404),
            (Some("599"), 599),
            (Some("600"), 200),
            (Some("199"), 200),
            (Some("v"), 200),
        ] {
            let mut headers = vec![
                ("ce_id", "a"),
                ("ce_subject", "Köln \"1\" 5%"),
                ("Content-Type", "text/plain"),
                ("other", "x"),
            ];
            headers.extend(given.map(|status| ("http-status", status)));
            let response = reply(&stored(&headers));
            assert_eq!(response.status().as_u16(), expected, "{given:?}");
            let header = |name: &str| response.headers().get(name).and_then(|it| it.to_str().ok());
            assert_eq!(header("ce-id"), Some("a"));
            assert_eq!(header("ce-subject"), Some("K%C3%B6ln %221%22 5%25"));
            assert_eq!(header("content-type"), Some("text/plain"));
            assert_eq!(header("other"), None);
        }
    }

    #[test]
    fn an_idempotency_key_is_visible_and_of_255_characters_at_most() {
        let (long, longer) = ("k".repeat(255), "k".repeat(256));
        for (given, expected) in [
            ("k", Some("k")),
            ("\"k-1\"", Some("k-1")),
            (&long, Some(&*long)),
            (&longer, None),
            ("", None),
            ("\"\"", None),
            ("a b", None),
            ("é", None),
        ] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(given.as_bytes()).unwrap();
            headers.insert("idempotency-key", value);
            let found = idempotency_key(&headers).ok().flatten();
            assert_eq!(found.as_deref(), expected, "{given}");
        }
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
    }
}
