//! What commerce ends with, but for its orders.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::event::{Event, Model, text};
use super::super::expected::Expected;
use super::orders;

/// What commerce ends with.
#[derive(Debug, Default)]
pub(in super::super) struct Outcome {
    /// Pieces available, by product.
    stock: BTreeMap<String, i64>,
    /// Price of each product.
    prices: BTreeMap<String, Value>,
}

impl Model for Outcome {
    fn take(&mut self, event: &Event, expected: &mut Expected) {
        let data = &event.data["data"];
        match event.kind {
            "InventoryAdjusted" => {
                let change = data["change"].as_i64().unwrap_or_default();
                *self.stock.entry(text(&data["productId"]).to_owned()).or_default() += change;
            }
            "ProductCreated" | "ProductUpdated" => {
                if data["priceCents"] == 0 {
                    return expected.letter("commerce-products", &event.id, "price");
                }
                let product = text(&data["productId"]).to_owned();
                self.prices.insert(product, data["priceCents"].clone());
            }
            "UserRegistered" => {
                let (user, to) = (text(&data["userId"]), &data["email"]);
                let mail = json!({ "to": to, "template": "welcome", "about": user });
                expected.called("/mails", &mail);
                let name = format!("{user}-welcome");
                orders::notified(&event.data, (&name, user, "welcome"), None, expected);
            }
            "UserUpdated" if text(&data["userId"]).starts_with("nobody") => {
                expected.letter("commerce-users", &event.id, "unknown-user");
            }
            "CartCreated" | "CartUpdated" => {
                expected.told("carts-late", text(&data["userId"]), (event.kind, data));
            }
            "OrderCreated" => orders::ordered(&event.data, &mut self.stock, expected),
            "ExpressOrder" => orders::express(event, &mut self.stock, expected),
            _ => {}
        }
    }

    fn end(&self, expected: &mut Expected) {
        for (product, available) in &self.stock {
            let available = json!(available);
            expected.kept("commerce-stock", product, ("available", "", available));
        }
        for (product, price) in &self.prices {
            let price = price.clone();
            expected.kept("commerce-products", product, ("product", "/priceCents", price));
        }
    }
}
