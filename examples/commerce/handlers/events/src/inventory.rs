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
    /// Who ordered.
    pub user_id: String,
    /// What.
    pub items: Vec<StockItem>,
    /// What the order costs, in cents.
    pub total_cents: i64,
    /// Currency, by ISO 4217.
    pub currency: String,
}

/// Stock that was set aside is for everybody again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryReleased {
    /// Of which order.
    pub order_id: String,
    /// Who ordered.
    pub user_id: String,
    /// What.
    pub items: Vec<StockItem>,
    /// Why.
    pub reason: String,
}

/// The part of an order that its lines know, so that whoever gathers them need not ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Picking {
    /// Which.
    pub order_id: String,
    /// Id of the event that placed it.
    pub event_id: String,
    /// Who ordered.
    pub user_id: String,
    /// Of how many products it is.
    pub lines: usize,
    /// What it costs, in cents.
    pub total_cents: i64,
    /// Currency, by ISO 4217.
    pub currency: String,
}

/// Pieces of one product are to be set aside. Between the parts of the inventory only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockRequested {
    /// For what.
    pub order: Picking,
    /// Of what, and how many.
    pub item: StockItem,
}

impl StockRequested {
    /// The id of the event that asks for this.
    #[must_use]
    pub fn event_id(&self) -> String {
        format!("{}-wants-{}", self.order.order_id, self.item.product_id)
    }
}

/// Pieces of one product are for everybody again. Between the parts of the inventory only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockReturned {
    /// Of which order.
    pub order_id: String,
    /// Of what.
    pub product_id: String,
}

/// Pieces of one product are set aside, or there are too few. Between the parts of the inventory
/// only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockAnswered {
    /// For what.
    pub order: Picking,
    /// Of what, and how many.
    pub item: StockItem,
    /// Whether they are set aside.
    pub is_there: bool,
}
