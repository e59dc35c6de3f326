//! Shipping from outside: users who change, shipments that are created and move; and what has to
//! come of them.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::event::{Event, Model, System, moment, text};
use super::expected::Expected;
use crate::support::random::Random;

/// Shipments under way at a time, beyond which the first moves on.
const OPEN: usize = 400;
/// Shipments of one user.
const PER_USER: u64 = 4;
const STEPS: [(&str, &str); 3] = [
    ("picked-up", "ShipmentPickedUp"),
    ("in-transit", "ShipmentInTransit"),
    ("delivered", "ShipmentDelivered"),
];
const CREATED: &str = "shipping.shipment.created";
const UPDATED: &str = "shipping.shipment.updated";
const MOVED: &str = "shipping.shipment.status-changed";
const MAILER: &str = "identity-api-shipmentcreated-consumer";
const HISTORY: &str = "shipping-api-shipment-consumer";
const USERS: &str = "shipping-api-user-consumer";

/// The identity service and the shipping service.
#[derive(Debug, Default)]
pub(super) struct World {
    number: u64,
    users: u64,
    shipments: u64,
    open: VecDeque<Shipment>,
}

#[derive(Debug)]
struct Shipment {
    number: u64,
    sequence: u64,
    steps: usize,
}

impl System for World {
    fn next(&mut self, random: &mut Random) -> Event {
        self.number += 1;
        match random.within(0..=99) {
            0..=4 => self.user(),
            5..=17 if self.users > 0 => self.change(random),
            18..=99 if self.open.len() > OPEN => self.movement(random),
            _ => self.shipment(random),
        }
    }
}

impl World {
    fn user(&mut self) -> Event {
        self.users += 1;
        self.recorded("identity.user.created", "UserCreated", self.users, "User")
    }

    fn change(&self, random: &mut Random) -> Event {
        let user = 1 + random.number() % self.users;
        let is_bad = random.per_mille(40);
        let name = if is_bad { " " } else { "Dr. User" };
        Event { is_bad, ..self.recorded("identity.user.updated", "UserUpdated", user, name) }
    }

    fn recorded(&self, topic: &'static str, kind: &'static str, user: u64, name: &str) -> Event {
        let name = if name == " " { name.to_owned() } else { format!("{name} {}", self.number) };
        let data = json!({
            "userId": user_id(user), "name": name, "email": format!("user-{user}@example.com"),
        });
        self.event(topic, (kind, "identity-api"), data)
    }

    fn shipment(&mut self, random: &mut Random) -> Event {
        self.shipments += 1;
        let number = self.shipments;
        let (is_unknown, is_gone) = (random.per_mille(20), random.per_mille(20));
        let name = if is_gone { "gone" } else { "user" };
        let owner = number / PER_USER;
        let mut data = json!({
            "shipmentId": shipment_id(number), "trackingNumber": format!("TRACK{number}"),
            "status": "created", "createdAt": moment(self.number / 60),
            "createdByUserId": user_id(owner),
            "createdByEmail": format!("{name}-{owner}@example.com"),
        });
        let version = match number % 2 {
            _ if is_unknown => Some("3"),
            0 => Some("2"),
            _ => None,
        };
        if let Some(version) = version {
            data["version"] = json!(version.parse::<u64>().unwrap_or_default());
            data["correlationId"] = json!(format!("request-{number}"));
        }
        if !is_unknown {
            self.open.push_back(Shipment { number, sequence: 1, steps: 0 });
        }
        let event = self.event(CREATED, ("ShipmentCreated", "shipping-api"), data);
        Event { version, is_bad: is_unknown || is_gone, ..event }
    }

    /// The first shipment moves on, or its details are corrected.
    fn movement(&mut self, random: &mut Random) -> Event {
        let place = usize::try_from(random.within(0..=9)).unwrap_or(0);
        let Some(mut shipment) = self.open.remove(place) else { return self.shipment(random) };
        let service = "shipping-api";
        let mut data = json!({ "shipmentId": shipment_id(shipment.number) });
        if shipment.steps > 0 && random.per_mille(15) {
            // Of a number that another one of the same topic has.
            data["sequence"] = json!(shipment.sequence);
            data["status"] = json!("in-transit");
            self.open.push_back(shipment);
            let event = self.event(MOVED, ("ShipmentStatusChanged", service), data);
            return Event { is_bad: true, ..event };
        }
        shipment.sequence += 1;
        data["sequence"] = json!(shipment.sequence);
        if shipment.steps == 0 && random.per_mille(300) {
            data["trackingNumber"] =
                json!(format!("TRACK{}-{}", shipment.number, shipment.sequence));
            self.open.push_back(shipment);
            return self.event(UPDATED, ("ShipmentUpdated", service), data);
        }
        if let Some((status, _)) = STEPS.get(shipment.steps) {
            data["status"] = json!(status);
        }
        shipment.steps += 1;
        if shipment.steps < STEPS.len() {
            self.open.push_back(shipment);
        }
        self.event(MOVED, ("ShipmentStatusChanged", service), data)
    }

