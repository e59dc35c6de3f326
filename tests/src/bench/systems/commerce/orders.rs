//! What has to come of orders: those that go from hand to hand, and those that a saga brings to
//! their end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::event::{Event, text};
use super::super::expected::Expected;

type Stock = BTreeMap<String, i64>;

/// An order goes from hand to hand.
pub(super) fn ordered(event: &Value, stock: &mut Stock, expected: &mut Expected) {
    let order = &event["data"];
    let (name, user) = (text(&order["orderId"]), text(&order["userId"]));
    expected.told("carts-late", user, ("OrderCreated", order));
    let (items, missing) = picked(event, expected);
    if !missing.is_empty() {
        let reason = format!("no stock of {}", missing.join(", "));
        return released(event, order, (&items, &reason), expected);
    }
    let mut of = json!({
        "orderId": name, "userId": user, "items": items, "totalCents": order["totalCents"],
        "currency": order["currency"],
    });
    let told = |kind| Told { kind, service: "inventory", user: Some(user) };
    let reserved = told("InventoryReserved").because_of(event, &format!("{name}-reserved"), &of);
    expected.told("inventory-events", user, ("InventoryReserved", &reserved));
    let bill = json!({
        "orderId": name, "userId": user, "amountCents": order["totalCents"],
        "currency": order["currency"],
    });
    expected.called("/payments", &bill);
    of = bill;
    of["paymentId"] = json!(format!("pay-{name}"));
    paid(&reserved, (&of, &items), order, expected);
    if !user.starts_with("mallory") {
        for item in &items {
            let quantity = item["quantity"].as_i64().unwrap_or_default();
            *stock.entry(text(&item["productId"]).to_owned()).or_default() -= quantity;
        }
    }
}

/// An order is taken apart by product, and answered; what of it is there, and what is not.
fn picked(event: &Value, expected: &mut Expected) -> (Vec<Value>, Vec<String>) {
    let order = &event["data"];
    let (name, user) = (text(&order["orderId"]), text(&order["userId"]));
    let mut wanted: BTreeMap<&str, u64> = BTreeMap::new();
    for item in order["items"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let quantity = item["quantity"].as_u64().unwrap_or_default();
        *wanted.entry(text(&item["productId"])).or_default() += quantity;
    }
    let of = json!({
        "orderId": name, "userId": user, "eventId": event["eventId"], "lines": wanted.len(),
        "totalCents": order["totalCents"], "currency": order["currency"],
    });
    let (mut items, mut missing) = (Vec::new(), Vec::new());
    for (product, quantity) in wanted {
        let item = json!({ "productId": product, "quantity": quantity });
        let mut data = json!({ "order": of, "item": item });
        let told = Told { kind: "StockRequested", service: "inventory", user: None };
        let asked = told.because_of(event, &format!("{name}-wants-{product}"), &data);
        expected.told("stock-requests", product, ("StockRequested", &asked));
        let is_there = !product.starts_with("scarce");
        data["isThere"] = json!(is_there);
        let told = Told { kind: "StockAnswered", service: "inventory", user: Some(user) };
        let answer = told.because_of(&asked, &format!("{name}-has-{product}"), &data);
        expected.told("stock-answers", user, ("StockAnswered", &answer));
        if is_there {
            items.push(item);
        } else {
            missing.push(product.to_owned());
        }
    }
    (items, missing)
}

