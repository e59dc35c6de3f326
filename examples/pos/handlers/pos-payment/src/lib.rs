//! Has every order paid for, once, and tells how that went. A payment that is declined is an
//! answer, and no failure.

use gristmill_plugin::{Event, Host, Outcome, Response, reject};
use pos_events::{OrderPlaced, PAYMENT_ACCEPTED, PAYMENT_DECLINED, PaymentSettled, Told};
use serde::{Deserialize, Serialize};

const TOPIC: &str = "billing.payment.settled";
/// The only currency the payment service knows.
const CURRENCY: &str = "EUR";
/// Status by which the payment service says that it will not.
const DECLINED: u16 = 402;

gristmill_plugin::export!(handle);

/// What the payment service is asked for. Every request carries an `Idempotency-Key`, the same at
/// every attempt: the service takes the money once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Payment<'a> {
    order_id: &'a str,
    card: &'a str,
    currency: &'a str,
    amount: u64,
}

/// What the payment service says when it declines.
#[derive(Debug, Deserialize)]
struct Refusal {
    reason: String,
}

/// Handles one order.
///
/// # Errors
///
/// Rejects orders in other currencies (`currency`). A payment service that is away is asked again.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let order: OrderPlaced = event.json()?;
    if order.currency != CURRENCY {
        return Err(reject(
            "currency",
            format!("order {} is in {}", order.order_id, order.currency),
        ));
    }
    let url: String = host.config().require("payment")?;
    let asked = Payment {
        order_id: &order.order_id,
        card: &order.card,
        currency: &order.currency,
        amount: order.amount,
    };
    let answer = host.http().post(format!("{url}/payments")).json(&asked)?.send()?;
    let reason = reason(answer)?;
    let event_type = if reason.is_none() { PAYMENT_ACCEPTED } else { PAYMENT_DECLINED };
    let OrderPlaced { order_id, email, currency, amount, .. } = order;
    let data = PaymentSettled { order_id, email, currency, amount, reason };
    let (topic, source, name) = (TOPIC, "payment", "payment");
    Told { topic, event_type, source, name, data: &data }.tell(event, host)
}

/// Why a payment was declined, if it was.
fn reason(answer: Response) -> Result<Option<String>, gristmill_plugin::Failure> {
    if answer.status == DECLINED {
        return Ok(Some(answer.json::<Refusal>()?.reason));
    }
    answer.or_fail()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::{Value, json};

    use super::*;

    fn order(currency: &str) -> Event {
        let data = format!(
            r#"{{"orderId":"o1","userId":"u1","email":"ada@example.com","card":"c1",
            "currency":"{currency}","amount":900,"lines":[]}}"#
        );
        event("sales.order.placed", data).with_id("e1")
    }

    fn host(status: u16, body: &str) -> TestHost {
        let mut host = TestHost::new().with_config("payment", "http://pay");
        host.answer(Ok(Response { status, body: body.into(), ..Response::default() }));
        host
    }

    #[test]
    fn an_answer_is_told_whatever_it_is() {
        for (status, body, event_type, reason) in [
            (200, "{}", PAYMENT_ACCEPTED, Value::Null),
            (402, r#"{"reason":"no funds"}"#, PAYMENT_DECLINED, json!("no funds")),
        ] {
            let mut host = host(status, body);
            host.handle(handle, &order("EUR")).unwrap();
            let asked: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
            let expected = json!({"orderId": "o1", "card": "c1", "currency": "EUR", "amount": 900});
            assert_eq!(asked, expected);
            let [told] = host.emissions() else { panic!("{:?}", host.emissions()) };
            assert_eq!((&*told.topic, &*told.event_type), (TOPIC, event_type));
            let told: Value = serde_json::from_slice(&told.payload).unwrap();
            assert_eq!(
                (&told["eventId"], &told["data"]["amount"]),
                (&json!("e1-payment"), &json!(900))
            );
            assert_eq!(told["data"]["reason"], reason);
            assert!(told["data"]["card"].is_null(), "cards stay here");
        }
    }

    #[test]
    fn a_service_that_is_away_is_asked_again() {
        let mut host = host(503, "");
        let failure = host.handle(handle, &order("EUR")).unwrap_err();
        assert_eq!(failure.to_string(), "retry: answered with status 503");
        assert!(host.emissions().is_empty());
    }

    #[test]
    fn other_currencies_are_refused_before_anybody_is_asked() {
        let mut host = host(200, "{}");
        let failure = host.handle(handle, &order("USD")).unwrap_err();
        assert_eq!(failure.code(), Some("currency"));
        assert!(host.requests().is_empty());
    }
}