    fn event(
        &self,
        topic: &'static str,
        (kind, service): (&'static str, &str),
        mut data: Value,
    ) -> Event {
        let (id, time) = (format!("s-{}", self.number), moment(self.number / 60));
        for (name, value) in [("EventId", id.as_str()), ("OccurredAt", &time), ("EventType", kind)]
        {
            data[name] = json!(value);
        }
        data["SourceService"] = json!(service);
        Event { topic, id, kind, version: None, key: None, time, data, is_bad: false }
    }
}

fn user_id(number: u64) -> String {
    format!("auth0|{number}")
}

fn shipment_id(number: u64) -> String {
    format!("shipment-{number}")
}

/// What shipping ends with.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Sequence, tracking number and status of each shipment that may still move.
    shipments: BTreeMap<String, (u64, String, String)>,
    /// Name, and when it was told, of users whose state is compared.
    users: BTreeMap<String, (String, String)>,
}

impl Model for Outcome {
    fn take(&mut self, event: &Event, expected: &mut Expected) {
        match event.topic {
            CREATED => self.created(event, expected),
            UPDATED | MOVED => self.moved(event, expected),
            _ => self.user(event, expected),
        }
    }

    fn end(&self, expected: &mut Expected) {
        for (user, (name, _)) in self.users.iter().filter(|(_, (name, _))| name != "?") {
            expected.kept(USERS, user, ("user", "/name", json!(name)));
        }
    }
}

impl Outcome {
    fn created(&mut self, event: &Event, expected: &mut Expected) {
        let data = &event.data;
        if event.version == Some("3") {
            expected.letter(MAILER, &event.id, "version");
            return expected.letter(HISTORY, &event.id, "version");
        }
        let (id, user) = (text(&data["shipmentId"]), text(&data["createdByUserId"]));
        let (tracking, to) = (text(&data["trackingNumber"]), text(&data["createdByEmail"]));
        let mail = json!({
            "to": to, "subject": format!("Your shipment {tracking}"), "shipmentId": id,
        });
        expected.called("/mail", &mail);
        if to.starts_with("gone") {
            expected.letter(MAILER, &event.id, "http-422");
        } else {
            let at = text(&data["createdAt"]);
            let about = |kind| following(event, (kind, "identity-api"), at, id);
            let mut logged = about("UserActivityLogged");
            (logged["userId"], logged["activity"]) = (user.into(), "shipment-created".into());
            expected.told("identity-events", user, ("UserActivityLogged", &logged));
            let mut sent = about("ConfirmationSent");
            sent["userId"] = user.into();
            expected.told("identity-events", user, ("ConfirmationSent", &sent));
        }
        let mut added = following(event, ("ShipmentAdded", "shipping-api"), &event.time, id);
        added["userId"] = user.into();
        let topic = "shipping.user.shipment-added";
        expected.told(topic, user, ("ShipmentAdded", &added));
        let stands = (1, tracking.to_owned(), "created".to_owned());
        tell(event, "ShipmentCreated", &stands, expected);
        self.shipments.insert(id.to_owned(), stands);
    }

    fn moved(&mut self, event: &Event, expected: &mut Expected) {
        let data = &event.data;
        let id = text(&data["shipmentId"]);
        let Some((sequence, tracking, status)) = self.shipments.get_mut(id) else { return };
        if data["sequence"].as_u64() == Some(*sequence) {
            return expected.letter(HISTORY, &event.id, "sequence-taken");
        }
        *sequence += 1;
        let mut kind = "ShipmentUpdated";
        if let Some(changed) = data["trackingNumber"].as_str() {
            changed.clone_into(tracking);
        }
        if let Some((step, told)) = STEPS.iter().find(|(step, _)| data["status"] == *step) {
            kind = told;
            (*step).clone_into(status);
        }
        let stands = (*sequence, tracking.clone(), status.clone());
        if stands.2 == "delivered" {
            self.shipments.remove(id);
        }
        tell(event, kind, &stands, expected);
    }

    fn user(&mut self, event: &Event, expected: &mut Expected) {
        let (user, name) = (text(&event.data["userId"]), text(&event.data["name"]));
        if name.trim().is_empty() {
            return expected.letter(USERS, &event.id, "name");
        }
        if !self.users.contains_key(user) && !expected.samples(USERS, user) {
            return;
        }
        let told = self.users.entry(user.to_owned()).or_default();
        // Names that were told in the same minute may be read in either order.
        if told.1 == event.time {
            "?".clone_into(&mut told.0);
        } else {
            *told = (name.to_owned(), event.time.clone());
        }
    }
}

/// What a fact made of its shipment.
fn tell(
    event: &Event,
    kind: &'static str,
    (sequence, tracking, status): &(u64, String, String),
    expected: &mut Expected,
) {
    let id = text(&event.data["shipmentId"]);
    let mut changed = following(event, (kind, "shipping-api"), &event.time, id);
    changed["sequence"] = json!(sequence);
    changed["trackingNumber"] = json!(tracking);
    changed["status"] = json!(status);
    expected.told("shipment-events", id, (kind, &changed));
}

fn following(event: &Event, (kind, service): (&str, &str), at: &str, shipment: &str) -> Value {
    json!({
        "EventId": format!("{}/{kind}", event.id), "OccurredAt": at, "EventType": kind,
        "SourceService": service, "shipmentId": shipment,
    })
}
