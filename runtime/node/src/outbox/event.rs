//! Turns a row into an event: a CloudEvent in binary mode whose id is the row's, judged as
//! whatever comes from outside. It publishes nothing.

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_config::{KeyRule, OutboxRole};
use gristmill_engine::Instant;
use gristmill_outbox::{Row, unwrap};
use gristmill_store::{Append, Header, Store, Topic};
use serde_json::{Map, Value};

use super::relay::Relay;
use super::state::Trouble;
use crate::admission;
use crate::envelope::{VERSION_HEADER, time};
use crate::plugins::Refusal;
use crate::schemas::Broken;

/// No topic fits the row.
const NO_TOPIC: &str = "E0490";
/// What the row holds is not what its columns say.
const MALFORMED: &str = "E0491";
/// Larger than its topic takes.
const TOO_LARGE: &str = "E0413";
/// Its topic finds no key in it.
const NO_KEY: &str = "E0424";
/// Headers of a row at most.
const HEADERS_MAX: usize = 100;

/// Why a row cannot be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Stable code.
    pub(super) code: String,
    /// In a sentence.
    pub(super) reason: String,
}

/// Why a row is not an event.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It cannot be one as it is.
    Misfit(Misfit),
    /// It may be later.
    Later(Trouble),
}

impl Misfit {
    pub(super) fn new(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.to_owned(), reason: reason.into() }
    }

    /// As it is written into the table.
    pub(super) fn to_text(&self) -> String {
        format!("{}: {}", self.code, self.reason)
    }

    /// What was written into a table, by whomever.
    pub(super) fn from_text(text: &str) -> Self {
        match text.split_once(": ") {
            Some((code, reason)) if code.starts_with('E') && code.len() == 5 => {
                Self::new(code, reason)
            }
            _ => Self::new(MALFORMED, text),
        }
    }
}

/// The event that a row is, and the name of its topic. `turn` spreads those without a key.
pub(super) async fn event(
    relay: &Relay,
    row: &Row,
    turn: u64,
) -> Result<(Append, ByteString), Unfit> {
    let shared = relay.host.shared();
    let topic = topic(relay, row).await?;
    let settings = shared.config.topics.settings(&topic.name);
    let now = shared.clock.now();
    let (mut headers, payload) = record(relay, row, (&topic, now)).map_err(Unfit::Misfit)?;
    let mut payload = payload.map(Bytes::from);
    let judging = (&shared.schemas, &shared.encryption);
    let key = match (&row.key, &settings.key) {
        (Some(key), _) => Some(Bytes::from(key.clone())),
        (None, KeyRule::None) => None,
        (None, KeyRule::Of(rule)) => {
            let key = admission::key_by(&topic.name, rule, payload.as_ref());
            Some(Bytes::from(key.map_err(|pointer| {
                let reason = format!("it has no key at {pointer}, where its topic looks");
                misfit(NO_KEY, reason)
            })?))
        }
    };
    match admission::admit(judging, &topic.name, (&mut headers, &mut payload)) {
        Ok(()) => {}
        Err(Broken::Away(away)) => return Err(Unfit::Later(away.into())),
        Err(Broken::Invalid(invalid)) => return Err(misfit(invalid.code, invalid.to_string())),
    }
    let partition = Store::partition_for(&topic, key.as_deref(), turn);
    let append = Append { topic: topic.id, partition, timestamp: now, key, headers, payload };
    let (size, most) = (admission::size(&append), settings.max_event_bytes.0);
    let bytes = usize::try_from(size).unwrap_or(usize::MAX);
    let most = shared.broker.exceeded_limit(&topic.name, bytes).unwrap_or(most).min(most);
    if size > most {
        let topic = &topic.name;
        let reason = format!("an event of {size} bytes; topic {topic:?} takes at most {most}");
        return Err(misfit(TOO_LARGE, reason));
    }
    Ok((append, topic.name))
}

fn misfit(code: &str, reason: impl Into<String>) -> Unfit {
    Unfit::Misfit(Misfit::new(code, reason))
}

/// The topic of a row, made where publishing makes topics.
async fn topic(relay: &Relay, row: &Row) -> Result<Topic, Unfit> {
    // A topic is made of these two alone.
    let held = |role| {
        if role == OutboxRole::Type { row.kind.as_deref() } else { row.topic.as_deref() }
    };
    let name = relay.config.topic.fill(held).map_err(|role| {
        misfit(NO_TOPIC, format!("its column for `{}` is empty: it has no topic", role.name()))
    })?;
    match relay.host.topic(&name, true).await {
        Ok(topic) => Ok(topic),
        Err(Refusal::Unknown { name, known, .. }) => {
            let near = known.first().map(|it| format!("; did you mean {it:?}?"));
            let near = near.unwrap_or_default();
            Err(misfit(NO_TOPIC, format!("there is no topic {name:?}{near}")))
        }
        Err(Refusal::Local(name)) => {
            Err(misfit(NO_TOPIC, format!("topic {name:?} is local: only handlers publish there")))
        }
        Err(Refusal::Impossible(reason)) => {
            Err(Unfit::Later(Trouble { code: NO_TOPIC, reason, passes: true }))
        }
    }
}

