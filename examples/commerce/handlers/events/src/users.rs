//! Owns the data of what happens to users.

use serde::{Deserialize, Serialize};

/// Somebody has an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRegistered {
    /// Who.
    pub user_id: String,
    /// Where mail reaches them.
    pub email: String,
    /// What they are called.
    pub name: String,
}

/// Something about a user changed; what did not is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserUpdated {
    /// Who.
    pub user_id: String,
    /// The new address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An account is no longer used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDeactivated {
    /// Who.
    pub user_id: String,
    /// Why.
    pub reason: String,
}
