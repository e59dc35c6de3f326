//! Pos from outside: people who sign up, orders at tills, goods that are delivered; and what has to
//! come of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::event::{Event, Model, System, moment, text};
use super::expected::Expected;
use crate::support::random::Random;

/// Articles.
const ARTICLES: u64 = 400;
/// Events of one minute, so that a day's counter is not all there is.
const PER_MINUTE: u64 = 3;

/// Sign-ups, tills and the warehouse.
#[derive(Debug, Default)]
pub(super) struct World {
    number: u64,
}

impl System for World {
    fn next(&mut self, random: &mut Random) -> Event {
        self.number += 1;
        match random.within(0..=99) {
            0..=7 => self.user(random),
            8..=19 => self.order(random),
            _ => self.delivery(random),
        }
    }
}

impl World {
    fn user(&self, random: &mut Random) -> Event {
        let is_bad = random.per_mille(60);
        let (number, name) = (self.number, if is_bad { "gone" } else { "user" });
        let data = json!({
            "userId": format!("u-{number}"), "email": format!("{name}-{number}@example.com"),
            "fullName": format!("User {number}"),
        });
        Event { is_bad, ..self.event("accounts.user.created", "user.created.v1", &data) }
    }

    fn order(&self, random: &mut Random) -> Event {
        let (number, is_bad) = (self.number, random.per_mille(50));
        let lines: Vec<_> = (0..=random.within(0..=1))
            .map(|line| json!({ "sku": sku(number * 7 + line * 3), "quantity": 1 + number % 3 }))
            .collect();
        let card = if random.per_mille(60) { "card-without-funds" } else { "card" };
        let data = json!({
            "orderId": format!("o-{number}"), "userId": format!("u-{}", number % 5_000),
            "email": format!("user-{number}@example.com"), "card": format!("{card}-{number}"),
            "currency": if is_bad { "USD" } else { "EUR" }, "amount": 100 + number % 9_000,
            "lines": lines,
        });
        Event { is_bad, ..self.event("sales.order.placed", "order.placed.v1", &data) }
    }

    fn delivery(&self, random: &mut Random) -> Event {
        let number = self.number;
        let data = json!({ "sku": sku(random.number()), "quantity": 1 + number % 20 });
        self.event("stock.item.delivered", "stock.delivered.v1", &data)
    }

    fn event(&self, topic: &'static str, kind: &'static str, data: &Value) -> Event {
        let (id, time) = (format!("pos-{}", self.number), moment(self.number / PER_MINUTE));
        let data = json!({
            "eventId": id, "eventType": kind, "eventVersion": "1.0.0", "timestamp": time,
            "source": "pos", "correlationId": format!("visit-{}", self.number), "data": data,
        });
        Event { topic, id, kind, version: None, key: None, time, data, is_bad: false }
    }
}

fn sku(number: u64) -> String {
    format!("sku-{}", number % ARTICLES)
}

/// What pos ends with.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Pieces delivered and reserved, by article.
    stock: BTreeMap<String, [u64; 2]>,
    /// Events and their sum, by counter.
    counters: BTreeMap<String, [u64; 2]>,
}

impl Model for Outcome {
    fn take(&mut self, event: &Event, expected: &mut Expected) {
        let data = &event.data["data"];
        match event.kind {
            "user.created.v1" => {
                self.count(&event.data, ("users", 1), expected);
                mail("pos-welcome", &event.data, ("welcome", "userId", "fullName"), expected);
            }
            "order.placed.v1" => self.order(&event.data, expected),
            _ => {
                let stock = self.stock.entry(text(&data["sku"]).to_owned()).or_default();
                stock[0] += number(&data["quantity"]);
            }
        }
    }

    fn end(&self, expected: &mut Expected) {
        for (sku, [delivered, reserved]) in &self.stock {
            let stock = json!({ "delivered": delivered, "reserved": reserved });
            expected.kept("pos-stock", sku, ("stock", "", stock));
        }
        for (counter, [events, total]) in &self.counters {
            let counted = json!({ "events": events, "total": total });
            expected.kept("pos-counters", counter, ("counter", "", counted));
        }
    }
}

