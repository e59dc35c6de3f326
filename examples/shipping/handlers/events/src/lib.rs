//! Owns the events of shipping and of identity as they are on the wire: JSON with the members of
//! [`Base`] beside an event's own. It handles none of them.

use gristmill_plugin::{Event, Failure, Timestamp, reject};
use serde::{Deserialize, Serialize};

/// Topic of [`ShipmentCreated`].
pub const SHIPMENT_CREATED: &str = "shipping.shipment.created";
/// Topic of [`ShipmentUpdated`].
pub const SHIPMENT_UPDATED: &str = "shipping.shipment.updated";
/// Topic of [`ShipmentStatusChanged`].
pub const SHIPMENT_STATUS_CHANGED: &str = "shipping.shipment.status-changed";
/// Topic of [`ShipmentAdded`].
pub const SHIPMENT_ADDED: &str = "shipping.user.shipment-added";
/// Topic of what happened to shipments, in the order in which it did.
pub const SHIPPING_EVENTS: &str = "shipping-events";
/// Topic of [`UserRecorded`] as a user who is new.
pub const USER_CREATED: &str = "identity.user.created";
/// Topic of [`UserRecorded`] as a user who changed.
pub const USER_UPDATED: &str = "identity.user.updated";
/// Topic of [`UserDeactivated`].
pub const USER_DEACTIVATED: &str = "identity.user.deactivated";
/// Topic of what identity tells besides.
pub const IDENTITY_EVENTS: &str = "identity-events";

/// Who tells of shipments.
pub const SHIPPING_API: &str = "shipping-api";
/// Who tells of users.
pub const IDENTITY_API: &str = "identity-api";

/// What every event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Base {
    pub event_id: String,
    pub occurred_at: Timestamp,
    pub event_type: String,
    pub source_service: String,
}

impl Base {
    /// Of an event that `service` tells because of the one called `cause`. The same cause gives the
    /// same id, so that whoever reads it twice knows.
    #[must_use]
    pub fn following(cause: &str, kind: &str, service: &str, occurred_at: Timestamp) -> Self {
        Self {
            event_id: format!("{cause}/{kind}"),
            occurred_at,
            event_type: kind.to_owned(),
            source_service: service.to_owned(),
        }
    }
}

/// A shipment was created, as its version says it.
#[derive(Debug, Clone, PartialEq)]
pub enum ShipmentCreated {
    V1(ShipmentCreatedV1),
    V2(ShipmentCreatedV2),
}

/// The first version: events that say no version are of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentCreatedV1 {
    pub shipment_id: String,
    pub tracking_number: String,
    pub status: Status,
    pub created_at: Timestamp,
    pub created_by_user_id: String,
    pub created_by_email: String,
}

/// The second: it says of which request it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentCreatedV2 {
    pub shipment_id: String,
    pub tracking_number: String,
    pub status: Status,
    pub created_at: Timestamp,
    pub created_by_user_id: String,
    pub created_by_email: String,
    pub correlation_id: String,
}

impl ShipmentCreated {
    /// Reads the version that an event has.
    ///
    /// # Errors
    ///
    /// Rejects a version that is neither, as `version`, and what is no such event.
    pub fn read(event: &Event) -> Result<Self, Failure> {
        match event.version.as_deref() {
            None | Some("1") => Ok(Self::V1(event.json()?)),
            Some("2") => Ok(Self::V2(event.json()?)),
            Some(other) => {
                Err(reject("version", format!("ShipmentCreated has no version {other}")))
            }
        }
    }
}

/// Details of a shipment were corrected.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentUpdated {
    pub shipment_id: String,
    /// Number of the event among those of its shipment; that of [`ShipmentCreated`] is 1.
    pub sequence: u32,
    pub tracking_number: String,
}

/// A shipment moved on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentStatusChanged {
    pub shipment_id: String,
    /// As in [`ShipmentUpdated`].
    pub sequence: u32,
    pub status: Status,
}

/// Where a shipment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Created,
    PickedUp,
    InTransit,
    Delivered,
}

/// What became of a shipment, for whoever does not want to put its events together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentChanged {
    #[serde(flatten)]
    pub base: Base,
    pub shipment_id: String,
    pub sequence: u32,
    pub tracking_number: String,
    pub status: Status,
}

/// A user has one more shipment. Keyed by user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentAdded {
    #[serde(flatten)]
    pub base: Base,
    pub user_id: String,
    pub shipment_id: String,
}

/// All there is to know of a user, so that nobody has to ask identity. The e-mail address is not
/// read: it is encrypted for who has no use for it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRecorded {
    pub user_id: String,
    pub name: String,
}

/// A user may do nothing any more.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDeactivated {
    pub user_id: String,
}

/// A user did something. Keyed by user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserActivityLogged {
    #[serde(flatten)]
    pub base: Base,
    pub user_id: String,
    pub activity: String,
    pub shipment_id: String,
}

/// A user was written to. Keyed by user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmationSent {
    #[serde(flatten)]
    pub base: Base,
    pub user_id: String,
    pub shipment_id: String,
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::event;

    use super::*;

    fn read(version: Option<&str>, more: &str) -> Result<ShipmentCreated, Failure> {
        let payload = format!(
            r#"{{"EventId":"e1","shipmentId":"s1","trackingNumber":"T1","status":"created",
            "createdAt":"2026-01-15T10:30:00Z","createdByUserId":"auth0|123",
            "createdByEmail":"ada@example.com"{more}}}"#
        );
        let mut event = event(SHIPMENT_CREATED, payload);
        event.version = version.map(str::to_owned);
        ShipmentCreated::read(&event)
    }

    #[test]
    fn each_version_is_read_as_what_it_is() {
        let second = r#","correlationId":"c1","version":2"#;
        for version in [None, Some("1")] {
            assert!(matches!(read(version, ""), Ok(ShipmentCreated::V1(_))), "{version:?}");
        }
        assert!(matches!(read(Some("2"), second), Ok(ShipmentCreated::V2(_))));
        for (version, more, code) in [("2", "", "payload"), ("3", second, "version")] {
            let failure = read(Some(version), more).unwrap_err();
            assert_eq!(failure.code(), Some(code), "{failure}");
        }
    }

    #[test]
    fn what_all_events_say_is_beside_what_one_says() {
        let base = Base::following("e1", "ShipmentAdded", SHIPPING_API, Timestamp::default());
        let added = ShipmentAdded { base, user_id: "u1".to_owned(), shipment_id: "s1".to_owned() };
        let text = serde_json::to_string(&added).unwrap();
        let base = r#""EventId":"e1/ShipmentAdded","OccurredAt":"1970-01-01T00:00:00Z""#;
        let more = r#""EventType":"ShipmentAdded","SourceService":"shipping-api""#;
        let own = r#""userId":"u1","shipmentId":"s1""#;
        assert_eq!(text, format!("{{{base},{more},{own}}}"));
    }
}
