//! The events of the system, and what each of them wears: one envelope, two headers, a key. It
//! decides nothing.

use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, Timestamp};
use serde::{Deserialize, Serialize};

pub const USER_CREATED: &str = "user.created.v1";
pub const ORDER_PLACED: &str = "order.placed.v1";
pub const STOCK_DELIVERED: &str = "stock.delivered.v1";
pub const STOCK_REQUESTED: &str = "stock.requested.v1";
pub const STOCK_RESERVED: &str = "stock.reserved.v1";
pub const PAYMENT_ACCEPTED: &str = "payment.accepted.v1";
pub const PAYMENT_DECLINED: &str = "payment.declined.v1";
pub const MAIL_SENT: &str = "mail.sent.v1";
pub const COUNTER_RAISED: &str = "counter.raised.v1";

/// Version of every event that is published here.
const VERSION: &str = "1.0.0";

/// Somebody has an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserCreated {
    pub user_id: String,
    pub email: String,
    pub full_name: String,
}

/// Somebody wants to buy something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderPlaced {
    pub order_id: String,
    pub user_id: String,
    pub email: String,
    pub card: String,
    /// ISO 4217.
    pub currency: String,
    /// In the smallest unit of the currency.
    pub amount: u64,
    pub lines: Vec<Line>,
}

/// Some pieces of one article.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub sku: String,
    pub quantity: u64,
}

/// What became of the payment of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentSettled {
    pub order_id: String,
    pub email: String,
    pub currency: String,
    /// In the smallest unit of the currency.
    pub amount: u64,
    /// Why it was declined, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Pieces of one article that an order asks for, and then has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockOfOrder {
    pub order_id: String,
    pub sku: String,
    pub quantity: u64,
}

/// Somebody was written to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MailSent {
    pub to: String,
    pub template: String,
    /// The user or the order it is about.
    pub about: String,
}

/// A counter goes up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CounterRaised {
    pub counter: String,
    pub by: u64,
}

/// What every event of the system wears.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, T> {
    event_id: &'a str,
    event_type: &'a str,
    event_version: &'a str,
    timestamp: Timestamp,
    source: &'a str,
    correlation_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    data: &'a T,
}

/// An event to be published: what is said, and where.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a, T> {
    pub topic: &'a str,
    pub event_type: &'a str,
    /// The service that says it.
    pub source: &'a str,
    /// What tells it from everything else that the same event causes.
    pub name: &'a str,
    pub data: &'a T,
}

impl<T: Serialize> Told<'_, T> {
    /// The event in the envelope of the system, with its headers. Its key is its id.
    ///
    /// Its id is made of the id of what caused it, and its moment is that of its cause, so that
    /// every attempt says the same.
    ///
    /// # Errors
    ///
    /// Rejects data that has no JSON form.
    pub fn because_of(&self, cause: &Event) -> Result<Emission, Failure> {
        let event_id = format!("{}-{}", cause.id, self.name);
        let envelope = Envelope {
            event_id: &event_id,
            event_type: self.event_type,
            event_version: VERSION,
            timestamp: cause.time,
            source: self.source,
            correlation_id: &cause.correlation_id,
            trace_id: trace_id(cause),
            data: self.data,
        };
        let emission = Emission::json(self.topic, self.event_type, &envelope)?
            .version(VERSION)
            .key(&event_id)
            .header("event-type", self.event_type)
            .header("event-version", VERSION);
        Ok(emission)
    }

    /// Publishes it under its id.
    ///
    /// # Errors
    ///
    /// Rejects the cause when that is not granted, or the event breaks its schema.
    pub fn tell(&self, cause: &Event, host: &mut Host) -> Outcome {
        host.emit(self.because_of(cause)?)?;
        Ok(())
    }

    /// Publishes it under another key: events of one key keep their order, and share state.
    ///
    /// # Errors
    ///
    /// As [`Told::tell`].
    pub fn tell_of(&self, key: &str, cause: &Event, host: &mut Host) -> Outcome {
        host.emit(self.because_of(cause)?.key(key))?;
        Ok(())
    }
}

/// The trace that an event is part of: the second field of `traceparent` (source: W3C Trace
/// Context).
fn trace_id(event: &Event) -> Option<&str> {
    event.trace_parent.as_deref()?.split('-').nth(1)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::event;
    use serde_json::{Value, json};

    use super::*;

    fn told(cause: &Event) -> Emission {
        let data = MailSent { to: "a@b".into(), template: "welcome".into(), about: "u1".into() };
        let told = Told {
            topic: "notification.mail.sent",
            event_type: MAIL_SENT,
            source: "notification",
            name: "mail",
            data: &data,
        };
        told.because_of(cause).unwrap()
    }

    #[test]
    fn what_is_published_wears_the_envelope_and_the_headers() {
        let emission = told(&event("identity.user.created", "{}").with_id("e1"));
        let payload: Value = serde_json::from_slice(&emission.payload).unwrap();
        let expected = json!({
            "eventId": "e1-mail", "eventType": "mail.sent.v1", "eventVersion": "1.0.0",
            "timestamp": "2026-01-01T12:00:00Z", "source": "notification", "correlationId": "e1",
            "data": {"to": "a@b", "template": "welcome", "about": "u1"},
        });
        assert_eq!(payload, expected);
        assert_eq!(emission.key.as_deref(), Some(&b"e1-mail"[..]));
        let header = |name: &str| {
            let found = emission.headers.iter().find(|header| header.name == name).unwrap();
            String::from_utf8(found.value.clone()).unwrap()
        };
        assert_eq!(header("event-type"), "mail.sent.v1");
        assert_eq!(header("event-version"), "1.0.0");
    }

    #[test]
    fn correlation_and_trace_are_passed_on() {
        let cause = Event {
            correlation_id: "c9".into(),
            trace_parent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            ..event("identity.user.created", "{}").with_id("e1")
        };
        let payload: Value = serde_json::from_slice(&told(&cause).payload).unwrap();
        assert_eq!(payload["correlationId"], "c9");
        assert_eq!(payload["traceId"], "0af7651916cd43dd8448eb211c80319c");
    }
}
