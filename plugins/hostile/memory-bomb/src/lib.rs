//! Allocates until the host refuses. With the payload `deal` it notices and succeeds, else its
//! allocator aborts.

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(event: Event) -> Result<(), Failure> {
        let mut hoard: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut block = Vec::new();
            if event.payload == b"deal" {
                if block.try_reserve_exact(1 << 20).is_err() {
                    return Ok(());
                }
            } else {
                block.reserve_exact(1 << 20);
            }
            block.resize(1 << 20, 1);
            hoard.push(block);
            std::hint::black_box(&hoard);
        }
    }
}
