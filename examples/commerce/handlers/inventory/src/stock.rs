//! Owns the stock of one product, under its key: what is available, what each order holds, and who
//! waits for the first count. It knows one line of an order, never the rest.

use commerce_events::{Envelope, InventoryAdjusted, StockAnswered, StockRequested, StockReturned};
use gristmill_plugin::saga::Command;
use gristmill_plugin::{Event, Failure, Host, Outcome, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::SOURCE;

/// Pieces that nobody holds; absent until they were counted.
const AVAILABLE: &str = "available";
/// What each order holds, in pieces.
const HELD: &str = "held/";
/// Who waits for the first count.
const WAITING: &str = "waiting/";

/// A request that waits, with what its answer follows from.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    request: StockRequested,
    correlation_id: String,
    time: Timestamp,
}

/// Sets pieces aside, if there are enough. An order that holds some already holds these.
pub(super) fn request(request: StockRequested, event: &Event, host: &mut Host) -> Outcome {
    let available: Option<i64> = host.state().get_json(AVAILABLE)?;
    if let Some(command) = Command::of(event) {
        let is_there = hold(&request, available.unwrap_or(0), host)?.is_some();
        let answer = if is_there {
            command.done("stock.reserved", &json!({}))?
        } else {
            command.refused("stock.missing", &reason(&request))
        };
        return Ok(host.emit(answer)?);
    }
    let waiting =
        Waiting { correlation_id: event.correlation_id.clone(), time: event.time, request };
    let Some(available) = available else {
        let name = format!("{WAITING}{}", waiting.request.order.order_id);
        return Ok(host.state().set_json(&name, &waiting)?);
    };
    answer(waiting, available, host).map(drop)
}

/// Counts pieces, and answers who waited for that.
pub(super) fn adjust(adjusted: &InventoryAdjusted, host: &mut Host) -> Outcome {
    let counted: i64 = host.state().get_json(AVAILABLE)?.unwrap_or(0);
    let mut available = counted.saturating_add(adjusted.change);
    host.state().set_json(AVAILABLE, &available)?;
    for name in host.state().names(WAITING)? {
        let waiting: Option<Waiting> = host.state().get_json(&name)?;
        host.state().delete(&name)?;
        if let Some(waiting) = waiting {
            available = answer(waiting, available, host)?;
        }
    }
    Ok(())
}

/// Has pieces available again that an order held; the second time, and where it never held any,
/// there is nothing to do.
pub(super) fn take_back(returned: &StockReturned, event: &Event, host: &mut Host) -> Outcome {
    let name = format!("{HELD}{}", returned.order_id);
    let held: Option<u32> = host.state().get_json(&name)?;
    if let Some(held) = held {
        let available: i64 = host.state().get_json(AVAILABLE)?.unwrap_or(0);
        host.state().set_json(AVAILABLE, &available.saturating_add(i64::from(held)))?;
        host.state().delete(&name)?;
    }
    match Command::of(event) {
        Some(command) => Ok(host.emit(command.done("stock.returned", &json!({}))?)?),
        None => Ok(()),
    }
}

/// Answers a line of an order; returns what is available then.
fn answer(waiting: Waiting, available: i64, host: &mut Host) -> Result<i64, Failure> {
    let Waiting { request, correlation_id, time } = waiting;
    let left = hold(&request, available, host)?;
    let cause = request.event_id();
    let StockRequested { order, item } = request;
    let (user_id, id) =
        (order.user_id.clone(), format!("{}-has-{}", order.order_id, item.product_id));
    let answered = StockAnswered { order, item, is_there: left.is_some() };
    Envelope::new(id, time, SOURCE, answered)
        .caused_by(&cause, &correlation_id)
        .of(&user_id)
        .tell(host)?;
    Ok(left.unwrap_or(available))
}

/// Has an order hold what it wants; what is available then, or none where there is too little.
fn hold(request: &StockRequested, available: i64, host: &mut Host) -> Result<Option<i64>, Failure> {
    let name = format!("{HELD}{}", request.order.order_id);
    if host.state().get(&name)?.is_some() {
        return Ok(Some(available));
    }
    let left = available.saturating_sub(i64::from(request.item.quantity));
    if left < 0 {
        return Ok(None);
    }
    host.state().set_json(AVAILABLE, &left)?;
    host.state().set_json(&name, &request.item.quantity)?;
    Ok(Some(left))
}

fn reason(request: &StockRequested) -> String {
    format!("no stock of {}", request.item.product_id)
}
