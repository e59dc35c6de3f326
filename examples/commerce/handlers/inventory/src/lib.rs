//! Sets stock aside for orders. An order is taken apart by product, since stock is kept under the
//! key of its product; the answers are put together again under that of its user. It takes all
//! of an order or nothing.
//!
//! A product that nobody has counted yet is unknown rather than missing: who asks for it waits for
//! the first count. So it does not matter which topic is read first.

mod gather;
mod stock;

use std::collections::BTreeMap;

use commerce_events::{
    CommerceEvent as _, Envelope, InventoryAdjusted, OrderCreated, PaymentFailed, Picking,
    StockAnswered, StockItem, StockRequested, StockReturned,
};
use gristmill_plugin::{Event, Host, Outcome, reject};

/// The service, as envelopes name it.
const SOURCE: &str = "inventory-service";

gristmill_plugin::export!(handle);

/// Handles an order, what it asks for of one product, a count, an answer, or a payment that failed.
///
/// # Errors
///
/// Rejects types it does not know (`event-type`), and orders of nothing (`no-items`).
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        OrderCreated::TYPE => take_apart(&event.json()?, event, host),
        StockRequested::TYPE => stock::request(event.json()?, event, host),
        StockReturned::TYPE => stock::take_back(&event.json()?, event, host),
        InventoryAdjusted::TYPE => stock::adjust(&event.json()?, host),
        StockAnswered::TYPE => gather::answered(event.json()?, event, host),
        PaymentFailed::TYPE => gather::unpaid(event.json()?, event, host),
        other => Err(reject("event-type", format!("{other} says nothing of stock"))),
    }
}

