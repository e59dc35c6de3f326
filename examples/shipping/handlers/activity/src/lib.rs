//! Identity's part in shipping: logs what users did and confirms it by mail. The mail sender is
//! called while the event is handled, so that there is no log without a mail.

use gristmill_plugin::{Emission, Event, Host, Outcome, Timestamp};
use serde::{Deserialize, Serialize};
use shipping_events::{
    Base, ConfirmationSent, IDENTITY_API, IDENTITY_EVENTS, ShipmentCreated, UserActivityLogged,
};

/// Name of the state that holds a user's [`Activity`] list.
const ACTIVITY: &str = "activity";
/// Key of the configuration: where mails go.
const MAIL: &str = "mail";

gristmill_plugin::export!(handle);

/// What one user did at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    pub occurred_at: Timestamp,
    pub activity: String,
    pub shipment_id: String,
}

/// A mail as the sender takes it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mail<'a> {
    to: &'a str,
    subject: String,
    shipment_id: &'a str,
}

/// What both versions of an event say.
struct Creation {
    shipment_id: String,
    tracking_number: String,
    created_at: Timestamp,
    user_id: String,
    email: String,
}

/// Logs and confirms a shipment that was created, or keeps what was logged.
///
/// # Errors
///
/// Asks for another attempt when the mail sender may take the mail then, and rejects what it does
/// not take and what is no such event.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    if event.topic == IDENTITY_EVENTS { keep(event, host) } else { confirm(event, host) }
}

fn confirm(event: &Event, host: &mut Host) -> Outcome {
    let url: String = host.config().require(MAIL)?;
    let Creation { shipment_id, tracking_number, created_at, user_id, email } =
        ShipmentCreated::read(event)?.into();
    let following = |kind| Base::following(&event.id, kind, IDENTITY_API, created_at);
    let logged = UserActivityLogged {
        base: following("UserActivityLogged"),
        user_id: user_id.clone(),
        activity: "shipment-created".to_owned(),
        shipment_id: shipment_id.clone(),
    };
    emit(host, &user_id, (&logged.base.event_type, &logged))?;
    let subject = format!("Your shipment {tracking_number}");
    let mail = Mail { to: &email, subject, shipment_id: &shipment_id };
    host.http().post(url).json(&mail)?.send()?.or_fail()?;
    let sent = ConfirmationSent {
        base: following("ConfirmationSent"),
        user_id: user_id.clone(),
        shipment_id,
    };
    emit(host, &user_id, (&sent.base.event_type, &sent))
}

fn emit(host: &mut Host, user: &str, (kind, event): (&str, &impl Serialize)) -> Outcome {
    Ok(host.emit(Emission::json(IDENTITY_EVENTS, kind, event)?.key(user))?)
}

/// Keeps a user's activities in the order in which they happened: events of different shipments
/// come in any order.
fn keep(event: &Event, host: &mut Host) -> Outcome {
    let logged: UserActivityLogged = event.json()?;
    let mut activities: Vec<Activity> = host.state().get_json(ACTIVITY)?.unwrap_or_default();
    let occurred_at = logged.base.occurred_at;
    let new = Activity { occurred_at, activity: logged.activity, shipment_id: logged.shipment_id };
    let order = |it: &Activity| (it.occurred_at, it.shipment_id.clone());
    let at = activities.partition_point(|it| order(it) < order(&new));
    activities.insert(at, new);
    Ok(host.state().set_json(ACTIVITY, &activities)?)
}

impl From<ShipmentCreated> for Creation {
    fn from(created: ShipmentCreated) -> Self {
        match created {
            ShipmentCreated::V1(it) => Self {
                shipment_id: it.shipment_id,
                tracking_number: it.tracking_number,
                created_at: it.created_at,
                user_id: it.created_by_user_id,
                email: it.created_by_email,
            },
            ShipmentCreated::V2(it) => Self {
                shipment_id: it.shipment_id,
                tracking_number: it.tracking_number,
                created_at: it.created_at,
                user_id: it.created_by_user_id,
                email: it.created_by_email,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use gristmill_plugin::{HttpError, Response};
    use shipping_events::SHIPMENT_CREATED;

    use super::*;

    const URL: &str = "http://127.0.0.1:8090/mail";

    fn created(version: Option<&str>) -> Event {
        let payload = r#"{"EventId":"e1","shipmentId":"s1","trackingNumber":"T1","status":"created",
            "createdAt":"2026-01-15T10:30:00Z","createdByUserId":"ada",
            "createdByEmail":"ada@example.com","correlationId":"c1"}"#;
        let mut event = event(SHIPMENT_CREATED, payload).with_key("s1").with_id("e1");
        event.version = version.map(str::to_owned);
        event
    }

    fn answered(status: u16) -> Response {
        Response { status, ..Response::default() }
    }

    #[test]
    fn a_shipment_of_either_version_is_logged_and_confirmed_by_mail() {
        for version in [None, Some("2")] {
            let mut host = TestHost::new().with_config(MAIL, URL);
            host.answer(Ok(answered(200)));
            host.handle(handle, &created(version)).unwrap();
            let [request] = host.requests() else { panic!("{:?}", host.requests()) };
            let mail = r#"{"to":"ada@example.com","subject":"Your shipment T1","shipmentId":"s1"}"#;
            assert_eq!((&*request.url, &*request.body), (URL, mail.as_bytes()));
            let kinds: Vec<&str> = host.emissions().iter().map(|it| &*it.event_type).collect();
            assert_eq!(kinds, ["UserActivityLogged", "ConfirmationSent"]);
            assert!(host.emissions().iter().all(|it| it.key.as_deref() == Some(b"ada")));
            let told = host.emissions().iter().map(|it| String::from_utf8_lossy(&it.payload));
            assert!(told.into_iter().all(|it| !it.contains("example.com")), "no address is told");
        }
    }

    #[test]
    fn without_a_mail_nothing_is_logged() {
        for (answer, code) in [
            (Ok(answered(422)), Some("http-422")),
            (Ok(answered(503)), None),
            (Err(HttpError::Unavailable("gone".to_owned())), None),
        ] {
            let mut host = TestHost::new().with_config(MAIL, URL);
            host.answer(answer);
            let failure = host.handle(handle, &created(None)).unwrap_err();
            assert_eq!(failure.code(), code, "{failure}");
            assert!(host.emissions().is_empty());
        }
    }

    #[test]
    fn activities_are_kept_as_they_happened_whatever_comes_first() {
        let logged = |shipment: &str, minute: u32| {
            let payload = format!(
                r#"{{"EventId":"{shipment}","OccurredAt":"2026-01-15T10:{minute}:00Z",
                "EventType":"UserActivityLogged","SourceService":"identity-api","userId":"ada",
                "activity":"shipment-created","shipmentId":"{shipment}"}}"#
            );
            event(IDENTITY_EVENTS, payload).with_key("ada")
        };
        let mut host = TestHost::new();
        for (shipment, minute) in [("s3", 30), ("s1", 10), ("s4", 10), ("s2", 10)] {
            host.handle(handle, &logged(shipment, minute)).unwrap();
        }
        let kept: Vec<Activity> = host.state_json("ada", ACTIVITY).unwrap();
        let shipments: Vec<&str> = kept.iter().map(|it| &*it.shipment_id).collect();
        assert_eq!(shipments, ["s1", "s2", "s4", "s3"]);
    }
}
