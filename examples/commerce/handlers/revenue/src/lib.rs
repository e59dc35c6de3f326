//! Tells the revenue of each minute and currency: payments less what was paid back. It decides
//! nothing about a payment.
//!
//! Payments are keyed by user, revenue is of all users: the first subscription hands each amount on
//! to the lane of its currency, with the moments at which it was paid and at which its record came.
//! So the second one judges what is late by the first record, and a replay of either topic tells
//! the same.

use std::time::Duration;

use commerce_events::{PAYMENT_EVENTS, PaymentProcessed, PaymentRefunded};
use gristmill_plugin::windows::{Count, Sum, Tumbling, Window};
use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, Timer, Timestamp};
use serde::{Deserialize, Serialize};

/// Topic of amounts, keyed by currency.
pub const AMOUNTS: &str = "revenue-amounts";
/// Topic of what is told.
pub const REVENUE: &str = "revenue-per-minute";
/// Topic of amounts that came too late for their minute.
pub const LATE: &str = "revenue-late";

/// Seconds of a window, and that a payment may take to come, where the manifest says nothing.
const WINDOW_SECONDS: u64 = 60;
const LATENESS_SECONDS: u64 = 60;

gristmill_plugin::export!(handle, on_timer);

/// One amount on its way to its currency.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Amount {
    payment_id: String,
    /// Negative when it was paid back.
    cents: i64,
    paid_at: Timestamp,
    /// When the payment's record came.
    came_at: Timestamp,
}

/// What is told of a minute. Of one `currency` and `minute` the highest `revision` counts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Revenue<'a> {
    currency: &'a str,
    /// When it began.
    minute: Timestamp,
    revision: u64,
    payments: u64,
    cents: i128,
}

/// Hands a payment on, or counts an amount.
///
/// # Errors
///
/// Rejects what is no such event.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    if event.topic == PAYMENT_EVENTS {
        return hand_on(event, host);
    }
    let amount: Amount = event.json()?;
    let paid = Event { time: amount.paid_at, timestamp: amount.came_at, ..event.clone() };
    per_minute(host)?.add(&paid, host, ((), amount.cents))
}

/// Tells a minute that is over.
///
/// # Errors
///
/// As [`Tumbling::on_timer`] fails.
pub fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
    per_minute(host)?.on_timer(timer, host).map(drop)
}

fn per_minute(host: &Host) -> Result<Tumbling<(Count, Sum)>, Failure> {
    let seconds = |name: &str, usual: u64| host.config().get_or(name, usual);
    let window = Duration::from_secs(seconds("window_seconds", WINDOW_SECONDS)?);
    let lateness = Duration::from_secs(seconds("lateness_seconds", LATENESS_SECONDS)?);
    Ok(Tumbling::new("revenue", window, tell).lateness(lateness).late_to(LATE))
}

fn hand_on(event: &Event, host: &mut Host) -> Outcome {
    let (payment_id, cents, currency) = match event.event_type.as_str() {
        "PaymentProcessed" => {
            let paid: PaymentProcessed = event.json()?;
            (paid.payment_id, paid.amount_cents, paid.currency)
        }
        "PaymentRefunded" => {
            let refunded: PaymentRefunded = event.json()?;
            (refunded.payment_id, -refunded.amount_cents, refunded.currency)
        }
        _ => return Ok(()),
    };
    let (paid_at, came_at) = (event.time, event.timestamp);
    let amount = Amount { payment_id, cents, paid_at, came_at };
    Ok(host.emit(Emission::json(AMOUNTS, "RevenueAmount", &amount)?.key(currency))?)
}

fn tell(window: &Window<(u64, i128)>, host: &mut Host) -> Outcome {
    let (payments, cents) = window.value;
    let (minute, revision) = (window.start, window.revision);
    let revenue = Revenue { currency: &window.key, minute, revision, payments, cents };
    Ok(host.emit(Emission::json(REVENUE, "RevenueOfMinute", &revenue)?)?)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{EVENT_TIME, TestHost, event};

    use super::*;

    fn payment(kind: &str, second: u64, cents: i64) -> Event {
        let payload = format!(
            r#"{{"paymentId":"p{second}","orderId":"o1","userId":"ada","amountCents":{cents},
            "currency":"EUR"}}"#
        );
        let happened = EVENT_TIME.after(Duration::from_secs(second));
        event(PAYMENT_EVENTS, payload).with_key("ada").with_type(kind).with_time(happened)
    }

    /// What is told of payments when all is over, and how many amounts were too late.
    fn told(payments: &[Event]) -> (Vec<String>, usize) {
        let mut host = TestHost::new();
        for payment in payments {
            let before = host.emissions().len();
            host.handle(handle, payment).unwrap();
            let amounts = host.emissions()[before..].to_vec();
            for amount in amounts {
                let key = amount.key.clone().unwrap();
                // It came by far later than the payment did, which does not matter.
                let later = EVENT_TIME.after(Duration::from_hours(1));
                let amount = event(AMOUNTS, amount.payload).with_key(key).with_time(later);
                host.handle(handle, &amount).unwrap();
            }
        }
        host.advance(on_timer, EVENT_TIME.after(Duration::from_hours(2))).unwrap();
        let of = |topic: &'static str| host.emissions().iter().filter(move |it| it.topic == topic);
        let texts = of(REVENUE).map(|it| String::from_utf8_lossy(&it.payload).into_owned());
        (texts.collect(), of(LATE).count())
    }

    #[test]
    fn a_minute_has_its_payments_less_what_was_paid_back() {
        let (told, late) = told(&[
            payment("PaymentProcessed", 70, 500),
            payment("PaymentProcessed", 10, 1_000),
            payment("PaymentInitiated", 11, 9_999),
            payment("PaymentRefunded", 20, 250),
        ]);
        let minutes = [
            concat!(
                r#"{"currency":"EUR","minute":"2026-01-01T12:00:00Z","revision":2,"#,
                r#""payments":2,"cents":750}"#
            ),
            concat!(
                r#"{"currency":"EUR","minute":"2026-01-01T12:01:00Z","revision":1,"#,
                r#""payments":1,"cents":500}"#
            ),
        ];
        assert_eq!((told, late), (minutes.map(str::to_owned).to_vec(), 0));
    }

    #[test]
    fn a_payment_that_came_too_late_is_told_apart() {
        let came = EVENT_TIME.after(Duration::from_secs(121));
        let late = payment("PaymentProcessed", 10, 1_000).with_timestamp(came);
        assert_eq!(told(&[late]), (vec![], 1));
    }

    #[test]
    fn what_is_no_payment_is_refused() {
        let odd = event(PAYMENT_EVENTS, "{}").with_key("ada").with_type("PaymentProcessed");
        assert_eq!(TestHost::new().handle(handle, &odd).unwrap_err().code(), Some("payload"));
    }
}
