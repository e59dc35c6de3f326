//! Owns the data of what happens to payments.

use serde::{Deserialize, Serialize};

/// A payment was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentInitiated {
    /// Which.
    pub payment_id: String,
    /// For what.
    pub order_id: String,
    /// Who pays.
    pub user_id: String,
    /// How much, in cents.
    pub amount_cents: i64,
    /// Currency, by ISO 4217.
    pub currency: String,
}

/// A payment went well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentProcessed {
    /// Which.
    pub payment_id: String,
    /// For what.
    pub order_id: String,
    /// Who paid.
    pub user_id: String,
    /// How much, in cents.
    pub amount_cents: i64,
    /// Currency, by ISO 4217.
    pub currency: String,
}

/// A payment did not go well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentFailed {
    /// Which.
    pub payment_id: String,
    /// For what.
    pub order_id: String,
    /// Who was to pay.
    pub user_id: String,
    /// How much, in cents.
    pub amount_cents: i64,
    /// Currency, by ISO 4217.
    pub currency: String,
    /// Why.
    pub reason: String,
}

/// A payment was paid back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRefunded {
    /// Which.
    pub payment_id: String,
    /// For what.
    pub order_id: String,
    /// Who is paid back.
    pub user_id: String,
    /// How much, in cents.
    pub amount_cents: i64,
    /// Currency, by ISO 4217.
    pub currency: String,
}
