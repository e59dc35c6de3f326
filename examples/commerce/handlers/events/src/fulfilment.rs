//! Owns express orders, which a saga brings to their end, and what it asks of whom.

use gristmill_plugin::Timestamp;
use serde::{Deserialize, Serialize};

/// Topic of express orders, keyed by order.
pub const EXPRESS_ORDERS: &str = "express-orders";
/// Topic of answers to the saga, keyed by order.
pub const FULFILMENT_REPLIES: &str = "fulfilment-replies";
/// Topic of what the cashier is asked, keyed by order.
pub const PAYMENT_COMMANDS: &str = "payment-commands";
/// Topic of what the packers are asked, keyed by order.
pub const SHIPPING_COMMANDS: &str = "shipping-commands";
/// Topic of what the mail room is asked, keyed by order.
pub const NOTIFICATION_COMMANDS: &str = "notification-commands";

/// An order of one product that leaves today. It comes as it is, without an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpressOrder {
    /// Which.
    pub order_id: String,
    /// Who.
    pub user_id: String,
    /// What.
    pub product_id: String,
    /// How many.
    pub quantity: u32,
    /// What it costs, in cents.
    pub total_cents: i64,
    /// Currency, by ISO 4217.
    pub currency: String,
    /// Where it goes.
    pub city: String,
    /// When it was ordered; the saga notes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered_at: Option<Timestamp>,
    /// In which parcel it goes; the saga learns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment_id: Option<String>,
}

/// What the packers answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Packed {
    /// In which parcel.
    pub shipment_id: String,
}
