//! Does the work that an order's saga asks for, each part in a subscription of its own: seats, the
//! order book, the cashier, the printer of tickets. None of them knows of the others, and each does
//! what it is asked once, however often it is asked.

use gristmill_plugin::saga::Command;
use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, reject};
use serde_json::json;
use ticketing_events::{Order, TicketIssued};

/// Status by which a payment provider declines.
const DECLINED: u16 = 402;

gristmill_plugin::export!(handle);

/// Does one piece of work and answers.
///
/// # Errors
///
/// Rejects what no saga sent (`no-command`) and what it does not know (`unknown-command`); tries
/// again while the payment provider is away.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let Some(command) = Command::of(event) else {
        return Err(reject("no-command", "no saga sent this"));
    };
    let order: Order = event.json()?;
    let answer = match event.event_type.as_str() {
        "seat.reserve" => reserve(command, host)?,
        "seat.release" => release(command, host)?,
        "order.create" => create(command, &order, host)?,
        "order.cancel" => keep(command, "order", "cancelled", "order.cancelled", host)?,
        "payment.take" => take(command, &order, host)?,
        "payment.refund" => refund(command, &order, host)?,
        "ticket.issue" => issue(command, &order, host)?,
        "ticket.void" => keep(command, "ticket", "void", "ticket.void", host)?,
        other => return Err(reject("unknown-command", format!("nobody does {other}"))),
    };
    Ok(host.emit(answer)?)
}

fn reserve(command: Command<'_>, host: &mut Host) -> Result<Emission, Failure> {
    let holder: Option<String> = host.state().get_json("holder")?;
    if holder.is_some_and(|holder| holder != command.id()) {
        return Ok(command.refused("seat.taken", "the seat is taken"));
    }
    host.state().set_json("holder", command.id())?;
    command.done("seat.reserved", &json!({}))
}

fn release(command: Command<'_>, host: &mut Host) -> Result<Emission, Failure> {
    let holder: Option<String> = host.state().get_json("holder")?;
    if holder.as_deref() == Some(command.id()) {
        host.state().delete("holder")?;
    }
    command.done("seat.released", &json!({}))
}

fn create(command: Command<'_>, order: &Order, host: &mut Host) -> Result<Emission, Failure> {
    let blocked: String = host.config().get_or("blocked", String::new())?;
    if blocked.split(',').any(|customer| customer == order.customer_id) {
        return Ok(command.refused("order.refused", "the customer is blocked"));
    }
    keep(command, "order", "created", "order.created", host)
}

fn take(command: Command<'_>, order: &Order, host: &mut Host) -> Result<Emission, Failure> {
    // A command that came again must not take the money again: to the provider it is another one.
    if host.state().get("payment")?.is_some() {
        return command.done("payment.taken", &json!({}));
    }
    let bill = json!({
        "order": order.order_id, "amount": order.amount, "method": order.method,
    });
    let answer = provider(host, "/payments")?.json(&bill)?.send()?;
    if answer.status == DECLINED {
        return Ok(command.refused("payment.declined", "the payment was declined"));
    }
    answer.or_fail()?;
    keep(command, "payment", "taken", "payment.taken", host)
}

fn refund(command: Command<'_>, order: &Order, host: &mut Host) -> Result<Emission, Failure> {
    let payment: Option<String> = host.state().get_json("payment")?;
    if payment.as_deref() == Some("taken") {
        let refund = json!({ "order": order.order_id, "amount": order.amount });
        provider(host, "/refunds")?.json(&refund)?.send()?.or_fail()?;
    }
    keep(command, "payment", "refunded", "payment.refunded", host)
}

fn provider<'host>(
    host: &'host mut Host,
    path: &str,
) -> Result<gristmill_plugin::Request<'host>, Failure> {
    let base: String = host.config().require("provider")?;
    Ok(host.http().post(format!("{base}{path}")))
}

fn issue(command: Command<'_>, order: &Order, host: &mut Host) -> Result<Emission, Failure> {
    let closed: String = host.config().get_or("closed_seats", String::new())?;
    if closed.split(',').any(|seat| seat == order.seat_id) {
        return Ok(command.refused("ticket.refused", "no tickets are printed for this seat"));
    }
    let ticket = format!("t-{}", order.order_id);
    host.state().set_json("ticket", &ticket)?;
    command.done("ticket.issued", &TicketIssued { ticket })
}

