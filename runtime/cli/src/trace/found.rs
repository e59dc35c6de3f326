//! Reads of an event what tells its place in a chain: who it is, what caused it, and whether it was
//! given up on.

use serde::Serialize;

use crate::event::Event;

/// One event of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    pub(crate) id: String,
    /// What its envelope calls it, where a handler published an envelope of its own: the host gave
    /// the record an id, and what handlers were given is that of the envelope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) envelope_id: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) timestamp_ms: u64,
    /// Who published it, where it says so.
    #[serde(rename = "source")]
    pub(crate) by: Option<String>,
    #[serde(rename = "correlation_id")]
    pub(crate) correlation: String,
    #[serde(rename = "causation_id")]
    pub(crate) cause: Option<String>,
    /// Of a dead letter: whose, and why.
    #[serde(rename = "dead_letter")]
    pub(crate) given_up: Option<String>,
}

impl Found {
    /// The event as it stands in the chain. A dead letter is caused by the event that was given up
    /// on, and has its place for an id: the event has its own.
    pub(crate) fn of(event: &Event) -> Self {
        let (topic, partition, offset) = (event.topic(), event.partition(), event.offset());
        let place = format!("{topic}/{partition}/{offset}");
        let text = |header: &str, pointers: &[&str]| {
            let header = event.header(header).map(str::to_owned);
            header.or_else(|| pointers.iter().find_map(|at| event.pointed(at)))
        };
        let own = text("ce_id", &["/eventId", "/EventId", "/id"]);
        let enveloped = ["/eventId", "/EventId"].iter().find_map(|at| event.pointed(at));
        let letter = event.header("dlq-event-id").map(str::to_owned);
        let id = match &letter {
            None => own.unwrap_or_else(|| place.clone()),
            Some(_) => place,
        };
        let cause = text("ce_causationid", &["/causationId", "/CausationId"]);
        let correlation = text("ce_correlationid", &["/correlationId", "/CorrelationId"]);
        let is_letter = letter.is_some();
        let begins = letter.clone().unwrap_or_else(|| id.clone());
        Self {
            kind: event.kind().into_owned(),
            topic: topic.to_owned(),
            partition,
            offset,
            timestamp_ms: event.timestamp_ms(),
            by: text("ce_source", &["/source", "/Source"]),
            correlation: correlation.unwrap_or(begins),
            cause: letter.clone().or(cause),
            given_up: letter.map(|_| given_up(event)),
            envelope_id: enveloped.filter(|it| !is_letter && *it != id),
            id,
        }
    }

    /// Whether that is its id, or what its envelope calls it.
    pub(crate) fn is_called(&self, id: &str) -> bool {
        self.id == id || self.envelope_id.as_deref() == Some(id)
    }

    /// `topic:partition:offset`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}:{}", self.topic, self.partition, self.offset)
    }
}

fn given_up(event: &Event) -> String {
    let header = |name: &str| event.header(name).unwrap_or("-");
    let (subscription, class) = (header("dlq-subscription"), header("dlq-error-class"));
    format!("dead letter of {subscription}, {class}: {}", header("dlq-error-message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&str, &str)], payload: &str) -> Found {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| serde_json::json!({ "name": name, "value": value }))
            .collect();
        let headers = serde_json::to_string(&headers).unwrap();
        let text = format!(
            r#"{{"topic":"t","partition":1,"offset":2,"timestamp_ms":3,"headers":{headers},
                "payload":{payload}}}"#
        );
        Found::of(&Event::read(text).unwrap())
    }

    #[test]
    fn an_event_says_who_it_is_in_headers_or_in_its_envelope() {
        let of_headers = found(
            &[
                ("ce_id", "e"),
                ("ce_correlationid", "c"),
                ("ce_causationid", "b"),
                ("ce_source", "/s"),
            ],
            "{\"id\":\"other\"}",
        );
        let parts = |it: &Found| (it.id.clone(), it.correlation.clone(), it.cause.clone());
        assert_eq!(parts(&of_headers), ("e".into(), "c".into(), Some("b".into())));
        assert_eq!((of_headers.by.as_deref(), of_headers.place().as_str()), (Some("/s"), "t:1:2"));
        let of_envelope = found(&[], r#"{"eventId":"e","correlationId":"c","causationId":"b"}"#);
        assert_eq!(parts(&of_envelope), parts(&of_headers));
        let bare = found(&[], "17");
        assert_eq!(parts(&bare), ("t/1/2".into(), "t/1/2".into(), None));
    }

    #[test]
    fn an_event_with_an_envelope_of_its_own_has_two_names() {
        let both = found(&[("ce_id", "e")], r#"{"eventId":"own","id":"order-1"}"#);
        assert!(both.is_called("e") && both.is_called("own") && !both.is_called("order-1"));
        let one = found(&[("ce_id", "e")], r#"{"eventId":"e"}"#);
        assert_eq!(one.envelope_id, None);
        let letter = found(&[("dlq-event-id", "own")], r#"{"eventId":"own"}"#);
        assert!(!letter.is_called("own"), "that is who was given up on");
    }

    #[test]
    fn a_dead_letter_is_caused_by_what_was_given_up_on() {
        let headers = [
            ("dlq-event-id", "e"),
            ("dlq-subscription", "shipping"),
            ("dlq-error-class", "rejected"),
            ("dlq-error-message", "no stock"),
        ];
        let letter = found(&headers, "{}");
        assert_eq!((letter.id.as_str(), letter.cause.as_deref()), ("t/1/2", Some("e")));
        assert_eq!(letter.correlation, "e", "whose chain it ends");
        let told = "dead letter of shipping, rejected: no stock";
        assert_eq!(letter.given_up.as_deref(), Some(told));
    }
}
