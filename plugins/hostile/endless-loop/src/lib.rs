//! Never returns.

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(event: Event) -> Result<(), Failure> {
        let mut turns = event.offset;
        loop {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
    }
}