/// Notes what has become of something, and says so.
fn keep(
    command: Command<'_>,
    name: &str,
    value: &str,
    event_type: &str,
    host: &mut Host,
) -> Result<Emission, Failure> {
    host.state().set_json(name, value)?;
    command.done(event_type, &json!({}))
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::Response;
    use gristmill_plugin::testing::{TestHost, event};

    use super::*;

    fn host() -> TestHost {
        TestHost::new()
            .with_config("provider", "https://pay.example.com")
            .with_config("blocked", "eve,mallory")
            .with_config("closed_seats", "s13")
    }

    fn asked(event_type: &str, saga: &str, seat: &str, customer: &str) -> Event {
        let order = format!(
            r#"{{"eventId":"e","orderId":"{saga}","customerId":"{customer}","seatId":"{seat}",
            "amount":80,"method":"card"}}"#
        );
        event("commands", order)
            .with_type(event_type)
            .with_key("k")
            .with_header("saga-name", "order")
            .with_header("saga-id", saga)
            .with_header("saga-key", saga)
            .with_header("saga-replies", "order-replies")
    }

    /// Type of the answer to the last command.
    fn answered(host: &mut TestHost, event: &Event) -> String {
        host.handle(handle, event).unwrap();
        let answer = host.emissions().last().unwrap();
        assert_eq!(answer.topic, "order-replies");
        answer.event_type.clone()
    }

    #[test]
    fn a_seat_is_one_orders_until_that_one_releases_it() {
        let mut host = host();
        for (event_type, saga, answer) in [
            ("seat.reserve", "o1", "seat.reserved"),
            ("seat.reserve", "o1", "seat.reserved"),
            ("seat.reserve", "o2", "seat.taken"),
            ("seat.release", "o2", "seat.released"),
            ("seat.reserve", "o2", "seat.taken"),
            ("seat.release", "o1", "seat.released"),
            ("seat.reserve", "o2", "seat.reserved"),
        ] {
            assert_eq!(answered(&mut host, &asked(event_type, saga, "s1", "ada")), answer);
        }
    }

    #[test]
    fn money_is_taken_once_and_given_back_only_where_it_was_taken() {
        let mut host = host();
        let ok = || Ok(Response { status: 200, ..Response::default() });
        let take = asked("payment.take", "o1", "s1", "ada");
        host.answer(ok());
        for _time in 0..2 {
            assert_eq!(answered(&mut host, &take), "payment.taken");
        }
        assert_eq!(host.requests().len(), 1);
        let refund = asked("payment.refund", "o1", "s1", "ada");
        host.answer(ok());
        for _time in 0..2 {
            assert_eq!(answered(&mut host, &refund), "payment.refunded");
        }
        assert_eq!(host.requests().len(), 2);
        assert_eq!(host.requests()[1].url, "https://pay.example.com/refunds");
    }

    #[test]
    fn what_was_never_taken_is_undone_without_asking_anybody() {
        let mut host = host();
        let refund = asked("payment.refund", "o1", "s1", "ada");
        assert_eq!(answered(&mut host, &refund), "payment.refunded");
        assert_eq!(host.requests().len(), 0);
    }

    #[test]
    fn each_participant_may_refuse() {
        let mut host = host();
        host.answer(Ok(Response { status: 402, ..Response::default() }));
        for (event_type, seat, customer, answer) in [
            ("order.create", "s1", "mallory", "order.refused"),
            ("payment.take", "s1", "ada", "payment.declined"),
            ("ticket.issue", "s13", "ada", "ticket.refused"),
        ] {
            let event = asked(event_type, "o1", seat, customer);
            assert_eq!(answered(&mut host, &event), answer);
        }
    }

    #[test]
    fn what_is_no_command_is_rejected() {
        let mut host = host();
        let stray = event("commands", "{}").with_key("k");
        assert_eq!(host.handle(handle, &stray).unwrap_err().code(), Some("no-command"));
        let unknown = asked("seat.paint", "o1", "s1", "ada");
        let failure = host.handle(handle, &unknown).unwrap_err();
        assert_eq!(failure.code(), Some("unknown-command"));
    }
}
