//! Owns the data of what happens to stock.

use serde::{Deserialize, Serialize};

/// So many of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockItem {
    /// Which.
    pub product_id: String,
    /// How many.
    pub quantity: u32,
}

/// Stock was counted, delivered or lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryAdjusted {
    /// Which.
    pub product_id: String,
    /// How many more there are; negative for fewer.
    pub change: i64,
    /// Why.
    pub reason: String,
}

/// Stock is set aside for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryReserved {
    /// For which.
    pub order_id: String,
    /// What.
    pub items: Vec<StockItem>,
}

/// Stock that was set aside is for everybody again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryReleased {
    /// Of which order.
    pub order_id: String,
    /// What.
    pub items: Vec<StockItem>,
    /// Why.
    pub reason: String,
}
