//! Brings an express order to its end: reserves stock, takes the payment, has a parcel made, tells
//! the user; and undoes all of it, last first, when one fails. It does none of the work, and takes
//! stock from where the choreography does.

use std::time::Duration;

use commerce_events::{
    Envelope, ExpressOrder, FULFILMENT_REPLIES, NOTIFICATION_COMMANDS, OrderCancelled,
    OrderShipped, PAYMENT_COMMANDS, Packed, Picking, SHIPPING_COMMANDS, StockItem, StockRequested,
    StockReturned,
};
use gristmill_plugin::saga::{End, Saga, Step};
use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, Timer, Timestamp};

const SOURCE: &str = "fulfilment-service";
/// Seconds a participant has for its answer, where the manifest's `step_seconds` says nothing.
const STEP_SECONDS: u64 = 60;

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
    let order: ExpressOrder = event.json()?;
    let order = ExpressOrder { ordered_at: Some(event.time), shipment_id: None, ..order };
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

fn saga(host: &Host) -> Result<Saga<ExpressOrder>, Failure> {
    let limit = Duration::from_secs(host.config().get_or("step_seconds", STEP_SECONDS)?);
    let step = |step: Step<ExpressOrder>| step.limit(limit).attempts(2).undo_attempts(3);
    Ok(Saga::new("fulfilment", FULFILMENT_REPLIES)
        .step(step(Step::new("reserve-stock", reserve).undo(give_back)))
        .step(step(
            Step::new("take-payment", |order| asked(PAYMENT_COMMANDS, "payment.take", order))
                .undo(|order| asked(PAYMENT_COMMANDS, "payment.refund", order)),
        ))
        .step(step(
            Step::new("create-shipping", |order| asked(SHIPPING_COMMANDS, "parcel.pack", order))
                .undo(|order| asked(SHIPPING_COMMANDS, "parcel.unpack", order))
                .take(|order, answer| {
                    order.shipment_id = Some(answer.json::<Packed>()?.shipment_id);
                    Ok(())
                }),
        ))
        // A letter cannot be taken back; who was told of a parcel is told that there is none.
        .step(step(
            Step::new("notify", |order| asked(NOTIFICATION_COMMANDS, "user.tell", order))
                .undo(|order| asked(NOTIFICATION_COMMANDS, "user.untell", order)),
        ))
        .tell(outcome))
}

/// Stock is asked for as the choreography asks for it, by one line.
fn reserve(order: &ExpressOrder) -> Result<Emission, Failure> {
    let picking = Picking {
        order_id: order.order_id.clone(),
        event_id: order.order_id.clone(),
        user_id: order.user_id.clone(),
        lines: 1,
        total_cents: order.total_cents,
        currency: order.currency.clone(),
    };
    let item = StockItem { product_id: order.product_id.clone(), quantity: order.quantity };
    let request = StockRequested { order: picking, item };
    Ok(Envelope::new(request.event_id(), moment(order), SOURCE, request)
        .emission()?
        .key(&order.product_id))
}

fn give_back(order: &ExpressOrder) -> Result<Emission, Failure> {
    let (order_id, product_id) = (order.order_id.clone(), order.product_id.clone());
    let id = format!("{order_id}-returns-{product_id}");
    let returned = StockReturned { order_id, product_id };
    Ok(Envelope::new(id, moment(order), SOURCE, returned).emission()?.key(&order.product_id))
}

fn asked(topic: &str, event_type: &str, order: &ExpressOrder) -> Result<Emission, Failure> {
    Ok(Emission::json(topic, event_type, order)?.key(&order.order_id))
}

fn moment(order: &ExpressOrder) -> Timestamp {
    order.ordered_at.unwrap_or_default()
}

/// What is stuck is neither shipped nor cancelled: an operator decides.
fn outcome(order: &ExpressOrder, end: &End) -> Result<Vec<Emission>, Failure> {
    let ExpressOrder { order_id, user_id, shipment_id, .. } = order.clone();
    let told = match end {
        End::Completed => {
            let id = format!("{order_id}-shipped");
            let shipment_id = shipment_id.unwrap_or_default();
            let shipped = OrderShipped { order_id, user_id, shipment_id };
            Envelope::new(id, moment(order), SOURCE, shipped).of(&order.user_id).emission()?
        }
        End::Compensated { step, reason } => {
            let (id, reason) = (format!("{order_id}-cancelled"), format!("{step}: {reason}"));
            let cancelled = OrderCancelled { order_id, user_id, reason };
            Envelope::new(id, moment(order), SOURCE, cancelled).of(&order.user_id).emission()?
        }
        End::Stuck { .. } => return Ok(Vec::new()),
    };
    Ok(vec![told.key(&order.user_id)])
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::Value;

    use super::*;

    fn begun() -> TestHost {
        let mut host = TestHost::new().with_config("step_seconds", "10");
        let order = r#"{"orderId":"x1","userId":"ada","productId":"tea","quantity":2,
            "totalCents":900,"currency":"EUR","city":"Bern"}"#;
        host.handle(handle, &event("express-orders", order).with_key("x1")).unwrap();
        host
    }

    /// An answer to the last command.
    fn answer(host: &mut TestHost, verb: &str) {
        let command = host.emissions().last().unwrap().clone();
        let mut answer = event("fulfilment-replies", r#"{"shipmentId":"s-x1"}"#).with_key("x1");
        answer.headers.clone_from(&command.headers);
        host.handle(handle, &answer.with_header("saga-verb", verb)).unwrap();
    }

    fn types(host: &TestHost) -> Vec<String> {
        host.emissions().iter().map(|it| it.event_type.clone()).collect()
    }

    #[test]
    fn an_order_goes_through_four_steps() {
        let mut host = begun();
        for _step in 0..4 {
            answer(&mut host, "done");
        }
        let steps = ["StockRequested", "payment.take", "parcel.pack", "user.tell", "OrderShipped"];
        assert_eq!(types(&host), steps);
        let told = host.emissions().last().unwrap();
        let payload: Value = serde_json::from_slice(&told.payload).unwrap();
        assert_eq!(
            (&payload["eventId"], &payload["data"]["shipmentId"]),
            (&"x1-shipped".into(), &"s-x1".into())
        );
        assert_eq!(told.key.as_deref(), Some(&b"ada"[..]));
    }

    #[test]
    fn whatever_fails_what_was_done_before_is_undone_last_first() {
        let undone = ["parcel.unpack", "payment.refund", "StockReturned"];
        for failed in 0..4 {
            let mut host = begun();
            for _step in 0..failed {
                answer(&mut host, "done");
            }
            answer(&mut host, "refused");
            for _undo in 0..failed {
                answer(&mut host, "done");
            }
            let told = types(&host)[failed + 1..].to_vec();
            let mut expected = undone[3 - failed..].to_vec();
            expected.push("OrderCancelled");
            assert_eq!(told, expected, "step {failed}");
        }
    }
}
