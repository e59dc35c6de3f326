//! Owns the data of what happens to orders.

use serde::{Deserialize, Serialize};

/// So many of one product in an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    /// Which.
    pub product_id: String,
    /// How many.
    pub quantity: u32,
    /// Price of one, in cents.
    pub price_cents: i64,
}

/// A user ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCreated {
    /// Which.
    pub order_id: String,
    /// Who.
    pub user_id: String,
    /// The cart it was, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cart_id: Option<String>,
    /// What.
    pub items: Vec<OrderItem>,
    /// What it costs, in cents.
    pub total_cents: i64,
    /// Currency, by ISO 4217.
    pub currency: String,
}

/// An order is paid and will be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderConfirmed {
    /// Which.
    pub order_id: String,
    /// Whose.
    pub user_id: String,
}

/// An order comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCancelled {
    /// Which.
    pub order_id: String,
    /// Whose.
    pub user_id: String,
    /// Why.
    pub reason: String,
}

/// An order is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderShipped {
    /// Which.
    pub order_id: String,
    /// Whose.
    pub user_id: String,
    /// In which parcel.
    pub shipment_id: String,
}