fn paid(
    reserved: &Value,
    (payment, items): (&Value, &[Value]),
    order: &Value,
    expected: &mut Expected,
) {
    let (name, user) = (text(&order["orderId"]), text(&order["userId"]));
    let told = |kind, service| Told { kind, service, user: Some(user) };
    let begun = told("PaymentInitiated", "payment");
    let begun = begun.because_of(reserved, &format!("{name}-paying"), payment);
    expected.told("payment-events", user, ("PaymentInitiated", &begun));
    let id = format!("{name}-paid");
    if user.starts_with("mallory") {
        let mut data = payment.clone();
        data["reason"] = json!("the card is blocked");
        let failed = told("PaymentFailed", "payment").because_of(reserved, &id, &data);
        expected.told("payment-events", user, ("PaymentFailed", &failed));
        expected.told("payment-alerts-late", user, ("PaymentFailed", &data));
        return released(&failed, order, (items, "the card is blocked"), expected);
    }
    let paid = told("PaymentProcessed", "payment").because_of(reserved, &id, payment);
    expected.told("payment-events", user, ("PaymentProcessed", &paid));
    let currency = text(&payment["currency"]);
    let amount = json!({
        "paymentId": payment["paymentId"], "cents": payment["amountCents"],
        "paidAt": paid["timestamp"],
    });
    expected.told("revenue-amounts", currency, ("RevenueAmount", &amount));
    expected.told("revenue-late", currency, ("RevenueAmount", &amount));
    let mut ids = json!({ "orderId": name, "userId": user });
    let confirmed =
        told("OrderConfirmed", "order").because_of(&paid, &format!("{name}-confirmed"), &ids);
    expected.told("order-events", user, ("OrderConfirmed", &confirmed));
    let shipment = format!("s-{name}");
    let mut parcel = ids.clone();
    parcel["shipmentId"] = json!(shipment);
    parcel["trackingNumber"] = json!(format!("GM-{name}"));
    let label = told("ShippingCreated", "shipping");
    let label = label.because_of(&paid, &format!("{name}-label"), &parcel);
    expected.told("shipping-events", user, ("ShippingCreated", &label));
    let mail =
        json!({ "to": user, "template": "order-shipped", "about": parcel["trackingNumber"] });
    expected.called("/mails", &mail);
    let letter = (format!("{name}-told"), "order-shipped");
    let letter = notified(&label, (&letter.0, user, letter.1), Some(&parcel), expected);
    ids["shipmentId"] = json!(shipment);
    let shipped =
        told("OrderShipped", "order").because_of(&letter, &format!("{name}-shipped"), &ids);
    expected.told("order-events", user, ("OrderShipped", &shipped));
}

/// What an order held is for everybody again, and the order comes to nothing.
fn released(
    cause: &Value,
    order: &Value,
    (items, reason): (&[Value], &str),
    expected: &mut Expected,
) {
    let (name, user) = (text(&order["orderId"]), text(&order["userId"]));
    for item in items {
        let product = text(&item["productId"]);
        let data = json!({ "orderId": name, "productId": product });
        let told = Told { kind: "StockReturned", service: "inventory", user: None };
        let returned = told.because_of(cause, &format!("{name}-returns-{product}"), &data);
        expected.told("stock-requests", product, ("StockReturned", &returned));
    }
    let mut data = json!({ "orderId": name, "userId": user, "items": items, "reason": reason });
    let told = Told { kind: "InventoryReleased", service: "inventory", user: Some(user) };
    let released = told.because_of(cause, &format!("{name}-released"), &data);
    expected.told("inventory-events", user, ("InventoryReleased", &released));
    data = json!({ "orderId": name, "userId": user, "reason": reason });
    let told = Told { kind: "OrderCancelled", service: "order", user: Some(user) };
    let cancelled = told.because_of(&released, &format!("{name}-cancelled"), &data);
    expected.told("order-events", user, ("OrderCancelled", &cancelled));
}

/// A user is written to, about a parcel where there is one.
pub(super) fn notified(
    cause: &Value,
    (name, user, template): (&str, &str, &str),
    parcel: Option<&Value>,
    expected: &mut Expected,
) -> Value {
    let mut data = json!({
        "notificationId": name, "userId": user, "channel": "email", "template": template,
    });
    if let Some(parcel) = parcel {
        data["orderId"] = parcel["orderId"].clone();
        data["shipmentId"] = parcel["shipmentId"].clone();
    }
    let told = Told { kind: "NotificationSent", service: "notification", user: Some(user) };
    let sent = told.because_of(cause, name, &data);
    expected.told("notification-events", user, ("NotificationSent", &sent));
    sent
}

/// The steps of an express order, in their turn, and those that were done undone.
pub(super) fn express(event: &Event, stock: &mut Stock, expected: &mut Expected) {
    let mut saga = Saga { order: event.data.clone(), at: &event.time, expected };
    saga.order["orderedAt"] = json!(event.time);
    let (user, product) =
        (text(&event.data["userId"]).to_owned(), text(&event.data["productId"]).to_owned());
    saga.stock("StockRequested");
    if product.starts_with("scarce") {
        let reason = format!("no stock of {product}");
        saga.answer("stock.missing", Some(&reason));
        return saga.cancelled(&format!("reserve-stock: {reason}"));
    }
    saga.answer("stock.reserved", None);
    saga.ask("payment-commands", "payment.take");
    let order = &saga.order;
    let bill = json!({
        "orderId": order["orderId"], "userId": user, "amountCents": order["totalCents"],
        "currency": order["currency"],
    });
    saga.expected.called("/payments", &bill);
    if user.starts_with("mallory") {
        saga.answer("payment.declined", Some("the payment was declined"));
        saga.give_back();
        return saga.cancelled("take-payment: the payment was declined");
    }
    saga.answer("payment.taken", None);
    saga.ask("shipping-commands", "parcel.pack");
    if event.data["city"] == "Ushuaia" {
        saga.answer("parcel.refused", Some("no carrier goes there today"));
        saga.pay_back();
        return saga.cancelled("create-shipping: no carrier goes there today");
    }
    saga.packed();
    saga.ask("notification-commands", "user.tell");
    let about = &saga.order["orderId"];
    let mail = json!({ "to": user, "template": "express", "about": about });
    saga.expected.called("/mails", &mail);
    if user.starts_with("gone") {
        saga.answer("user.unreachable", Some("nobody is there"));
        saga.ask("shipping-commands", "parcel.unpack");
        saga.answer("parcel.unpacked", None);
        saga.pay_back();
        return saga.cancelled("notify: nobody is there");
    }
    saga.answer("user.told", None);
    *stock.entry(product).or_default() -= event.data["quantity"].as_i64().unwrap_or_default();
    saga.shipped();
}

