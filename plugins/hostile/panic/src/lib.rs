//! Panics, after logging why as the SDK's panic hook does when the payload is `hook`.

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};
use wasi::logging::logging::{Level, log};

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(event: Event) -> Result<(), Failure> {
        if event.payload == b"hook" {
            std::panic::set_hook(Box::new(|info| {
                log(Level::Critical, "panic", &info.to_string());
            }));
        }
        fall_over(event.offset)
    }
}

#[inline(never)]
fn fall_over(offset: u64) -> Result<(), Failure> {
    let offset = std::hint::black_box(offset);
    assert!(offset == u64::MAX, "no event has offset {offset}");
    Ok(())
}
