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

/// Keeps its frames small: the guest's own stack in linear memory must not end first.
#[inline(never)]
fn descend(depth: u64) -> u64 {
    if depth == u64::MAX { 0 } else { descend(depth + 1).rotate_left(7) ^ depth }
}
