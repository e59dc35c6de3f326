//! Says what has become of an order: confirmed once it is paid, shipped once its user was told,
//! cancelled when its stock was released. It is the only publisher of that.
//!
//! Payments and notifications are topics of their own, and read apart: a notification may be seen
//! before the payment that led to it. An order that is not confirmed yet is shipped after it is.

use commerce_events::{
    CommerceEvent as _, Envelope, InventoryReleased, NotificationFailed, NotificationSent,
    OrderCancelled, OrderConfirmed, OrderShipped, PaymentProcessed,
};
use gristmill_plugin::{Event, Host, Outcome, reject};
use serde::{Deserialize, Serialize};

const SOURCE: &str = "order-service";

gristmill_plugin::export!(handle);

/// How far an order is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
enum Stage {
    /// Its user was told, and its payment was not seen yet.
    Told { shipment_id: String, by: String },
    /// Paid.
    Confirmed,
    /// On its way, or cancelled.
    Ended,
}

/// Handles what happens to an order elsewhere.
///
/// # Errors
///
/// Rejects types it does not know (`event-type`).
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        PaymentProcessed::TYPE => confirm(event.json()?, event, host),
        // Who cannot be told has the parcel on its way all the same.
        NotificationSent::TYPE | NotificationFailed::TYPE => ship(event.json()?, event, host),
        InventoryReleased::TYPE => cancel(event.json()?, event, host),
        other => Err(reject("event-type", format!("{other} says nothing of orders"))),
    }
}

fn confirm(payment: PaymentProcessed, event: &Event, host: &mut Host) -> Outcome {
    let PaymentProcessed { order_id, user_id, .. } = payment;
    let name = name(&order_id);
    let id = format!("{order_id}-confirmed");
    let confirmed = OrderConfirmed { order_id: order_id.clone(), user_id: user_id.clone() };
    let told = match host.state().get_json(&name)? {
        Some(Stage::Confirmed | Stage::Ended) => return Ok(()),
        Some(Stage::Told { shipment_id, by }) => Some((shipment_id, by)),
        None => None,
    };
    Envelope::following(event, id, SOURCE, confirmed).of(&user_id).tell(host)?;
    match told {
        Some((shipment_id, by)) => {
            shipped(OrderShipped { order_id, user_id, shipment_id }, (event, &by), host)
        }
        None => Ok(host.state().set_json(&name, &Stage::Confirmed)?),
    }
}

fn ship(told: NotificationSent, event: &Event, host: &mut Host) -> Outcome {
    // A welcome is about no order.
    let (Some(order_id), Some(shipment_id)) = (told.order_id, told.shipment_id) else {
        return Ok(());
    };
    let name = name(&order_id);
    match host.state().get_json(&name)? {
        Some(Stage::Confirmed) => {
            let order = OrderShipped { order_id, user_id: told.user_id, shipment_id };
            shipped(order, (event, &event.id), host)
        }
        Some(Stage::Told { .. } | Stage::Ended) => Ok(()),
        None => {
            let stage = Stage::Told { shipment_id, by: event.id.clone() };
            Ok(host.state().set_json(&name, &stage)?)
        }
    }
}

/// Whatever is seen last, that the user was told is what ships an order: `by` is that event.
fn shipped(order: OrderShipped, (event, by): (&Event, &str), host: &mut Host) -> Outcome {
    host.state().set_json(&name(&order.order_id), &Stage::Ended)?;
    let (id, user_id) = (format!("{}-shipped", order.order_id), order.user_id.clone());
    let shipped = Envelope::following(event, id, SOURCE, order).of(&user_id);
    shipped.caused_by(by, &event.correlation_id).tell(host)
}

fn cancel(released: InventoryReleased, event: &Event, host: &mut Host) -> Outcome {
    let InventoryReleased { order_id, user_id, reason, .. } = released;
    host.state().set_json(&name(&order_id), &Stage::Ended)?;
    let id = format!("{order_id}-cancelled");
    let cancelled = OrderCancelled { order_id, user_id: user_id.clone(), reason };
    Envelope::following(event, id, SOURCE, cancelled).of(&user_id).tell(host)
}

fn name(order_id: &str) -> String {
    format!("order/{order_id}")
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::json;

    use super::*;

    fn of_type(kind: &str) -> Event {
        let data = json!({
            "paymentId": "p1", "notificationId": "n1", "orderId": "o1", "userId": "ada",
            "amountCents": 5, "currency": "EUR", "channel": "email", "template": "order-shipped",
            "shipmentId": "s1", "items": [], "reason": "no funds",
        });
        event("any", data.to_string()).with_type(kind).with_key("ada")
    }

    fn told(kinds: &[&str]) -> Vec<String> {
        let mut host = TestHost::new();
        for kind in kinds {
            host.handle(handle, &of_type(kind)).unwrap();
        }
        host.emissions().iter().map(|it| it.event_type.clone()).collect()
    }

    #[test]
    fn an_order_is_confirmed_before_it_is_shipped_whatever_is_seen_first() {
        let (paid, sent) = ("PaymentProcessed", "NotificationSent");
        for kinds in [&[paid, sent][..], &[sent, paid], &[sent, sent, paid, paid, sent]] {
            assert_eq!(told(kinds), ["OrderConfirmed", "OrderShipped"], "{kinds:?}");
        }
        assert_eq!(told(&[paid, "NotificationFailed"]), ["OrderConfirmed", "OrderShipped"]);
        assert!(told(&[sent]).is_empty());
    }

    #[test]
    fn an_order_whose_stock_was_released_is_cancelled() {
        assert_eq!(told(&["InventoryReleased"]), ["OrderCancelled"]);
    }

    #[test]
    fn a_welcome_ships_nothing() {
        let data = r#"{"notificationId":"n","userId":"ada","channel":"email","template":"w"}"#;
        let welcome = event("any", data).with_type("NotificationSent").with_key("ada");
        let mut host = TestHost::new();
        host.handle(handle, &welcome).unwrap();
        assert!(host.emissions().is_empty());
    }

    #[test]
    fn what_says_nothing_of_orders_is_refused() {
        let failure = TestHost::new().handle(handle, &of_type("UserUpdated")).unwrap_err();
        assert_eq!(failure.code(), Some("event-type"));
    }
}
