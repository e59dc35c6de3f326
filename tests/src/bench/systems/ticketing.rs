//! Ticketing from outside: seats that are reserved, paid for or left to expire, and orders that a
//! saga brings to an end; and what has to come of them.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::event::{Event, LATER, Model, System, moment, text};
use super::expected::Expected;
use crate::support::random::Random;

/// Reservations that wait before the first of them is paid.
const OPEN: usize = 200;

/// The inventory service, the payment service and people who order.
#[derive(Debug, Default)]
pub(super) struct World {
    events: u64,
    seats: u64,
    orders: u64,
    open: VecDeque<Value>,
}

impl System for World {
    fn next(&mut self, random: &mut Random) -> Event {
        self.events += 1;
        match random.within(0..=99) {
            0..=7 => self.order(random),
            8..=45 if self.open.len() > OPEN => self.payment(random),
            _ => self.reservation(random),
        }
    }
}

impl World {
    fn reservation(&mut self, random: &mut Random) -> Event {
        self.seats += 1;
        let (number, time) = (self.seats, moment(self.seats / 50));
        let seat = seat(number);
        // Whoever lets a reservation expire gave no name; others have four of them.
        let expires = random.per_mille(80);
        let customer = (!expires && !random.per_mille(50)).then(|| format!("c-{}", number / 4));
        let section = if random.per_mille(8) { "Balcony-Left" } else { "A" };
        let mut data = json!({
            "eventId": format!("t-created-{number}"), "reservationId": format!("r-{number}"),
            "customerId": customer, "seatId": seat,
            "seatNumber": format!("{section}-{}-{}", number % 90, number % 40),
            "section": section, "basePrice": price(number), "createdAt": time,
            "expiresAt": if expires { time.as_str() } else { LATER.as_str() }, "status": "active",
        });
        let is_broken = random.per_mille(4);
        if is_broken {
            data["basePrice"] = json!("free");
        } else if !expires && section == "A" && random.per_mille(800) {
            self.open.push_back(data.clone());
        }
        let is_bad = is_broken || section != "A";
        Event { is_bad, ..event("reservation-created", &data) }
    }

    fn payment(&mut self, random: &mut Random) -> Event {
        let reservation = self.open.pop_front().unwrap_or_default();
        let id = reservation["reservationId"].as_str().unwrap_or_default();
        let mut data = json!({
            "eventId": format!("t-paid-{id}"), "reservationId": id, "orderId": format!("p-{id}"),
            "customerId": reservation["customerId"], "seatId": reservation["seatId"],
            "amount": reservation["basePrice"], "paidAt": moment(self.events / 100),
        });
        let is_bad = random.per_mille(4);
        if is_bad {
            data["amount"] = json!("all of it");
        }
        Event { is_bad, ..event("payment-succeeded", &data) }
    }

    fn order(&mut self, random: &mut Random) -> Event {
        self.orders += 1;
        let number = self.orders;
        let customer =
            if random.per_mille(10) { "mallory".to_owned() } else { format!("c-{number}") };
        let method = if random.per_mille(20) { "stolen-card" } else { "card" };
        let mut data = json!({
            "eventId": format!("t-order-{number}"), "orderId": format!("t-o-{number}"),
            "customerId": customer, "seatId": format!("seat-{number}"),
            "amount": price(number), "method": method,
        });
        let is_bad = random.per_mille(10);
        if is_bad {
            data["amount"] = Value::Null;
        }
        Event { is_bad, key: None, ..event("order-requested", &data) }
    }
}

fn event(topic: &'static str, data: &Value) -> Event {
    let key = data["seatId"].as_str().map(|seat| seat.replace('-', ""));
    Event {
        topic,
        id: data["eventId"].as_str().unwrap_or_default().to_owned(),
        kind: topic,
        version: None,
        key,
        time: moment(0),
        data: data.clone(),
        is_bad: false,
    }
}

fn seat(number: u64) -> String {
    let spread = number.wrapping_mul(2_654_435_761) & 0xffff_ffff;
    format!("{spread:08x}-0000-4000-8000-{number:012x}")
}

fn price(number: u64) -> f64 {
    [20.0, 45.5, 60.0, 80.0][usize::try_from(number % 4).unwrap_or(0)]
}

/// What ticketing ends with.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Reservations that are neither paid nor expired.
    open: BTreeMap<String, String>,
}

impl Model for Outcome {
    fn take(&mut self, event: &Event, expected: &mut Expected) {
        match event.topic {
            "reservation-created" => self.reserved(event, expected),
            "payment-succeeded" => self.paid(event, expected),
            _ => ordered(event, expected),
        }
    }

    fn end(&self, expected: &mut Expected) {
        expected.timers += u64::try_from(self.open.len()).unwrap_or(u64::MAX);
    }
}

