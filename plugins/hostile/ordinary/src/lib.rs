//! What an ordinary handler does: parses its event, reads and writes one value, emits one event.
//! The measure of what a call costs, and the control of the others.

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};
use gristmill::plugin::{
    publish::{Emission, emit},
    state,
    types::Rejection,
};
use serde_json::{Value, json};

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(event: Event) -> Result<(), Failure> {
        let order: Value = serde_json::from_slice(&event.payload).map_err(reject)?;
        let total = state::get("total").map_err(|error| reject(format!("{error:?}")))?;
        let total = total.and_then(|bytes| String::from_utf8(bytes).ok());
        let total: u64 = total.and_then(|text| text.parse().ok()).unwrap_or(0);
        let total = total + order["amount"].as_u64().unwrap_or(0);
        state::set("total", total.to_string().as_bytes(), None)
            .map_err(|error| reject(format!("{error:?}")))?;
        let counted = json!({ "order": order["id"], "total": total });
        let emission = Emission {
            topic: "totals".to_owned(),
            type_: "order.counted".to_owned(),
            version: None,
            subject: None,
            key: None,
            payload: counted.to_string().into_bytes(),
            content_type: None,
            headers: Vec::new(),
            correlation_id: None,
        };
        emit(&emission).map_err(|error| reject(format!("{error:?}")))
    }
}

fn reject(reason: impl ToString) -> Failure {
    Failure::Reject(Rejection { reason: reason.to_string(), code: None })
}
