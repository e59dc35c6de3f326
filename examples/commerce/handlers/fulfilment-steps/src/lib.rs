//! Does the work that the saga of express orders asks for, but for stock, which is the inventory's:
//! the cashier, the packers, the mail room, each in a subscription of its own. None knows of the
//! others, and each does what it is asked once, however often it is asked.

use commerce_events::{ExpressOrder, Packed};
use gristmill_plugin::saga::Command;
use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, Response, reject};
use serde_json::{Value, json};

/// Statuses by which the provider declines, and by which the mail service says that nobody is
/// there.
const REFUSALS: [u16; 2] = [402, 422];

gristmill_plugin::export!(handle);

/// Does one piece of work and answers.
///
/// # Errors
///
/// Rejects what no saga sent (`no-command`) and what it does not know (`unknown-command`); tries
/// again while whom it calls is away.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let Some(command) = Command::of(event) else {
        return Err(reject("no-command", "no saga sent this"));
    };
    let order: ExpressOrder = event.json()?;
    let answer = match event.event_type.as_str() {
        "payment.take" => take(command, &order, host)?,
        "payment.refund" => refund(command, &order, host)?,
        "parcel.pack" => pack(command, &order, host)?,
        "parcel.unpack" => {
            host.state().delete("parcel")?;
            command.done("parcel.unpacked", &json!({}))?
        }
        "user.tell" => tell(command, &order, host)?,
        "user.untell" => untell(command, &order, host)?,
        other => return Err(reject("unknown-command", format!("nobody does {other}"))),
    };
    Ok(host.emit(answer)?)
}

fn take(command: Command<'_>, order: &ExpressOrder, host: &mut Host) -> Result<Emission, Failure> {
    // A command that came again must not take the money again: to the provider it is another one.
    if host.state().get("payment")?.is_none() {
        let bill = json!({
            "orderId": order.order_id, "userId": order.user_id,
            "amountCents": order.total_cents, "currency": order.currency,
        });
        let answer = called(host, "/payments", &bill)?;
        if REFUSALS.contains(&answer.status) {
            return Ok(command.refused("payment.declined", "the payment was declined"));
        }
        answer.or_fail()?;
        host.state().set_json("payment", "taken")?;
    }
    command.done("payment.taken", &json!({}))
}

fn refund(
    command: Command<'_>,
    order: &ExpressOrder,
    host: &mut Host,
) -> Result<Emission, Failure> {
    let payment: Option<String> = host.state().get_json("payment")?;
    if payment.as_deref() == Some("taken") {
        let refund = json!({ "orderId": order.order_id, "amountCents": order.total_cents });
        called(host, "/refunds", &refund)?.or_fail()?;
    }
    host.state().set_json("payment", "refunded")?;
    command.done("payment.refunded", &json!({}))
}

fn pack(command: Command<'_>, order: &ExpressOrder, host: &mut Host) -> Result<Emission, Failure> {
    let unreached: String = host.config().get_or("unreached", String::new())?;
    if unreached.split(',').any(|city| city == order.city) {
        return Ok(command.refused("parcel.refused", "no carrier goes there today"));
    }
    let shipment_id = format!("s-{}", order.order_id);
    host.state().set_json("parcel", &shipment_id)?;
    command.done("parcel.packed", &Packed { shipment_id })
}

fn tell(command: Command<'_>, order: &ExpressOrder, host: &mut Host) -> Result<Emission, Failure> {
    if host.state().get("told")?.is_none() {
        let mail = json!({ "to": order.user_id, "template": "express", "about": order.order_id });
        let answer = called(host, "/mails", &mail)?;
        if REFUSALS.contains(&answer.status) {
            return Ok(command.refused("user.unreachable", "nobody is there"));
        }
        answer.or_fail()?;
        host.state().set_json("told", &true)?;
    }
    command.done("user.told", &json!({}))
}

fn untell(
    command: Command<'_>,
    order: &ExpressOrder,
    host: &mut Host,
) -> Result<Emission, Failure> {
    if host.state().get("told")?.is_some() {
        let mail = json!({ "to": order.user_id, "template": "sorry", "about": order.order_id });
        called(host, "/mails", &mail)?.or_fail()?;
        host.state().delete("told")?;
    }
    command.done("user.untold", &json!({}))
}

fn called(host: &mut Host, path: &str, body: &Value) -> Result<Response, Failure> {
    let party: String = host.config().require("party")?;
    Ok(host.http().post(format!("{party}{path}")).json(body)?.send()?)
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    fn host() -> TestHost {
        TestHost::new()
            .with_config("party", "http://party")
            .with_config("unreached", "Ushuaia,Alert")
    }

    fn status(status: u16) -> Response {
        Response { status, ..Response::default() }
    }

    fn asked(event_type: &str, city: &str) -> Event {
        let order = json!({
            "orderId": "x1", "userId": "ada", "productId": "tea", "quantity": 1,
            "totalCents": 900, "currency": "EUR", "city": city,
        });
        event("commands", order.to_string())
            .with_type(event_type)
            .with_key("x1")
            .with_header("saga-name", "fulfilment")
            .with_header("saga-id", "x1")
            .with_header("saga-key", "x1")
            .with_header("saga-replies", "fulfilment-replies")
    }

    /// Type of the answer to a command.
    fn answered(host: &mut TestHost, event_type: &str, city: &str) -> String {
        host.handle(handle, &asked(event_type, city)).unwrap();
        let answer = host.emissions().last().unwrap();
        assert_eq!(answer.topic, "fulfilment-replies");
        answer.event_type.clone()
    }

    #[test]
    fn each_is_done_once_and_undone_once() {
        for (does, done, undoes, undone) in [
            ("payment.take", "payment.taken", "payment.refund", "payment.refunded"),
            ("user.tell", "user.told", "user.untell", "user.untold"),
        ] {
            let mut host = host();
            host.answer(Ok(status(200)));
            host.answer(Ok(status(200)));
            for _time in 0..2 {
                assert_eq!(answered(&mut host, does, "Bern"), done);
            }
            assert_eq!(host.requests().len(), 1);
            for _time in 0..2 {
                assert_eq!(answered(&mut host, undoes, "Bern"), undone);
            }
            assert_eq!(host.requests().len(), 2);
        }
    }

    #[test]
    fn what_was_never_done_is_undone_without_asking_anybody() {
        let mut host = host();
        for (undoes, undone) in [
            ("payment.refund", "payment.refunded"),
            ("parcel.unpack", "parcel.unpacked"),
            ("user.untell", "user.untold"),
        ] {
            assert_eq!(answered(&mut host, undoes, "Bern"), undone);
        }
        assert!(host.requests().is_empty());
    }

    #[test]
    fn each_may_refuse() {
        let mut host = host();
        host.answer(Ok(status(402)));
        assert_eq!(answered(&mut host, "payment.take", "Bern"), "payment.declined");
        host.answer(Ok(status(422)));
        assert_eq!(answered(&mut host, "user.tell", "Bern"), "user.unreachable");
        assert_eq!(answered(&mut host, "parcel.pack", "Ushuaia"), "parcel.refused");
        assert_eq!(answered(&mut host, "parcel.pack", "Bern"), "parcel.packed");
    }

    #[test]
    fn what_is_no_command_is_rejected() {
        let stray = event("commands", "{}").with_key("k");
        assert_eq!(host().handle(handle, &stray).unwrap_err().code(), Some("no-command"));
        let failure = host().handle(handle, &asked("seat.paint", "Bern")).unwrap_err();
        assert_eq!(failure.code(), Some("unknown-command"));
    }
}
