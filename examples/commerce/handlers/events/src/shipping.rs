//! Owns the data of what happens to parcels.

use serde::{Deserialize, Serialize};

/// A parcel has a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShippingCreated {
    /// Which.
    pub shipment_id: String,
    /// With what.
    pub order_id: String,
    /// For whom.
    pub user_id: String,
    /// What the carrier calls it.
    pub tracking_number: String,
}

/// A carrier has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShippingDispatched {
    /// Which.
    pub shipment_id: String,
    /// With what.
    pub order_id: String,
    /// For whom.
    pub user_id: String,
    /// Who has it.
    pub carrier: String,
}

/// It is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShippingDelivered {
    /// Which.
    pub shipment_id: String,
    /// With what.
    pub order_id: String,
    /// For whom.
    pub user_id: String,
}
