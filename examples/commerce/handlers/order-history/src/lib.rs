//! Rebuilds each order from its events, and from nothing else: event sourcing. Whoever deletes its
//! state and reads `order-events` again has the same orders. It publishes nothing.

use commerce_events::{
    CommerceEvent as _, OrderCancelled, OrderConfirmed, OrderCreated, OrderItem, OrderShipped,
};
use gristmill_plugin::{Event, Host, Outcome, Timestamp, reject};
use serde::{Deserialize, Serialize};

gristmill_plugin::export!(handle);

/// An order as its events make it.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// `created`, `confirmed`, `shipped` or `cancelled`.
    pub status: String,
    /// What was ordered; nothing where the order came another way.
    pub items: Vec<OrderItem>,
    /// What it costs, in cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_cents: Option<i64>,
    /// Currency, by ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// In which parcel it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipment_id: Option<String>,
    /// Why it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The types of its events, with their moments, in their order.
    pub events: Vec<(String, Timestamp)>,
}

/// Applies one event to its order.
///
/// # Errors
///
/// Rejects types it does not know (`event-type`).
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        OrderCreated::TYPE => {
            let OrderCreated { order_id, items, total_cents, currency, .. } = event.json()?;
            apply(&order_id, "created", event, host, |order| {
                order.items = items;
                (order.total_cents, order.currency) = (Some(total_cents), Some(currency));
            })
        }
        OrderConfirmed::TYPE => {
            let OrderConfirmed { order_id, .. } = event.json()?;
            apply(&order_id, "confirmed", event, host, |_| ())
        }
        OrderShipped::TYPE => {
            let OrderShipped { order_id, shipment_id, .. } = event.json()?;
            apply(&order_id, "shipped", event, host, |order| order.shipment_id = Some(shipment_id))
        }
        OrderCancelled::TYPE => {
            let OrderCancelled { order_id, reason, .. } = event.json()?;
            apply(&order_id, "cancelled", event, host, |order| order.reason = Some(reason))
        }
        other => Err(reject("event-type", format!("{other} is no event of an order"))),
    }
}

fn apply(
    order_id: &str,
    status: &str,
    event: &Event,
    host: &mut Host,
    change: impl FnOnce(&mut Order),
) -> Outcome {
    let name = format!("order/{order_id}");
    let mut order: Order = host.state().get_json(&name)?.unwrap_or_default();
    status.clone_into(&mut order.status);
    order.events.push((event.event_type.clone(), event.time));
    change(&mut order);
    Ok(host.state().set_json(&name, &order)?)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::json;

    use super::*;

    fn of_type(kind: &str) -> Event {
        let data = json!({
            "orderId": "o1", "userId": "ada", "totalCents": 200, "currency": "EUR",
            "items": [{"productId": "tea", "quantity": 2, "priceCents": 100}],
            "shipmentId": "s-o1", "reason": "no funds",
        });
        event("order-events", data.to_string()).with_type(kind).with_key("ada")
    }

    fn rebuilt(kinds: &[&str]) -> Order {
        let mut host = TestHost::new();
        for kind in kinds {
            host.handle(handle, &of_type(kind)).unwrap();
        }
        host.state_json("ada", "order/o1").unwrap()
    }

    #[test]
    fn an_order_is_what_its_events_say() {
        let shipped = rebuilt(&["OrderCreated", "OrderConfirmed", "OrderShipped"]);
        assert_eq!((&*shipped.status, shipped.total_cents), ("shipped", Some(200)));
        assert_eq!(shipped.shipment_id.as_deref(), Some("s-o1"));
        let events: Vec<_> = shipped.events.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(events, ["OrderCreated", "OrderConfirmed", "OrderShipped"]);
        let cancelled = rebuilt(&["OrderCreated", "OrderCancelled"]);
        assert_eq!(
            (&*cancelled.status, cancelled.reason.as_deref()),
            ("cancelled", Some("no funds"))
        );
    }

    #[test]
    fn what_is_no_event_of_an_order_is_refused() {
        let failure = TestHost::new().handle(handle, &of_type("UserUpdated")).unwrap_err();
        assert_eq!(failure.code(), Some("event-type"));
    }
}
