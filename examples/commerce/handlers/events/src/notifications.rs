//! Owns the data of what users are told.

use serde::{Deserialize, Serialize};

/// A user was told something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationSent {
    /// Which.
    pub notification_id: String,
    /// Who.
    pub user_id: String,
    /// How: `email`, `sms` or `push`.
    pub channel: String,
    /// What.
    pub template: String,
    /// About which order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// About which parcel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment_id: Option<String>,
}

/// A user could not be told something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationFailed {
    /// Which.
    pub notification_id: String,
    /// Who.
    pub user_id: String,
    /// How: `email`, `sms` or `push`.
    pub channel: String,
    /// What.
    pub template: String,
    /// About which order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// About which parcel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment_id: Option<String>,
    /// Why.
    pub reason: String,
}