impl Outcome {
    fn order(&mut self, event: &Value, expected: &mut Expected) {
        let order = &event["data"];
        self.count(event, ("orders", 1), expected);
        let lines = order["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
        let words = json!({ "words": format!("articles: {}", lines.len()) });
        let mut about = order.clone();
        about["words"] = words["words"].clone();
        let told = json!({ "eventId": event["eventId"], "timestamp": event["timestamp"],
            "correlationId": event["correlationId"], "data": about });
        mail("pos-confirmation", &told, ("confirmation", "orderId", "words"), expected);
        self.pay(event, expected);
        for (place, line) in lines.iter().enumerate() {
            let mut data = line.clone();
            data["orderId"] = order["orderId"].clone();
            let kind = ("stock.requested.v1", "inventory");
            let asked = following(event, kind, &format!("line-{place}"), &data);
            let sku = text(&line["sku"]);
            expected.told("stock.item.requested", sku, (kind.0, &asked));
            let kind = ("stock.reserved.v1", "inventory");
            tell("stock.item.reserved", &asked, (kind, "reserved"), &data, expected);
            self.stock.entry(sku.to_owned()).or_default()[1] += number(&line["quantity"]);
        }
    }

    fn pay(&mut self, event: &Value, expected: &mut Expected) {
        let order = &event["data"];
        if order["currency"] != "EUR" {
            return expected.letter("pos-payment", text(&event["eventId"]), "currency");
        }
        let fields = |names: [&str; 4]| {
            let field = |name: &str| (name.to_owned(), order[name].clone());
            Value::Object(names.map(field).into_iter().collect())
        };
        expected.called("/payments", &fields(["orderId", "card", "currency", "amount"]));
        let mut data = fields(["orderId", "email", "currency", "amount"]);
        let is_declined = text(&order["card"]).starts_with("card-without-funds");
        if is_declined {
            data["reason"] = json!("no funds");
        }
        let kind = if is_declined { "payment.declined.v1" } else { "payment.accepted.v1" };
        let kind = (kind, "payment");
        let paid = tell("billing.payment.settled", event, (kind, "payment"), &data, expected);
        if is_declined {
            mail("pos-declined", &paid, ("declined", "orderId", "reason"), expected);
        } else {
            self.count(&paid, ("revenue", number(&order["amount"])), expected);
        }
    }

    fn count(&mut self, cause: &Value, (what, by): (&str, u64), expected: &mut Expected) {
        let day = text(&cause["timestamp"]).split('T').next().unwrap_or_default();
        let counter = format!("{what}-{day}");
        let data = json!({ "counter": counter, "by": by });
        let raised = following(cause, ("counter.raised.v1", "analytics"), what, &data);
        expected.told("analytics.counter.raised", &counter, ("counter.raised.v1", &raised));
        let [events, total] = self.counters.entry(counter).or_default();
        *events += 1;
        *total += by;
    }
}

/// A letter about the field `about`, filled with the words of another.
fn mail(
    subscription: &str,
    cause: &Value,
    (template, about, words): (&str, &str, &str),
    expected: &mut Expected,
) {
    let data = &cause["data"];
    let (to, about) = (&data["email"], &data[about]);
    let letter = json!({ "to": to, "template": template, "about": about, "words": data[words] });
    expected.called("/mails", &letter);
    if text(to).starts_with("gone") {
        return expected.letter(subscription, text(&cause["eventId"]), "http-422");
    }
    let sent = json!({ "to": to, "template": template, "about": about });
    let kind = ("mail.sent.v1", "notification");
    tell("notification.mail.sent", cause, (kind, template), &sent, expected);
}

/// An event under its own id, which `cause` causes.
fn tell(
    topic: &str,
    cause: &Value,
    (kind, name): ((&str, &str), &str),
    data: &Value,
    expected: &mut Expected,
) -> Value {
    let event = following(cause, kind, name, data);
    expected.told(topic, text(&event["eventId"]), (kind.0, &event));
    event
}

fn following(cause: &Value, (kind, source): (&str, &str), name: &str, data: &Value) -> Value {
    json!({
        "eventId": format!("{}-{name}", text(&cause["eventId"])), "eventType": kind,
        "eventVersion": "1.0.0", "timestamp": cause["timestamp"], "source": source,
        "correlationId": cause["correlationId"], "data": data,
    })
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
