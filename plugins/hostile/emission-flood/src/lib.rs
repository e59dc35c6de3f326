//! Emits until it is refused, then either rejects its event or, with the payload `deal`, makes do.

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};
use gristmill::plugin::{
    publish::{Emission, emit},
    types::Rejection,
};

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(event: Event) -> Result<(), Failure> {
        let emission = Emission {
            topic: "flood".to_owned(),
            type_: "drop".to_owned(),
            version: None,
            subject: None,
            key: None,
            payload: b"{}".to_vec(),
            content_type: None,
            headers: Vec::new(),
            correlation_id: None,
        };
        loop {
            if let Err(error) = emit(&emission) {
                if event.payload == b"deal" {
                    return Ok(());
                }
                let (reason, code) = (format!("{error:?}"), Some("flooded".to_owned()));
                return Err(Failure::Reject(Rejection { reason, code }));
            }
        }
    }
}
