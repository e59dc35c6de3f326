//! What an ordinary handler does, written as a plugin's author writes it: parses its event, reads
//! and writes one value, emits one event. The measure of what a call costs, and the control of the
//! guests that misbehave.

use gristmill_plugin::{Emission, Event, Host, Outcome};
use serde_json::{Value, json};

gristmill_plugin::export!(handle);

fn handle(event: &Event, host: &mut Host) -> Outcome {
    let order: Value = event.json()?;
    let total: u64 = host.state().get_json("total")?.unwrap_or(0);
    let total = total + order["amount"].as_u64().unwrap_or(0);
    host.state().set_json("total", &total)?;
    let counted = json!({ "order": order["id"], "total": total });
    host.emit(Emission::json("totals", "order.counted", &counted)?)?;
    Ok(())
}
