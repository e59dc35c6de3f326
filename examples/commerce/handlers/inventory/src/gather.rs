//! Puts the answers for one order together, under the key of its user, and lets go of what it holds
//! when it comes to nothing. It knows no stock.

use commerce_events::{
    Envelope, InventoryReleased, InventoryReserved, PaymentFailed, Picking, StockAnswered,
    StockItem, StockReturned,
};
use gristmill_plugin::{Event, Host, Outcome};
use serde::{Deserialize, Serialize};

use super::SOURCE;

/// The lines of an order that were answered.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Order {
    held: Vec<StockItem>,
    missing: Vec<String>,
}

fn name(order_id: &str) -> String {
    format!("order/{order_id}")
}

/// An order that comes to nothing.
struct Ended<'a> {
    order_id: String,
    user_id: String,
    items: Vec<StockItem>,
    reason: String,
    /// Id of the event that ended it.
    cause: &'a str,
}

/// Takes the answer for one product; the last one says what becomes of the order. What is told
/// follows from the order as a whole, whichever answer came last.
pub(super) fn answered(answer: StockAnswered, event: &Event, host: &mut Host) -> Outcome {
    let StockAnswered { order: picking, item, is_there } = answer;
    let name = name(&picking.order_id);
    let mut order: Order = host.state().get_json(&name)?.unwrap_or_default();
    if is_there {
        order.held.push(item);
    } else {
        order.missing.push(item.product_id);
    }
    if order.held.len() + order.missing.len() < picking.lines {
        return Ok(host.state().set_json(&name, &order)?);
    }
    order.held.sort_by(|one, other| one.product_id.cmp(&other.product_id));
    order.missing.sort();
    let Picking { order_id, event_id, user_id, total_cents, currency, lines: _ } = picking;
    if !order.missing.is_empty() {
        let reason = format!("no stock of {}", order.missing.join(", "));
        let (items, cause) = (order.held, event_id.as_str());
        return release(Ended { order_id, user_id, items, reason, cause }, event, host);
    }
    host.state().set_json(&name, &order)?;
    let (id, user, items) = (format!("{order_id}-reserved"), user_id.clone(), order.held);
    let reserved = InventoryReserved { order_id, user_id, items, total_cents, currency };
    Envelope::following(event, id, SOURCE, reserved)
        .caused_by(&event_id, &event.correlation_id)
        .of(&user)
        .tell(host)
}

/// Lets go of what an unpaid order holds. One that holds nothing is none of ours, or was let go.
pub(super) fn unpaid(failed: PaymentFailed, event: &Event, host: &mut Host) -> Outcome {
    let order: Option<Order> = host.state().get_json(&name(&failed.order_id))?;
    let Some(Order { held: items, .. }) = order else { return Ok(()) };
    let PaymentFailed { order_id, user_id, reason, .. } = failed;
    release(Ended { order_id, user_id, items, reason, cause: &event.id }, event, host)
}

fn release(ended: Ended<'_>, event: &Event, host: &mut Host) -> Outcome {
    let Ended { order_id, user_id, items, reason, cause } = ended;
    host.state().delete(&name(&order_id))?;
    for item in &items {
        let product_id = item.product_id.clone();
        let id = format!("{order_id}-returns-{product_id}");
        let returned = StockReturned { order_id: order_id.clone(), product_id };
        Envelope::following(event, id, SOURCE, returned)
            .caused_by(cause, &event.correlation_id)
            .tell_of(&item.product_id, host)?;
    }
    let (id, user) = (format!("{order_id}-released"), user_id.clone());
    let released = InventoryReleased { order_id, user_id, items, reason };
    Envelope::following(event, id, SOURCE, released)
        .caused_by(cause, &event.correlation_id)
        .of(&user)
        .tell(host)
}
