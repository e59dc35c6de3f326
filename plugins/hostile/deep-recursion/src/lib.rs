//! Calls itself until the stack ends.

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(event: Event) -> Result<(), Failure> {
        std::hint::black_box(descend(event.offset));
        Ok(())
    }
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 16]);
    if depth == u64::MAX { 0 } else { descend(depth + 1) + frame[3] }
}
