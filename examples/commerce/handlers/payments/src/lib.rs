//! Has reserved orders paid for, and says how that went. A payment that is declined is an answer,
//! and no failure. It keeps no money and no cards: the provider has both.

use commerce_events::{
    Envelope, InventoryReserved, PaymentFailed, PaymentInitiated, PaymentProcessed,
};
use gristmill_plugin::{Event, Failure, Host, Outcome};
use serde::{Deserialize, Serialize};

const SOURCE: &str = "payment-service";
/// Status by which the provider declines.
const DECLINED: u16 = 402;

gristmill_plugin::export!(handle);

/// What the provider is asked for. Every request carries an `Idempotency-Key`, the same at every
/// attempt: the money is taken once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bill<'a> {
    order_id: &'a str,
    user_id: &'a str,
    amount_cents: i64,
    currency: &'a str,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    reason: String,
}

/// Has an order paid for whose stock is reserved. That a payment was begun and how it ended become
/// durable together.
///
/// # Errors
///
/// A provider that is away is asked again.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let order: InventoryReserved = event.json()?;
    let InventoryReserved { order_id, user_id, total_cents: amount_cents, currency, .. } = order;
    let payment_id = format!("pay-{order_id}");
    let bill = Bill { order_id: &order_id, user_id: &user_id, amount_cents, currency: &currency };
    let refusal = charged(&bill, host)?;
    let initiated = PaymentInitiated {
        payment_id: payment_id.clone(),
        order_id: order_id.clone(),
        user_id: user_id.clone(),
        amount_cents,
        currency: currency.clone(),
    };
    let id = format!("{order_id}-paying");
    Envelope::following(event, id, SOURCE, initiated).of(&user_id).tell(host)?;
    let (user, id) = (user_id.clone(), format!("{order_id}-paid"));
    if let Some(reason) = refusal {
        let failed =
            PaymentFailed { payment_id, order_id, user_id, amount_cents, currency, reason };
        return Envelope::following(event, id, SOURCE, failed).of(&user).tell(host);
    }
    let processed = PaymentProcessed { payment_id, order_id, user_id, amount_cents, currency };
    Envelope::following(event, id, SOURCE, processed).of(&user).tell(host)
}

/// Why the provider declined, if it did.
fn charged(bill: &Bill<'_>, host: &mut Host) -> Result<Option<String>, Failure> {
    let provider: String = host.config().require("provider")?;
    let answer = host.http().post(format!("{provider}/payments")).json(bill)?.send()?;
    if answer.status == DECLINED {
        return Ok(Some(answer.json::<Refusal>()?.reason));
    }
    answer.or_fail()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::Response;
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::{Value, json};

    use super::*;

    fn asked(status: u16, body: &str) -> (TestHost, Outcome) {
        let mut host = TestHost::new().with_config("provider", "http://pay");
        host.answer(Ok(Response { status, body: body.into(), ..Response::default() }));
        let data = json!({
            "orderId": "o1", "userId": "ada", "items": [], "totalCents": 900, "currency": "EUR",
        });
        let event = event("inventory-events", data.to_string()).with_key("ada");
        let outcome = host.handle(handle, &event);
        (host, outcome)
    }

    #[test]
    fn an_answer_is_told_whatever_it_is() {
        for (status, body, kind, reason) in [
            (200, "{}", "PaymentProcessed", Value::Null),
            (402, r#"{"reason":"no funds"}"#, "PaymentFailed", json!("no funds")),
        ] {
            let (host, outcome) = asked(status, body);
            outcome.unwrap();
            let bill: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
            assert_eq!((&bill["amountCents"], &bill["userId"]), (&json!(900), &json!("ada")));
            let [begun, ended] = host.emissions() else { panic!("{:?}", host.emissions()) };
            assert_eq!((&*begun.event_type, &*ended.event_type), ("PaymentInitiated", kind));
            let told: Value = serde_json::from_slice(&ended.payload).unwrap();
            assert_eq!((&told["eventId"], &told["data"]["reason"]), (&json!("o1-paid"), &reason));
        }
    }

    #[test]
    fn a_provider_that_is_away_is_asked_again() {
        let (host, outcome) = asked(503, "");
        assert!(outcome.unwrap_err().is_retry());
        assert!(host.emissions().is_empty());
    }
}
