//! Commerce from outside: users, products, stock that is counted, carts, orders, express orders;
//! and what has to come of them.

mod orders;
mod outcome;

use serde_json::{Value, json};

use super::event::{Event, System, moment};
use crate::support::random::Random;

pub(super) use self::outcome::Outcome;

const USERS: u64 = 20_000;
const PRODUCTS: u64 = 500;
/// Products of which there is never enough.
const SCARCE: u64 = 20;
/// Pieces of a product that the first count finds.
const PIECES: u64 = 1_000_000_000;

/// Everybody who tells commerce something.
#[derive(Debug, Default)]
pub(super) struct World {
    number: u64,
    registered: u64,
    /// Products whose first count is still to come, and those that are not yet in the catalogue.
    counted: u64,
    listed: u64,
}

impl System for World {
    fn next(&mut self, random: &mut Random) -> Event {
        self.number += 1;
        if self.counted < PRODUCTS + SCARCE {
            self.counted += 1;
            return self.first_count();
        }
        if self.listed < PRODUCTS {
            self.listed += 1;
            return self.listing();
        }
        match random.within(0..=99) {
            0..=3 => self.order(random),
            4..=5 => self.express(random),
            6..=9 => self.registration(),
            10..=19 => self.user_change(random),
            20..=39 => self.cart(random),
            40..=69 => self.price(random),
            _ => self.count(random),
        }
    }
}

impl World {
    fn first_count(&self) -> Event {
        let (number, is_scarce) = (self.counted - 1, self.counted > PRODUCTS);
        let product = if is_scarce { scarce(number) } else { product(number) };
        let change = if is_scarce { 1 } else { PIECES };
        let data = json!({ "productId": product, "change": change, "reason": "counted" });
        self.event("inventory-events", "InventoryAdjusted", &data, None)
    }

    fn listing(&self) -> Event {
        let data = json!({
            "productId": product(self.listed - 1), "name": format!("Product {}", self.listed),
            "priceCents": 900, "currency": "EUR",
        });
        self.event("catalog-events", "ProductCreated", &data, None)
    }

    fn count(&self, random: &mut Random) -> Event {
        let change = random.within(1..=50);
        let product = product(random.number());
        let data = json!({ "productId": product, "change": change, "reason": "delivered" });
        self.event("inventory-events", "InventoryAdjusted", &data, None)
    }

    fn price(&self, random: &mut Random) -> Event {
        let is_bad = random.per_mille(10);
        let cents = if is_bad { 0 } else { random.within(100..=9_000) };
        let data = json!({ "productId": product(random.number()), "priceCents": cents });
        Event { is_bad, ..self.event("catalog-events", "ProductUpdated", &data, None) }
    }

    fn registration(&mut self) -> Event {
        self.registered += 1;
        let user = format!("r-{}", self.registered);
        let data = json!({
            "userId": user, "email": format!("{user}@example.com"), "name": format!("User {user}"),
        });
        self.event("user-events", "UserRegistered", &data, Some(&user))
    }

    fn user_change(&self, random: &mut Random) -> Event {
        let is_bad = self.registered == 0 || random.per_mille(30);
        let known = 1 + random.number() % self.registered.max(1);
        let user = if is_bad { format!("nobody-{}", self.number) } else { format!("r-{known}") };
        let data =
            json!({ "userId": user, "email": format!("{user}-{}@example.org", self.number) });
        Event { is_bad, ..self.event("user-events", "UserUpdated", &data, Some(&user)) }
    }

    fn cart(&self, random: &mut Random) -> Event {
        let user = user(random);
        let items = items(random, 1 + self.number % 3);
        let data =
            json!({ "cartId": format!("c-{}", self.number), "userId": user, "items": items });
        let kind = if random.per_mille(500) { "CartCreated" } else { "CartUpdated" };
        self.event("cart-events", kind, &data, Some(&user))
    }

    fn order(&self, random: &mut Random) -> Event {
        let (mut items, mut user) = (items(random, 1 + self.number % 2), user(random));
        let fate = random.within(0..=99);
        if fate < 2 {
            user = format!("mallory-{user}");
        } else if fate < 4 {
            let item =
                json!({ "productId": scarce(random.number()), "quantity": 5, "priceCents": 1 });
            items.push(item);
        }
        let cents = |item: &Value| item["quantity"].as_u64().zip(item["priceCents"].as_u64());
        let total: u64 = items.iter().filter_map(cents).map(|(count, price)| count * price).sum();
        let data = json!({
            "orderId": format!("o-{}", self.number), "userId": user, "items": items,
            "totalCents": total, "currency": currency(self.number),
        });
        self.event("order-events", "OrderCreated", &data, Some(&user))
    }

    fn express(&self, random: &mut Random) -> Event {
        let (mut user, mut city, mut product) = (user(random), "Bern", product(random.number()));
        match random.within(0..=99) {
            0 => user = format!("mallory-{user}"),
            1 => city = "Ushuaia",
            2 => product = scarce(random.number()),
            3 => user = format!("gone-{user}"),
            _ => {}
        }
        let order = json!({
            "orderId": format!("x-{}", self.number), "userId": user, "productId": product,
            "quantity": 2, "totalCents": 1_800, "currency": "EUR", "city": city,
        });
        // It comes without an envelope.
        Event { data: order, ..self.event("express-orders", "ExpressOrder", &Value::Null, None) }
    }

    fn event(
        &self,
        topic: &'static str,
        kind: &'static str,
        data: &Value,
        user: Option<&str>,
    ) -> Event {
        let (id, time) = (format!("c-{}", self.number), moment(self.number / 60));
        let mut event = json!({
            "eventId": id, "eventType": kind, "eventVersion": "v1", "timestamp": time,
            "source": "bench", "correlationId": format!("request-{id}"), "causationId": null,
            "data": data,
        });
        if let Some(user) = user {
            event["metadata"] = json!({ "userId": user, "sessionId": format!("s-{user}") });
        }
        Event { topic, id, kind, version: None, key: None, time, data: event, is_bad: false }
    }
}

fn product(number: u64) -> String {
    format!("p-{}", number % PRODUCTS)
}

fn scarce(number: u64) -> String {
    format!("scarce-{}", number % SCARCE)
}

fn user(random: &mut Random) -> String {
    format!("u-{}", random.number() % USERS)
}

fn currency(number: u64) -> &'static str {
    ["EUR", "USD", "CHF", "GBP"][usize::try_from(number % 4).unwrap_or(0)]
}

/// Different products, so many.
fn items(random: &mut Random, count: u64) -> Vec<Value> {
    let first = random.number() % PRODUCTS;
    let item = |place| {
        let quantity = random.within(1..=3);
        json!({ "productId": product(first + place * 7), "quantity": quantity, "priceCents": 900 })
    };
    (0..count).map(item).collect()
}
