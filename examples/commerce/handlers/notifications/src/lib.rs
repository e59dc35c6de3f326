//! Writes to users: a welcome to who registered, a word to whose parcel has a label. It knows no
//! addresses but those of welcomes: the mail service does, so that events that are kept for a year
//! have none.

use commerce_events::{
    CommerceEvent as _, Envelope, NotificationFailed, NotificationSent, ShippingCreated,
    UserRegistered,
};
use gristmill_plugin::{Event, Failure, Host, Outcome, reject};
use serde::Serialize;

const SOURCE: &str = "notification-service";
const CHANNEL: &str = "email";
/// Status by which the mail service says that nobody is there.
const UNDELIVERABLE: u16 = 422;

gristmill_plugin::export!(handle);

/// What the mail service is asked for.
#[derive(Debug, Serialize)]
struct Mail<'a> {
    to: &'a str,
    template: &'a str,
    about: &'a str,
}

/// Writes to one user.
///
/// # Errors
///
/// Rejects types it does not know (`event-type`). A mail service that is away is asked again.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        UserRegistered::TYPE => welcome(&event.json()?, event, host),
        ShippingCreated::TYPE => shipped(event.json()?, event, host),
        other => Err(reject("event-type", format!("nobody is written to about {other}"))),
    }
}

fn welcome(user: &UserRegistered, event: &Event, host: &mut Host) -> Outcome {
    let mail = Mail { to: &user.email, template: "welcome", about: &user.user_id };
    let sent = NotificationSent {
        notification_id: format!("{}-welcome", user.user_id),
        user_id: user.user_id.clone(),
        channel: CHANNEL.to_owned(),
        template: mail.template.to_owned(),
        order_id: None,
        shipment_id: None,
    };
    write(&mail, sent, event, host)
}

fn shipped(parcel: ShippingCreated, event: &Event, host: &mut Host) -> Outcome {
    let mail =
        Mail { to: &parcel.user_id, template: "order-shipped", about: &parcel.tracking_number };
    let sent = NotificationSent {
        notification_id: format!("{}-told", parcel.order_id),
        user_id: parcel.user_id.clone(),
        channel: CHANNEL.to_owned(),
        template: mail.template.to_owned(),
        order_id: Some(parcel.order_id),
        shipment_id: Some(parcel.shipment_id),
    };
    write(&mail, sent, event, host)
}

fn write(mail: &Mail<'_>, sent: NotificationSent, event: &Event, host: &mut Host) -> Outcome {
    let (id, user) = (sent.notification_id.clone(), sent.user_id.clone());
    if has_arrived(mail, host)? {
        return Envelope::following(event, id, SOURCE, sent).of(&user).tell(host);
    }
    let NotificationSent { notification_id, user_id, channel, template, order_id, shipment_id } =
        sent;
    let reason = "nobody is there".to_owned();
    let failed = NotificationFailed {
        notification_id,
        user_id,
        channel,
        template,
        order_id,
        shipment_id,
        reason,
    };
    Envelope::following(event, id, SOURCE, failed).of(&user).tell(host)
}

/// Whether the mail service took it. Every request carries an `Idempotency-Key`, the same at every
/// attempt: one mail is sent.
fn has_arrived(mail: &Mail<'_>, host: &mut Host) -> Result<bool, Failure> {
    let service: String = host.config().require("mail")?;
    let answer = host.http().post(format!("{service}/mails")).json(mail)?.send()?;
    if answer.status == UNDELIVERABLE {
        return Ok(false);
    }
    answer.or_fail()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::Response;
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::{Value, json};

    use super::*;

    fn told(kind: &str, status: u16) -> (TestHost, Outcome) {
        let mut host = TestHost::new().with_config("mail", "http://mail");
        host.answer(Ok(Response { status, ..Response::default() }));
        let data = json!({
            "userId": "ada", "email": "ada@example.com", "name": "Ada", "shipmentId": "s-o1",
            "orderId": "o1", "trackingNumber": "GM-o1",
        });
        let event = event("any", data.to_string()).with_type(kind).with_key("ada");
        let outcome = host.handle(handle, &event);
        (host, outcome)
    }

    #[test]
    fn it_is_told_whether_mail_arrived() {
        for (kind, status, to, told_as, order) in [
            ("UserRegistered", 200, "ada@example.com", "NotificationSent", Value::Null),
            ("ShippingCreated", 200, "ada", "NotificationSent", json!("o1")),
            ("ShippingCreated", 422, "ada", "NotificationFailed", json!("o1")),
        ] {
            let (host, outcome) = told(kind, status);
            outcome.unwrap();
            let mail: Value = serde_json::from_slice(&host.requests()[0].body).unwrap();
            assert_eq!(mail["to"], to);
            let [sent] = host.emissions() else { panic!("{:?}", host.emissions()) };
            let payload: Value = serde_json::from_slice(&sent.payload).unwrap();
            assert_eq!((&*sent.event_type, &payload["data"]["orderId"]), (told_as, &order));
        }
    }

    #[test]
    fn a_mail_service_that_is_away_is_asked_again() {
        let (host, outcome) = told("ShippingCreated", 503);
        assert!(outcome.unwrap_err().is_retry() && host.emissions().is_empty());
    }

    #[test]
    fn nobody_is_written_to_about_anything_else() {
        assert_eq!(told("UserUpdated", 200).1.unwrap_err().code(), Some("event-type"));
    }
}
