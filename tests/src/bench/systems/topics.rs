//! Says of every topic that handlers publish to which of its events must keep their order among
//! each other, and what of them nobody can know before.

use serde_json::Value;

use super::expected::{self, Place};

/// A topic that handlers publish to.
#[derive(Debug)]
pub(super) struct Spec {
    /// Its name.
    pub(super) name: &'static str,
    /// What events have in common, beside their key, whose order is known: the first of these
    /// pointers that leads to something. Events of several keys cause those of one here.
    within: &'static [&'static str],
    /// Members that follow from when something was handled.
    without: &'static [&'static str],
}

impl Spec {
    /// The lane of an event.
    pub(super) fn place(&self, key: &str, data: &Value) -> Place {
        let entity = self.within.iter().find_map(|at| data.pointer(at)?.as_str());
        (self.name, expected::hash(&(key, entity)))
    }

    /// What an event says.
    pub(super) fn content(&self, kind: &str, data: &Value) -> u64 {
        expected::hash(&(kind, expected::content(data, self.without)))
    }
}

/// The topic of that name, where handlers publish to it.
pub(super) fn spec(name: &str) -> Option<&'static Spec> {
    TOPICS.iter().find(|spec| spec.name == name)
}

const fn by_key(name: &'static str) -> Spec {
    Spec { name, within: &[], without: &[] }
}

const fn within(name: &'static str, within: &'static [&'static str]) -> Spec {
    Spec { name, within, without: &[] }
}

/// All of them, but the audit trails, which are counted.
pub(super) const TOPICS: &[Spec] = &[
    // Ticketing.
    within("ordering-carts", &["/reservationId"]),
    by_key("reservation-expired"),
    by_key("seat-commands"),
    by_key("order-commands"),
    by_key("cashier-commands"),
    by_key("ticket-commands"),
    by_key("order-replies"),
    by_key("order-outcomes"),
    // Shipping.
    within("identity-events", &["/shipmentId"]),
    by_key("shipment-events"),
    within("shipping.user.shipment-added", &["/shipmentId"]),
    // Billing.
    by_key("InvoiceV2"),
    by_key("Invoice"),
    by_key("PaymentV2"),
    by_key("Cashier"),
    by_key("LedgerEntry"),
    within("TenantInvoice", &["/invoice/invoiceId"]),
    by_key("Reply"),
    // Pos.
    by_key("billing.payment.settled"),
    by_key("notification.mail.sent"),
    within("analytics.counter.raised", &["/eventId"]),
    within("stock.item.requested", &["/eventId"]),
    by_key("stock.item.reserved"),
    // Commerce. Carts and orders of a user are of two topics.
    within("order-events", &["/data/orderId"]),
    within("payment-events", &["/data/orderId"]),
    within("inventory-events", &["/data/orderId"]),
    within("shipping-events", &["/data/orderId"]),
    within("notification-events", &["/data/notificationId"]),
    within("stock-requests", &["/data/order/orderId", "/data/orderId"]),
    within("stock-answers", &["/eventId"]),
    by_key("payment-commands"),
    by_key("shipping-commands"),
    by_key("notification-commands"),
    by_key("fulfilment-replies"),
    within("payment-alerts-late", &["/orderId"]),
    within("carts-late", &["/orderId", "/cartId"]),
    Spec { name: "revenue-amounts", within: &["/paymentId"], without: &["cameAt"] },
    Spec { name: "revenue-late", within: &["/paymentId"], without: &["cameAt"] },
    // Where nothing has to be: no window, no cart and no breaker has anything to tell.
    by_key("cart-events"),
    by_key("payment-alerts"),
    by_key("revenue-per-minute"),
    by_key("InvoiceFallback"),
];
