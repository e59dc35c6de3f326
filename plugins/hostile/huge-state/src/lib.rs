//! Writes state of 512 KiB under ever new names until it is refused, and emits how often that
//! went well.

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};
use gristmill::plugin::{
    publish::{Emission, emit},
    state,
};

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(_event: Event) -> Result<(), Failure> {
        let value = vec![7; 512 << 10];
        let mut writes = 0;
        let refusal = loop {
            match state::set(&format!("name-{writes}"), &value, None) {
                Ok(()) => writes += 1,
                Err(error) => break error,
            }
        };
        let emission = Emission {
            topic: "writes".to_owned(),
            type_: "written".to_owned(),
            version: None,
            subject: Some(format!("{refusal:?}")),
            key: None,
            payload: writes.to_string().into_bytes(),
            content_type: None,
            headers: Vec::new(),
            correlation_id: None,
        };
        emit(&emission).expect("the emission is granted");
        Ok(())
    }
}
