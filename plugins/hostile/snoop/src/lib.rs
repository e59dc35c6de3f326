//! Looks at everything WASI would show it: clocks, randomness, environment, directories. It sleeps
//! as many milliseconds as its payload says, and prints what it is about to do.

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "gristmill:snoop/snoop",
    generate_all,
});

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};
use gristmill::plugin::publish::{Emission, emit};
use wasi::{
    cli::{environment, stdout},
    clocks::{monotonic_clock, wall_clock},
    filesystem::preopens,
    random::random,
};

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(event: Event) -> Result<(), Failure> {
        let payload = String::from_utf8_lossy(&event.payload).into_owned();
        let millis: u64 = payload.parse().unwrap_or(0);
        let line = format!("going to sleep {millis} ms\nunfinished");
        stdout::get_stdout().blocking_write_and_flush(line.as_bytes()).expect("stdout is open");
        let before = monotonic_clock::now();
        if millis > 0 {
            monotonic_clock::subscribe_duration(millis * 1_000_000).block();
        }
        let after = monotonic_clock::now();
        let wall = wall_clock::now();
        let seen = format!(
            "before {before}\nafter {after}\nwall {}.{:03}\nrandom {} {:?}\nenv {:?}\nargs {:?}\n\
             dirs {}",
            wall.seconds,
            wall.nanoseconds / 1_000_000,
            random::get_random_u64(),
            random::get_random_bytes(4),
            environment::get_environment(),
            environment::get_arguments(),
            preopens::get_directories().len(),
        );
        let emission = Emission {
            topic: "seen".to_owned(),
            type_: "seen".to_owned(),
            version: None,
            subject: None,
            key: None,
            payload: seen.into_bytes(),
            content_type: None,
            headers: Vec::new(),
            correlation_id: None,
        };
        emit(&emission).expect("the emission is granted");
        Ok(())
    }
}
