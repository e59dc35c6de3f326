//! Writes to people: one letter for each type of event that is worth one. It keeps nothing, and
//! how often a subscription tries is its manifest's to say.

use gristmill_plugin::{Event, Host, Outcome, reject};
use pos_events::{
    MAIL_SENT, MailSent, ORDER_PLACED, OrderPlaced, PAYMENT_DECLINED, PaymentSettled, Told,
    USER_CREATED, UserCreated,
};
use serde::Serialize;

const TOPIC: &str = "notification.mail.sent";

gristmill_plugin::export!(handle);

/// What the mail service is asked to send.
#[derive(Debug, Serialize)]
struct Mail<'a> {
    to: &'a str,
    template: &'a str,
    about: &'a str,
    /// What the template is filled with.
    words: &'a str,
}

/// Sends the letter for one event and tells that it was sent.
///
/// # Errors
///
/// Rejects events of types without a letter (`event-type`), and what the mail service refuses for
/// good, such as an address that is gone (`http-422`). What may pass is tried again.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    match event.event_type.as_str() {
        USER_CREATED => {
            let user: UserCreated = event.json()?;
            let (to, about) = (&*user.email, &*user.user_id);
            send(&Mail { to, template: "welcome", about, words: &user.full_name }, event, host)
        }
        ORDER_PLACED => {
            let order: OrderPlaced = event.json()?;
            let words = format!("articles: {}", order.lines.len());
            let (to, about) = (&*order.email, &*order.order_id);
            send(&Mail { to, template: "confirmation", about, words: &words }, event, host)
        }
        PAYMENT_DECLINED => {
            let payment: PaymentSettled = event.json()?;
            let words = payment.reason.as_deref().unwrap_or("no reason was given");
            let (to, about) = (&*payment.email, &*payment.order_id);
            send(&Mail { to, template: "declined", about, words }, event, host)
        }
        other => Err(reject("event-type", format!("there is no letter for {other}"))),
    }
}

fn send(mail: &Mail<'_>, event: &Event, host: &mut Host) -> Outcome {
    let url: String = host.config().require("mail")?;
    host.http().post(format!("{url}/mails")).json(mail)?.send()?.or_fail()?;
    let data = MailSent {
        to: mail.to.to_owned(),
        template: mail.template.to_owned(),
        about: mail.about.to_owned(),
    };
    let (topic, source, name) = (TOPIC, "notification", mail.template);
    Told { topic, event_type: MAIL_SENT, source, name, data: &data }.tell(event, host)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use gristmill_plugin::{HttpError, Response};
    use serde_json::{Value, json};

    use super::*;

    const USER: &str = r#"{"userId":"u1","email":"ada@example.com","fullName":"Ada Lovelace"}"#;
    const ORDER: &str = r#"{"orderId":"o1","userId":"u1","email":"ada@example.com","card":"c",
        "currency":"EUR","amount":900,"lines":[{"sku":"tea","quantity":2}]}"#;
    const DECLINED: &str = r#"{"orderId":"o1","email":"ada@example.com","currency":"EUR",
        "amount":900,"reason":"no funds"}"#;

    fn host(status: u16) -> TestHost {
        let mut host = TestHost::new().with_config("mail", "http://mail");
        host.answer(Ok(Response { status, ..Response::default() }));
        host
    }

    fn of_type(event_type: &str, data: &str) -> Event {
        event("any", data).with_id("e1").with_type(event_type)
    }

    #[test]
    fn each_type_has_its_letter() {
        for (event_type, data, template, about, words) in [
            (USER_CREATED, USER, "welcome", "u1", "Ada Lovelace"),
            (ORDER_PLACED, ORDER, "confirmation", "o1", "articles: 1"),
            (PAYMENT_DECLINED, DECLINED, "declined", "o1", "no funds"),
        ] {
            let mut host = host(200);
            host.handle(handle, &of_type(event_type, data)).unwrap();
            let [call] = host.requests() else { panic!("{:?}", host.requests()) };
            assert_eq!((&*call.method, &*call.url), ("POST", "http://mail/mails"));
            let mail: Value = serde_json::from_slice(&call.body).unwrap();
            let to = "ada@example.com";
            let expected = json!({"to": to, "template": template, "about": about, "words": words});
            assert_eq!(mail, expected);
            let [told] = host.emissions() else { panic!("{:?}", host.emissions()) };
            let told: Value = serde_json::from_slice(&told.payload).unwrap();
            assert_eq!(told["eventId"], format!("e1-{template}"));
            assert_eq!(told["data"], json!({"to": to, "template": template, "about": about}));
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_rejected() {
        for (status, expected) in [
            (422, "reject (http-422): answered with status 422"),
            (503, "retry: answered with status 503"),
        ] {
            let mut host = host(status);
            let failure = host.handle(handle, &of_type(USER_CREATED, USER)).unwrap_err();
            assert_eq!(failure.to_string(), expected);
            assert!(host.emissions().is_empty(), "nothing is told of a letter that was not sent");
        }
        let mut host = TestHost::new().with_config("mail", "http://mail");
        host.answer(Err(HttpError::Unavailable("gone".to_owned())));
        let failure = host.handle(handle, &of_type(USER_CREATED, USER)).unwrap_err();
        assert_eq!(failure.to_string(), "retry: no answer: gone");
    }

    #[test]
    fn a_type_without_a_letter_is_refused() {
        let failure = host(200).handle(handle, &of_type("user.created.v2", USER)).unwrap_err();
        assert_eq!(failure.code(), Some("event-type"));
    }
}
