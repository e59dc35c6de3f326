//! Brings an order to its end: reserves the seat, creates the order, takes the payment, issues the
//! ticket, each by asking whoever does it; and undoes all of it, last first, when one fails. It
//! does none of the work.

use std::time::Duration;

use gristmill_plugin::saga::{End, Saga, Step};
use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, Timer};
use ticketing_events::{
    ORDER_COMMANDS, ORDER_OUTCOMES, ORDER_REPLIES, Order, OrderOutcome, PAYMENT_COMMANDS,
    SEAT_COMMANDS, TICKET_COMMANDS, TicketIssued,
};

/// Seconds a participant has for its answer, where the manifest's `step_seconds` says nothing.
const STEP_SECONDS: u64 = 30;

gristmill_plugin::export!(handle, on_timer);

/// Begins an order's saga, or hears an answer.
///
/// # Errors
///
/// Rejects what is neither.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let saga = saga(host)?;
    if saga.handle(event, host)? {
        return Ok(());
    }
    let order: Order = event.json()?;
    saga.start(&order.order_id.clone(), order, event, host)
}

/// Sees that nobody answered in time.
///
/// # Errors
///
/// As [`handle`].
pub fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
    saga(host)?.on_timer(timer, host)
}

fn saga(host: &Host) -> Result<Saga<Order>, Failure> {
    let limit = Duration::from_secs(host.config().get_or("step_seconds", STEP_SECONDS)?);
    let step = |step: Step<Order>| step.limit(limit).attempts(2).undo_attempts(3);
    Ok(Saga::new("order", ORDER_REPLIES)
        .step(step(
            Step::new("reserve-seat", |order| seat(order, "seat.reserve"))
                .undo(|order| seat(order, "seat.release")),
        ))
        .step(step(
            Step::new("create-order", |order| asked(ORDER_COMMANDS, "order.create", order))
                .undo(|order| asked(ORDER_COMMANDS, "order.cancel", order)),
        ))
        .step(step(
            Step::new("take-payment", |order| asked(PAYMENT_COMMANDS, "payment.take", order))
                .undo(|order| asked(PAYMENT_COMMANDS, "payment.refund", order)),
        ))
        .step(step(
            Step::new("issue-ticket", |order| asked(TICKET_COMMANDS, "ticket.issue", order))
                .undo(|order| asked(TICKET_COMMANDS, "ticket.void", order))
                .take(|order, answer| {
                    let TicketIssued { ticket } = answer.json()?;
                    order.ticket = Some(ticket);
                    Ok(())
                }),
        ))
        .tell(outcome))
}

fn seat(order: &Order, event_type: &str) -> Result<Emission, Failure> {
    Ok(Emission::json(SEAT_COMMANDS, event_type, order)?.key(&order.seat_id))
}

fn asked(topic: &str, event_type: &str, order: &Order) -> Result<Emission, Failure> {
    Ok(Emission::json(topic, event_type, order)?.key(&order.order_id))
}

fn outcome(order: &Order, end: &End) -> Result<Vec<Emission>, Failure> {
    let (event_type, failure) = match end {
        End::Completed => ("order.confirmed", None),
        End::Compensated { step, reason } => ("order.cancelled", Some((step, reason))),
        End::Stuck { step, reason } => ("order.stuck", Some((step, reason))),
    };
    let (failed, reason) = failure.map(|(step, why)| (step.clone(), why.clone())).unzip();
    let Order { order_id, seat_id, ticket, .. } = order.clone();
    // What failed was undone: a ticket that was issued is void.
    let ticket = ticket.filter(|_| failed.is_none());
    let outcome = OrderOutcome { order_id, seat_id, ticket, failed, reason };
    Ok(vec![Emission::json(ORDER_OUTCOMES, event_type, &outcome)?])
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::saga::{Record, Stage};
    use gristmill_plugin::testing::{EVENT_TIME, TestHost, event};

    use super::*;

    fn begun() -> TestHost {
        let mut host = TestHost::new().with_config("step_seconds", "10");
        let order = r#"{"eventId":"e","orderId":"o1","customerId":"ada","seatId":"s1",
            "amount":80,"method":"card"}"#;
        host.handle(handle, &event("order-requested", order).with_key("o1")).unwrap();
        host
    }

    /// An answer to the last command.
    fn answer(host: &mut TestHost, verb: &str, payload: &str) {
        let command = host.emissions().last().unwrap().clone();
        let mut answer = event("order-replies", payload).with_key("o1");
        answer.headers.clone_from(&command.headers);
        host.handle(handle, &answer.with_header("saga-verb", verb)).unwrap();
    }

    fn types(host: &TestHost) -> Vec<String> {
        host.emissions().iter().map(|it| it.event_type.clone()).collect()
    }

    #[test]
    fn an_order_goes_through_four_steps() {
        let mut host = begun();
        for payload in ["{}", "{}", "{}", r#"{"ticket":"t-o1"}"#] {
            answer(&mut host, "done", payload);
        }
        let steps = ["seat.reserve", "order.create", "payment.take", "ticket.issue"];
        assert_eq!(types(&host)[..4], steps);
        let told = host.emissions().last().unwrap();
        assert_eq!(told.event_type, "order.confirmed");
        assert_eq!(told.payload, br#"{"orderId":"o1","seatId":"s1","ticket":"t-o1"}"#);
    }

    #[test]
    fn a_ticket_that_cannot_be_issued_gives_money_and_seat_back() {
        let mut host = begun();
        for _step in 0..3 {
            answer(&mut host, "done", "{}");
        }
        answer(&mut host, "refused", "{}");
        for _undo in 0..3 {
            answer(&mut host, "done", "{}");
        }
        let undone = ["payment.refund", "order.cancel", "seat.release", "order.cancelled"];
        assert_eq!(types(&host)[4..], undone);
    }

    #[test]
    fn time_is_the_manifests_to_say() {
        let host = begun();
        let record: Record = host.state_json("o1", "saga/order/o1").unwrap();
        assert_eq!(record.stage, Stage::Running);
        assert_eq!(record.due, Some(EVENT_TIME.after(Duration::from_secs(10))));
    }
}
