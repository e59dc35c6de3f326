//! Owns the data of what happens to carts.

use serde::{Deserialize, Serialize};

/// So many of one product in a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CartItem {
    /// Which.
    pub product_id: String,
    /// How many.
    pub quantity: u32,
    /// Price of one, in cents.
    pub price_cents: i64,
}

/// A user put something into a new cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CartCreated {
    /// Which.
    pub cart_id: String,
    /// Whose.
    pub user_id: String,
    /// What is in it.
    pub items: Vec<CartItem>,
}

/// A user changed a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CartUpdated {
    /// Which.
    pub cart_id: String,
    /// Whose.
    pub user_id: String,
    /// What is in it now.
    pub items: Vec<CartItem>,
}

/// A user went on with a cart neither to change nor to order it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CartAbandoned {
    /// Which.
    pub cart_id: String,
    /// Whose.
    pub user_id: String,
    /// What was in it.
    pub items: Vec<CartItem>,
    /// False when it turned out that it was not abandoned after all: an event had come in time and
    /// was read late.
    pub holds: bool,
}