/// Headers and payload.
fn record(
    relay: &Relay,
    row: &Row,
    (topic, now): (&Topic, Instant),
) -> Result<(Vec<Header>, Option<Vec<u8>>), Misfit> {
    let (carried, payload) = if relay.config.is_enveloped {
        unwrapped(row)?
    } else {
        (Carried { further: further(row)?, ..Carried::default() }, row.payload.clone())
    };
    let text = |own: &Option<String>, carried: Option<String>| own.clone().or(carried);
    let kind = text(&row.kind, carried.kind).unwrap_or_else(|| topic.name.to_string());
    let source = text(&row.source, carried.source).map_or(relay.source.clone(), Into::into);
    let time = Instant(row.time_ms.unwrap_or(now.0));
    let mut headers: Vec<Header> = Vec::with_capacity(10 + carried.further.len());
    let mut add = |name: &'static str, value: Bytes| {
        headers.push((ByteString::from_static(name), value));
    };
    add("ce_specversion", Bytes::from_static(b"1.0"));
    add("ce_id", row.id.clone().into());
    add("ce_source", source.into_bytes());
    add("ce_type", kind.into());
    add("ce_time", time::format(time).into());
    if let Some(version) = text(&row.version, carried.version) {
        add(VERSION_HEADER, version.into());
    }
    let correlation = text(&row.correlation, carried.correlation);
    add("ce_correlationid", correlation.unwrap_or_else(|| row.id.clone()).into());
    if let Some(trace) = text(&row.trace, carried.trace) {
        add("traceparent", trace.into());
    }
    if payload.is_some() {
        let json = || "application/json".to_owned();
        add("content-type", carried.media.unwrap_or_else(json).into());
    }
    headers.extend(carried.further);
    Ok((headers, payload))
}

/// What a row carries beside its columns.
#[derive(Default)]
struct Carried {
    kind: Option<String>,
    version: Option<String>,
    source: Option<String>,
    correlation: Option<String>,
    trace: Option<String>,
    media: Option<String>,
    further: Vec<Header>,
}

/// Headers of a row's own.
fn further(row: &Row) -> Result<Vec<Header>, Misfit> {
    let Some(text) = row.headers.as_deref().filter(|it| !it.is_empty()) else {
        return Ok(Vec::new());
    };
    let wrong = |what: &str| Misfit::new(MALFORMED, format!("its headers are {what}"));
    let map: Map<String, Value> =
        serde_json::from_str(text).map_err(|_no_object| wrong("no JSON object of texts"))?;
    if map.len() > HEADERS_MAX {
        return Err(wrong("more than 100"));
    }
    let mut headers = Vec::with_capacity(map.len());
    for (name, value) in map {
        if is_reserved(&name) {
            return Err(wrong(&format!("not its own: {name:?} is written by the host")));
        }
        let value = match value {
            Value::String(text) => text,
            Value::Null => continue,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(wrong(&format!("no JSON object of texts: {name:?} is none")));
            }
        };
        headers.push((name.into(), Bytes::from(value)));
    }
    Ok(headers)
}

/// Names that the host writes itself, or that would make the event another.
fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.is_empty()
        || ["ce_", "dlq-", "__dlq."].iter().any(|prefix| name.starts_with(prefix))
        || matches!(name.as_str(), "content-type" | "traceparent")
}

/// What Wolverine's envelope holds: its own headers say what columns say of other tables.
fn unwrapped(row: &Row) -> Result<(Carried, Option<Vec<u8>>), Misfit> {
    const INTERNAL: [&str; 11] = [
        "id",
        "destination",
        "reply-uri",
        "saga-id",
        "conversation-id",
        "accepted-content-types",
        "reply-requested",
        "ack-requested",
        "time-to-send",
        "attempts",
        "deliver-by",
    ];
    let bytes = row.payload.as_deref().unwrap_or_default();
    let unwrapped = unwrap(bytes)
        .ok_or_else(|| Misfit::new(MALFORMED, "its body is no envelope of Wolverine"))?;
    let mut carried = Carried::default();
    for (name, value) in unwrapped.headers {
        match name.as_str() {
            "message-type" => carried.kind = Some(value),
            "eventversion" => carried.version = Some(value),
            "source" => carried.source = Some(value),
            "correlation-id" => carried.correlation = Some(value),
            "parent-id" => carried.trace = Some(value),
            "content-type" => carried.media = Some(value),
            name if INTERNAL.contains(&name) || is_reserved(name) => {}
            _ => carried.further.push((name.into(), value.into())),
        }
    }
    Ok((carried, Some(unwrapped.data)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(headers: &str) -> Row {
        Row { headers: Some(headers.to_owned()), ..Row::default() }
    }

    #[test]
    fn headers_are_an_object_of_texts() {
        let headers = further(&row(r#"{"tenant":"a","tries":2,"none":null}"#)).unwrap();
        let texts: Vec<_> = headers.iter().map(|(name, value)| (&**name, &value[..])).collect();
        assert_eq!(texts, [("tenant", &b"a"[..]), ("tries", &b"2"[..])]);
        assert_eq!(further(&Row::default()), Ok(Vec::new()));
        for wrong in ["[]", "x", r#"{"a":{}}"#, r#"{"ce_id":"x"}"#, r#"{"Content-Type":"x"}"#] {
            assert_eq!(further(&row(wrong)).unwrap_err().code, MALFORMED, "{wrong}");
        }
    }

    #[test]
    fn a_reason_is_read_as_it_was_written() {
        let misfit = Misfit::new(NO_TOPIC, "there is no topic \"a\": really");
        assert_eq!(Misfit::from_text(&misfit.to_text()), misfit);
        assert_eq!(Misfit::from_text("by hand").reason, "by hand");
    }
}