impl Outcome {
    fn reserved(&mut self, event: &Event, expected: &mut Expected) {
        let data = &event.data;
        if !data["basePrice"].is_number() {
            return broken(event, expected);
        }
        if data["seatNumber"].as_str().is_some_and(|it| it.split('-').count() != 3) {
            expected.letter("catalog", &event.id, "seat-number");
        }
        let id = text(&data["reservationId"]);
        let cart = data["customerId"].as_str().unwrap_or(id);
        let item = json!({
            "change": "item-added", "reservationId": id, "seatId": data["seatId"],
            "seatNumber": data["seatNumber"], "price": data["basePrice"],
        });
        let place = expected.told("ordering-carts", cart, ("cart.item-added", &item));
        if data["expiresAt"] == LATER.as_str() {
            self.open.insert(id.to_owned(), cart.to_owned());
            return;
        }
        let removed = json!({ "change": "item-removed", "reservationId": id });
        expected.told("ordering-carts", cart, ("cart.item-removed", &removed));
        // Ordering may read that it expired before it reads that it was made: then it says nothing.
        expected.allow_nothing(place);
        let expired = json!({
            "eventId": format!("expired-{id}"), "reservationId": id,
            "customerId": data["customerId"], "seatId": data["seatId"],
            "expiredAt": data["expiresAt"],
        });
        let key = event.key.clone().unwrap_or_default();
        expected.told("reservation-expired", &key, ("reservation-expired", &expired));
    }

    fn paid(&mut self, event: &Event, expected: &mut Expected) {
        if !event.data["amount"].is_number() {
            return broken(event, expected);
        }
        let id = text(&event.data["reservationId"]);
        let cart = self.open.remove(id).unwrap_or_default();
        let order = &event.data["orderId"];
        let paid = json!({ "change": "item-paid", "reservationId": id, "orderId": order });
        expected.told("ordering-carts", &cart, ("cart.item-paid", &paid));
    }
}

/// Nobody who reads it can read it.
fn broken(event: &Event, expected: &mut Expected) {
    for reader in ["ordering", "catalog", "expiry"] {
        expected.letter(reader, &event.id, "payload");
    }
}

/// The saga of an order: each step in its turn, and those that were done undone.
fn ordered(event: &Event, expected: &mut Expected) {
    let order = &event.data;
    if !order["amount"].is_number() {
        return expected.letter("order-saga", &event.id, "payload");
    }
    let (id, seat) = (text(&order["orderId"]), text(&order["seatId"]));
    let mut saga = Saga { expected, order, id };
    saga.step(("seat-commands", seat), "seat.reserve", "seat.reserved");
    let mut ended = json!({ "orderId": id, "seatId": seat });
    if order["customerId"] == "mallory" {
        saga.step(("order-commands", id), "order.create", "order.refused");
        saga.step(("seat-commands", seat), "seat.release", "seat.released");
        (ended["failed"], ended["reason"]) =
            ("create-order".into(), "the customer is blocked".into());
        return saga.end("order.cancelled", &ended);
    }
    saga.step(("order-commands", id), "order.create", "order.created");
    let bill = json!({ "order": id, "amount": order["amount"], "method": order["method"] });
    saga.expected.called("/payments", &bill);
    if order["method"] == "stolen-card" {
        saga.step(("cashier-commands", id), "payment.take", "payment.declined");
        saga.step(("order-commands", id), "order.cancel", "order.cancelled");
        saga.step(("seat-commands", seat), "seat.release", "seat.released");
        (ended["failed"], ended["reason"]) =
            ("take-payment".into(), "the payment was declined".into());
        return saga.end("order.cancelled", &ended);
    }
    saga.step(("cashier-commands", id), "payment.take", "payment.taken");
    saga.step(("ticket-commands", id), "ticket.issue", "ticket.issued");
    ended["ticket"] = json!(format!("t-{id}"));
    saga.end("order.confirmed", &ended);
}

struct Saga<'a> {
    expected: &'a mut Expected,
    order: &'a Value,
    id: &'a str,
}

impl Saga<'_> {
    /// A command, and its answer.
    fn step(&mut self, (topic, key): (&str, &str), asks: &str, answers: &str) {
        self.expected.told(topic, key, (asks, self.order));
        let answer = match answers {
            "ticket.issued" => json!({ "ticket": format!("t-{}", self.id) }),
            "order.refused" => json!({ "reason": "the customer is blocked" }),
            "payment.declined" => json!({ "reason": "the payment was declined" }),
            _ => json!({}),
        };
        self.expected.told("order-replies", self.id, (answers, &answer));
    }

    fn end(self, kind: &str, data: &Value) {
        self.expected.told("order-outcomes", self.id, (kind, data));
    }
}
