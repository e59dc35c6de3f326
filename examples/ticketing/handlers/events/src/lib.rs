//! Owns the events of ticketing as they are on the wire: camelCase JSON without an envelope,
//! keyed by seat id without dashes. It handles none of them.

use gristmill_plugin::Timestamp;
use serde::{Deserialize, Serialize};

/// Topic of [`ReservationCreated`].
pub const RESERVATION_CREATED: &str = "reservation-created";
/// Topic of [`ReservationExpired`].
pub const RESERVATION_EXPIRED: &str = "reservation-expired";
/// Topic of [`PaymentSucceeded`].
pub const PAYMENT_SUCCEEDED: &str = "payment-succeeded";
/// Topic of [`CartChange`].
pub const ORDERING_CARTS: &str = "ordering-carts";

/// Topic of [`Order`], which begins the saga of an order.
pub const ORDER_REQUESTED: &str = "order-requested";
/// Topic by which participants answer the saga of an order.
pub const ORDER_REPLIES: &str = "order-replies";
/// Topic that tells how orders ended.
pub const ORDER_OUTCOMES: &str = "order-outcomes";
/// Topic of what seats are asked for, keyed by seat.
pub const SEAT_COMMANDS: &str = "seat-commands";
/// Topic of what the order book is asked for, keyed by order.
pub const ORDER_COMMANDS: &str = "order-commands";
/// Topic of what the cashier is asked for, keyed by order.
pub const PAYMENT_COMMANDS: &str = "payment-commands";
/// Topic of what the printer of tickets is asked for, keyed by order.
pub const TICKET_COMMANDS: &str = "ticket-commands";

/// Somebody orders a seat and says how it is paid. Keyed by order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub event_id: String,
    pub order_id: String,
    pub customer_id: String,
    pub seat_id: String,
    pub amount: f64,
    /// Means of payment, such as `card`.
    pub method: String,
    /// Number of the ticket, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
}

/// A ticket was issued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TicketIssued {
    pub ticket: String,
}

/// How an order ended. Keyed by order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderOutcome {
    pub order_id: String,
    pub seat_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A seat was reserved, until someone pays or time runs out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservationCreated {
    pub event_id: String,
    pub reservation_id: String,
    pub customer_id: Option<String>,
    pub seat_id: String,
    /// Section, row and number, joined by dashes.
    pub seat_number: String,
    pub section: String,
    pub base_price: f64,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    #[serde(default = "active")]
    pub status: String,
}

/// Nobody paid in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservationExpired {
    pub event_id: String,
    pub reservation_id: String,
    pub customer_id: Option<String>,
    pub seat_id: String,
    pub expired_at: Timestamp,
}

/// A reservation was paid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentSucceeded {
    pub event_id: String,
    pub reservation_id: String,
    pub order_id: String,
    pub customer_id: Option<String>,
    pub seat_id: String,
    pub amount: f64,
    pub paid_at: Timestamp,
}

/// What ordering tells a cart, keyed by customer, or by reservation where nobody is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum CartChange {
    /// A seat went in.
    ItemAdded(Item),
    /// Time ran out.
    ItemRemoved {
        #[serde(rename = "reservationId")]
        reservation_id: String,
    },
    /// Its order was paid.
    ItemPaid {
        #[serde(rename = "reservationId")]
        reservation_id: String,
        #[serde(rename = "orderId")]
        order_id: String,
    },
}

/// A seat in a cart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    pub reservation_id: String,
    pub seat_id: String,
    pub seat_number: String,
    pub price: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
}

fn active() -> String {
    "active".to_owned()
}
