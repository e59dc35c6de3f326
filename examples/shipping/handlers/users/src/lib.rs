//! Shipping's own copy of identity's users, so that it never has to ask for one, with the
//! shipments of each. It sees no e-mail address, and publishes nothing.

use gristmill_plugin::{Event, Host, Outcome, Timestamp, reject};
use serde::{Deserialize, Serialize};
use shipping_events::{
    SHIPMENT_ADDED, ShipmentAdded, USER_DEACTIVATED, UserDeactivated, UserRecorded,
};

/// Name of the state that holds a [`User`].
const USER: &str = "user";

gristmill_plugin::export!(handle);

/// A user as shipping knows them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub name: Option<String>,
    /// When the name was told. What is older does not replace it.
    pub told_at: Timestamp,
    pub deactivated_at: Option<Timestamp>,
    /// Their ids, sorted.
    pub shipments: Vec<String>,
}

/// Takes over what an event says of a user. The topics it comes from are not ordered among each
/// other: a user may be deactivated, or have a shipment, before they are created.
///
/// # Errors
///
/// Rejects a user without a name, as `name`, and what is no such event.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let mut user: User = host.state().get_json(USER)?.unwrap_or_default();
    match event.topic.as_str() {
        SHIPMENT_ADDED => {
            let ShipmentAdded { shipment_id, .. } = event.json()?;
            if let Err(at) = user.shipments.binary_search(&shipment_id) {
                user.shipments.insert(at, shipment_id);
            }
        }
        USER_DEACTIVATED => {
            let UserDeactivated { .. } = event.json()?;
            user.deactivated_at = Some(event.time);
        }
        _created_or_updated => {
            let UserRecorded { name, .. } = event.json()?;
            if name.trim().is_empty() {
                return Err(reject("name", "a user without a name"));
            }
            if event.time >= user.told_at {
                (user.name, user.told_at) = (Some(name), event.time);
            }
        }
    }
    Ok(host.state().set_json(USER, &user)?)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use shipping_events::{USER_CREATED, USER_UPDATED};

    use super::*;

    fn told(topic: &str, minute: u32, members: &str) -> Event {
        let time: Timestamp = format!("2026-01-15T10:{minute}:00Z").parse().unwrap();
        let payload = format!(
            r#"{{"EventId":"e{minute}","OccurredAt":"{time}","EventType":"x",
            "SourceService":"x","userId":"u1"{members}}}"#
        );
        event(topic, payload).with_key("u1").with_time(time)
    }

    #[test]
    fn whatever_is_read_first_the_newest_holds() {
        let events = [
            told(USER_CREATED, 10, r#","name":"Ada""#),
            told(USER_UPDATED, 11, r#","name":"Ada L.""#),
            told(USER_UPDATED, 12, r#","name":"Ada Lovelace""#),
            told(USER_DEACTIVATED, 13, ""),
            told(SHIPMENT_ADDED, 14, r#","shipmentId":"s2""#),
            told(SHIPMENT_ADDED, 15, r#","shipmentId":"s1""#),
        ];
        let expected = User {
            name: Some("Ada Lovelace".to_owned()),
            told_at: events[2].time,
            deactivated_at: Some(events[3].time),
            shipments: vec!["s1".to_owned(), "s2".to_owned()],
        };
        for first in 0..events.len() {
            let mut host = TestHost::new();
            let (before, after) = events.split_at(first);
            for event in after.iter().chain(before.iter().rev()).chain(after) {
                host.handle(handle, event).unwrap();
            }
            assert_eq!(host.state_json("u1", USER), Some(expected.clone()));
        }
    }

    #[test]
    fn a_user_without_a_name_is_refused() {
        let mut host = TestHost::new();
        let nameless = told(USER_UPDATED, 10, r#","name":"  ""#);
        assert_eq!(host.handle(handle, &nameless).unwrap_err().code(), Some("name"));
    }
}
