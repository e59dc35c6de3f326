//! Counts its calls in a global and emits the count. With the payload `trap` it traps, with
//! `reject` and `retry` it fails so.

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use std::sync::atomic::{AtomicU32, Ordering};

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};
use gristmill::plugin::{
    publish::{Emission, emit},
    types::{Rejection, RetryAdvice},
};

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(event: Event) -> Result<(), Failure> {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let emission = Emission {
            topic: "counts".to_owned(),
            type_: "counted".to_owned(),
            version: None,
            subject: None,
            key: None,
            payload: calls.to_string().into_bytes(),
            content_type: None,
            headers: Vec::new(),
            correlation_id: None,
        };
        emit(&emission).expect("the emission is granted");
        match event.payload.as_slice() {
            b"trap" => panic!("as asked"),
            b"reject" => Err(Failure::Reject(Rejection {
                reason: "as asked".to_owned(),
                code: Some("asked".to_owned()),
            })),
            b"retry" => Err(Failure::Retry(RetryAdvice {
                reason: "as asked".to_owned(),
                after_ms: Some(1_500),
            })),
            _ => Ok(()),
        }
    }
}
