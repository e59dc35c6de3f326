//! Counts what happens, by day. Events have keys of their own, so each first says which counter
//! goes up, under that counter's key, where it is kept.

use gristmill_plugin::{Event, Host, Outcome, reject};
use pos_events::{
    COUNTER_RAISED, CounterRaised, ORDER_PLACED, PAYMENT_ACCEPTED, PaymentSettled, Told,
    USER_CREATED,
};
use serde::{Deserialize, Serialize};

const COUNTER: &str = "counter";

gristmill_plugin::export!(handle);

/// What one counter has come to.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    pub events: u64,
    pub total: u64,
}

/// Says which counter an event raises, or raises one.
///
/// # Errors
///
/// Rejects types that are not counted (`event-type`).
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        USER_CREATED => raise("users", 1, event, host),
        ORDER_PLACED => raise("orders", 1, event, host),
        PAYMENT_ACCEPTED => raise("revenue", event.json::<PaymentSettled>()?.amount, event, host),
        COUNTER_RAISED => count(&event.json()?, host),
        other => Err(reject("event-type", format!("{other} is not counted"))),
    }
}

fn raise(what: &str, by: u64, event: &Event, host: &mut Host) -> Outcome {
    let moment = event.time.to_string();
    let day = moment.split('T').next().unwrap_or_default();
    let data = CounterRaised { counter: format!("{what}-{day}"), by };
    let told = Told {
        topic: "analytics.counter.raised",
        event_type: COUNTER_RAISED,
        source: "analytics",
        name: what,
        data: &data,
    };
    told.tell_of(&data.counter, event, host)
}

fn count(raised: &CounterRaised, host: &mut Host) -> Outcome {
    let mut counter: Counter = host.state().get_json(COUNTER)?.unwrap_or_default();
    counter.events += 1;
    counter.total += raised.by;
    host.state().set_json(COUNTER, &counter)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::{Value, json};

    use super::*;

    const PAYMENT: &str = r#"{"orderId":"o1","email":"a@b","currency":"EUR","amount":900}"#;

    #[test]
    fn each_type_raises_its_counter_of_the_day() {
        for (event_type, data, counter, by) in [
            (USER_CREATED, "{}", "users-2026-01-01", 1),
            (ORDER_PLACED, "{}", "orders-2026-01-01", 1),
            (PAYMENT_ACCEPTED, PAYMENT, "revenue-2026-01-01", 900),
        ] {
            let mut host = TestHost::new();
            host.handle(handle, &event("any", data).with_type(event_type)).unwrap();
            let [told] = host.emissions() else { panic!("{:?}", host.emissions()) };
            assert_eq!(told.key.as_deref(), Some(counter.as_bytes()));
            let told: Value = serde_json::from_slice(&told.payload).unwrap();
            assert_eq!(told["data"], json!({"counter": counter, "by": by}));
        }
    }

    #[test]
    fn counters_add_up() {
        let mut host = TestHost::new();
        for by in [900, 100] {
            let raised = json!({"counter": "revenue-2026-01-01", "by": by}).to_string();
            let raised = event("any", raised).with_type(COUNTER_RAISED).with_key("revenue");
            host.handle(handle, &raised).unwrap();
        }
        let counter: Counter = host.state_json("revenue", COUNTER).unwrap();
        assert_eq!(counter, Counter { events: 2, total: 1_000 });
    }

    #[test]
    fn what_is_not_counted_is_refused() {
        let other = event("any", "{}").with_type("mail.sent.v1");
        assert_eq!(TestHost::new().handle(handle, &other).unwrap_err().code(), Some("event-type"));
    }
}