fn take_apart(order: &OrderCreated, event: &Event, host: &mut Host) -> Outcome {
    let mut wanted: BTreeMap<&str, u32> = BTreeMap::new();
    for item in &order.items {
        let quantity = wanted.entry(&item.product_id).or_default();
        *quantity = quantity.saturating_add(item.quantity);
    }
    if wanted.is_empty() {
        return Err(reject("no-items", format!("order {} is of nothing", order.order_id)));
    }
    let picking = Picking {
        order_id: order.order_id.clone(),
        event_id: event.id.clone(),
        user_id: order.user_id.clone(),
        lines: wanted.len(),
        total_cents: order.total_cents,
        currency: order.currency.clone(),
    };
    for (product_id, quantity) in wanted {
        let item = StockItem { product_id: product_id.to_owned(), quantity };
        let request = StockRequested { order: picking.clone(), item };
        Envelope::following(event, request.event_id(), SOURCE, request)
            .tell_of(product_id, host)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::{Value, json};

    use super::*;

    /// The inventory with its topics between it, and what it told others.
    struct World {
        host: TestHost,
        told: Vec<Value>,
    }

    impl World {
        fn new() -> Self {
            Self { host: TestHost::new(), told: Vec::new() }
        }

        /// Handles an event, and whatever follows from it within the inventory.
        fn happens(&mut self, kind: &str, key: &str, data: &Value) {
            let mut open = VecDeque::from([(kind.to_owned(), key.to_owned(), data.clone())]);
            while let Some((kind, key, data)) = open.pop_front() {
                let before = self.host.emissions().len();
                let event = event("any", data.to_string()).with_type(&kind).with_key(key);
                self.host.handle(handle, &event).unwrap();
                for emission in self.host.emissions()[before..].iter().cloned() {
                    let wrapped: Value = serde_json::from_slice(&emission.payload).unwrap();
                    let key = String::from_utf8(emission.key.unwrap()).unwrap();
                    if emission.topic.starts_with("stock-") {
                        open.push_back((emission.event_type, key, wrapped["data"].clone()));
                    } else {
                        assert_eq!(key, "ada");
                        self.told.push(json!([emission.event_type, wrapped["data"]]));
                    }
                }
            }
        }

        fn counted(&mut self, product: &str, change: i64) {
            let data = json!({"productId": product, "change": change, "reason": "counted"});
            self.happens("InventoryAdjusted", product, &data);
        }

        fn ordered(&mut self, order: &str, items: &[(&str, u32)]) {
            let items: Vec<_> = items
                .iter()
                .map(|(id, count)| json!({"productId": id, "quantity": count, "priceCents": 100}))
                .collect();
            let data = json!({
                "orderId": order, "userId": "ada", "items": items, "totalCents": 700,
                "currency": "EUR",
            });
            self.happens("OrderCreated", "ada", &data);
        }

        fn available(&self, product: &str) -> Option<i64> {
            self.host.state_json(product, "available")
        }

        /// The types that were told, and of releases the reason.
        fn told(&self) -> Vec<String> {
            let told = self.told.iter().map(|it| {
                let reason = it[1]["reason"].as_str().map(|it| format!(": {it}"));
                format!("{}{}", it[0].as_str().unwrap(), reason.unwrap_or_default())
            });
            told.collect()
        }
    }

    #[test]
    fn an_order_has_all_it_wants_or_nothing() {
        let mut world = World::new();
        world.counted("tea", 5);
        world.counted("cup", 1);
        world.ordered("o1", &[("tea", 2), ("cup", 1), ("tea", 1)]);
        world.ordered("o2", &[("tea", 2), ("cup", 1)]);
        let expected = ["InventoryReserved", "InventoryReleased: no stock of cup"];
        assert_eq!(world.told(), expected);
        let reserved = &world.told[0][1]["items"];
        let items =
            json!([{"productId": "cup", "quantity": 1}, {"productId": "tea", "quantity": 3}]);
        assert_eq!(*reserved, items);
        assert_eq!(world.told[1][1]["items"], json!([{"productId": "tea", "quantity": 2}]));
        assert_eq!((world.available("tea"), world.available("cup")), (Some(2), Some(0)));
    }

    #[test]
    fn a_product_that_was_never_counted_is_waited_for() {
        let mut world = World::new();
        world.ordered("o1", &[("tea", 2)]);
        world.ordered("o2", &[("tea", 2)]);
        assert!(world.told().is_empty());
        world.counted("tea", 3);
        assert_eq!(world.told(), ["InventoryReserved", "InventoryReleased: no stock of tea"]);
        assert_eq!(world.available("tea"), Some(1));
    }

    #[test]
    fn a_payment_that_failed_gives_stock_back_once() {
        let mut world = World::new();
        world.counted("tea", 5);
        world.ordered("o1", &[("tea", 2)]);
        let failed = json!({
            "paymentId": "p", "orderId": "o1", "userId": "ada", "amountCents": 700,
            "currency": "EUR", "reason": "no funds",
        });
        for _time in 0..2 {
            world.happens("PaymentFailed", "ada", &failed);
        }
        assert_eq!(world.told(), ["InventoryReserved", "InventoryReleased: no funds"]);
        assert_eq!(world.available("tea"), Some(5));
    }

    #[test]
    fn a_payment_of_an_order_that_is_not_ours_changes_nothing() {
        let mut world = World::new();
        let failed = json!({
            "paymentId": "p", "orderId": "o9", "userId": "ada", "amountCents": 700,
            "currency": "EUR", "reason": "no funds",
        });
        world.happens("PaymentFailed", "ada", &failed);
        assert!(world.told().is_empty());
    }

    #[test]
    fn a_saga_is_answered_at_once_and_each_time() {
        let mut host = TestHost::new();
        host.put_state("tea", "available", "2");
        let command = |kind: &str, quantity: u32| {
            let data = json!({
                "order": {
                    "orderId": "x1", "eventId": "x1", "userId": "ada", "lines": 1,
                    "totalCents": 1, "currency": "EUR",
                },
                "item": {"productId": "tea", "quantity": quantity},
                "orderId": "x1", "productId": "tea",
            });
            let headers = [("saga-name", "s"), ("saga-id", "x1"), ("saga-replies", "replies")];
            let event = event("stock-requests", data.to_string()).with_type(kind).with_key("tea");
            headers.iter().fold(event.with_header("saga-key", "x1"), |event, (name, value)| {
                event.with_header(name, value)
            })
        };
        for (kind, quantity, answer) in [
            (StockRequested::TYPE, 2, "stock.reserved"),
            (StockRequested::TYPE, 2, "stock.reserved"),
            (StockReturned::TYPE, 2, "stock.returned"),
            (StockReturned::TYPE, 2, "stock.returned"),
            (StockRequested::TYPE, 3, "stock.missing"),
        ] {
            host.handle(handle, &command(kind, quantity)).unwrap();
            let told = host.emissions().last().unwrap();
            assert_eq!((&*told.topic, &*told.event_type), ("replies", answer));
        }
        assert_eq!(host.state_json::<i64>("tea", "available"), Some(2));
    }

    #[test]
    fn what_says_nothing_of_stock_is_refused() {
        for (kind, data, code) in [
            ("UserRegistered", json!({}), "event-type"),
            (
                "OrderCreated",
                json!({"orderId": "o", "userId": "u", "items": [], "totalCents": 0,
                "currency": "EUR"}),
                "no-items",
            ),
        ] {
            let event = event("any", data.to_string()).with_type(kind).with_key("u");
            let failure = TestHost::new().handle(handle, &event).unwrap_err();
            assert_eq!(failure.code(), Some(code));
        }
    }
}
