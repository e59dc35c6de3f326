//! Sets goods aside for orders. An order is taken apart by article, since state belongs to a key:
//! what is known of an article is kept under its own.

use gristmill_plugin::{Event, Host, Outcome, reject};
use pos_events::{
    Line, ORDER_PLACED, OrderPlaced, STOCK_DELIVERED, STOCK_REQUESTED, STOCK_RESERVED,
    StockOfOrder, Told,
};
use serde::{Deserialize, Serialize};

const STOCK: &str = "stock";
const SOURCE: &str = "inventory";

gristmill_plugin::export!(handle);

/// Pieces of one article.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stock {
    pub delivered: u64,
    pub reserved: u64,
}

/// Handles an order, what it asks for of one article, or a delivery.
///
/// Pieces are set aside whether they are there or not: what is reserved beyond what was delivered
/// is to be bought. So neither the order of the topics nor that of the orders changes the outcome.
///
/// # Errors
///
/// Rejects types it does not know (`event-type`).
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        ORDER_PLACED => take_apart(event.json()?, event, host),
        STOCK_REQUESTED => reserve(&event.json()?, event, host),
        STOCK_DELIVERED => deliver(&event.json()?, host),
        other => Err(reject("event-type", format!("{other} says nothing of stock"))),
    }
}

fn take_apart(order: OrderPlaced, event: &Event, host: &mut Host) -> Outcome {
    for (number, Line { sku, quantity }) in order.lines.into_iter().enumerate() {
        let data = StockOfOrder { order_id: order.order_id.clone(), sku, quantity };
        let told = Told {
            topic: "stock.item.requested",
            event_type: STOCK_REQUESTED,
            source: SOURCE,
            name: &format!("line-{number}"),
            data: &data,
        };
        told.tell_of(&data.sku, event, host)?;
    }
    Ok(())
}

fn reserve(asked: &StockOfOrder, event: &Event, host: &mut Host) -> Outcome {
    let mut stock: Stock = host.state().get_json(STOCK)?.unwrap_or_default();
    stock.reserved += asked.quantity;
    host.state().set_json(STOCK, &stock)?;
    let told = Told {
        topic: "stock.item.reserved",
        event_type: STOCK_RESERVED,
        source: SOURCE,
        name: "reserved",
        data: asked,
    };
    told.tell(event, host)
}

fn deliver(delivery: &Line, host: &mut Host) -> Outcome {
    let mut stock: Stock = host.state().get_json(STOCK)?.unwrap_or_default();
    stock.delivered += delivery.quantity;
    host.state().set_json(STOCK, &stock)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::{Value, json};

    use super::*;

    fn of_type(event_type: &str, data: &Value) -> Event {
        event("any", data.to_string()).with_id("e1").with_type(event_type).with_key("tea")
    }

    fn requested(quantity: u64) -> Event {
        let data = json!({"orderId": "o1", "sku": "tea", "quantity": quantity});
        of_type(STOCK_REQUESTED, &data)
    }

    #[test]
    fn an_order_is_taken_apart_by_article() {
        let data = json!({
            "orderId": "o1", "userId": "u1", "email": "a@b", "card": "c", "currency": "EUR",
            "amount": 1, "lines": [{"sku": "tea", "quantity": 2}, {"sku": "cup", "quantity": 1}],
        });
        let mut host = TestHost::new();
        host.handle(handle, &of_type(ORDER_PLACED, &data)).unwrap();
        let told = host.emissions().iter().map(|it| {
            let payload: Value = serde_json::from_slice(&it.payload).unwrap();
            let key = String::from_utf8(it.key.clone().unwrap()).unwrap();
            (key, payload["eventId"].clone(), payload["data"]["quantity"].clone())
        });
        let expected = [
            ("tea".to_owned(), json!("e1-line-0"), json!(2)),
            ("cup".to_owned(), json!("e1-line-1"), json!(1)),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn stock_is_the_same_whatever_comes_first() {
        let delivered = of_type(STOCK_DELIVERED, &json!({"sku": "tea", "quantity": 10}));
        for events in [
            [requested(3), requested(4), delivered.clone()],
            [delivered, requested(4), requested(3)],
        ] {
            let mut host = TestHost::new();
            for event in &events {
                host.handle(handle, event).unwrap();
            }
            let stock: Stock = host.state_json("tea", STOCK).unwrap();
            assert_eq!(stock, Stock { delivered: 10, reserved: 7 });
            assert_eq!(host.emissions().len(), 2, "each request is answered");
        }
    }

    #[test]
    fn what_says_nothing_of_stock_is_refused() {
        let failure =
            TestHost::new().handle(handle, &of_type("user.created.v1", &json!({}))).unwrap_err();
        assert_eq!(failure.code(), Some("event-type"));
    }
}
