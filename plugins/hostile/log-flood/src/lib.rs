//! Logs ten thousand lines of a hundred bytes.

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};
use wasi::logging::logging::{Level, log};

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(_event: Event) -> Result<(), Failure> {
        let line = "x".repeat(95);
        for _ in 0..10_000 {
            log(Level::Info, "flood", &line);
        }
        Ok(())
    }
}