struct Saga<'a> {
    order: Value,
    at: &'a str,
    expected: &'a mut Expected,
}

impl Saga<'_> {
    fn id(&self) -> String {
        text(&self.order["orderId"]).to_owned()
    }

    fn ask(&mut self, topic: &str, kind: &str) {
        self.expected.told(topic, &self.id(), (kind, &self.order));
    }

    fn answer(&mut self, kind: &str, refused: Option<&str>) {
        let data = refused.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
        self.expected.told("fulfilment-replies", &self.id(), (kind, &data));
    }

    fn packed(&mut self) {
        let (id, shipment) = (self.id(), format!("s-{}", self.id()));
        let data = json!({ "shipmentId": shipment });
        self.expected.told("fulfilment-replies", &id, ("parcel.packed", &data));
        self.order["shipmentId"] = json!(shipment);
    }

    /// Stock is asked for, or given back.
    fn stock(&mut self, kind: &'static str) {
        let (id, product) = (self.id(), text(&self.order["productId"]).to_owned());
        let order = &self.order;
        let (name, data) = if kind == "StockRequested" {
            let of = json!({
                "orderId": id, "eventId": id, "userId": order["userId"], "lines": 1,
                "totalCents": order["totalCents"], "currency": order["currency"],
            });
            let item = json!({ "productId": product, "quantity": order["quantity"] });
            (format!("{id}-wants-{product}"), json!({ "order": of, "item": item }))
        } else {
            let data = json!({ "orderId": id, "productId": product });
            (format!("{id}-returns-{product}"), data)
        };
        let told = Told { kind, service: "fulfilment", user: None };
        let event = told.envelope(&name, self.at, &data);
        self.expected.told("stock-requests", &product, (kind, &event));
    }

    fn give_back(&mut self) {
        self.stock("StockReturned");
        self.answer("stock.returned", None);
    }

    fn pay_back(&mut self) {
        self.ask("payment-commands", "payment.refund");
        let refund = json!({ "orderId": self.id(), "amountCents": self.order["totalCents"] });
        self.expected.called("/refunds", &refund);
        self.answer("payment.refunded", None);
        self.give_back();
    }

    fn shipped(mut self) {
        let data = json!({
            "orderId": self.id(), "userId": self.order["userId"],
            "shipmentId": self.order["shipmentId"],
        });
        self.end("OrderShipped", "shipped", &data);
    }

    fn cancelled(mut self, reason: &str) {
        let data = json!({
            "orderId": self.id(), "userId": self.order["userId"], "reason": reason,
        });
        self.end("OrderCancelled", "cancelled", &data);
    }

    fn end(&mut self, kind: &'static str, how: &str, data: &Value) {
        let user = text(&self.order["userId"]).to_owned();
        let told = Told { kind, service: "fulfilment", user: Some(&user) };
        let event = told.envelope(&format!("{}-{how}", self.id()), self.at, data);
        self.expected.told("order-events", &user, (kind, &event));
    }
}

/// An event in its envelope.
#[derive(Debug, Clone, Copy)]
struct Told<'a> {
    kind: &'a str,
    service: &'a str,
    user: Option<&'a str>,
}

impl Told<'_> {
    fn envelope(self, name: &str, at: &str, data: &Value) -> Value {
        let mut event = json!({
            "eventId": name, "eventType": self.kind, "eventVersion": "v1", "timestamp": at,
            "source": format!("{}-service", self.service), "data": data,
        });
        if let Some(user) = self.user {
            event["metadata"] = json!({ "userId": user });
        }
        event
    }

    /// At the moment of its cause, in the same chain.
    fn because_of(self, cause: &Value, name: &str, data: &Value) -> Value {
        let mut event = self.envelope(name, text(&cause["timestamp"]), data);
        event["correlationId"] = cause["correlationId"].clone();
        event["causationId"] = cause["eventId"].clone();
        event
    }
}
