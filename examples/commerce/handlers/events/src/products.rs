//! Owns the data of what happens to products.

use serde::{Deserialize, Serialize};

/// A product is on sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductCreated {
    /// Which.
    pub product_id: String,
    /// What it is called.
    pub name: String,
    /// Price of one, in cents.
    pub price_cents: i64,
    /// Currency, by ISO 4217.
    pub currency: String,
}

/// Something about a product changed; what did not is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductUpdated {
    /// Which.
    pub product_id: String,
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The new price, in cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_cents: Option<i64>,
}

/// A product is sold no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductDiscontinued {
    /// Which.
    pub product_id: String,
    /// Why.
    pub reason: String,
}
