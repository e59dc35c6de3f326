//! Measures what a schema costs an event: `cargo run --release -p gristmill-schema --example
//! schema_cost`, in microseconds a call, with what reading the JSON takes of it. The event is the
//! ticketing example's reservation; its schema asks for every field's type, form and bounds.

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use gristmill_schema::{Kind, Schema};

const SCHEMA: &str = include_str!("reservation-created.schema.json");
const EVENT: &str = include_str!("reservation-created.json");
/// Calls that are timed at once; the median of as many rounds counts.
const CALLS: u32 = 20_000;
const ROUNDS: usize = 11;

fn main() -> Result<(), Box<dyn Error>> {
    let schema = Schema::new(Kind::Json, SCHEMA)?;
    let event = EVENT.trim_end().as_bytes();
    if let Err(violations) = schema.write(event) {
        return Err(violations.join("; ").into());
    }
    let judged = measure(|| drop(black_box(schema.write(black_box(event)))));
    let reading = measure(|| {
        drop(black_box(serde_json::from_slice::<serde_json::Value>(black_box(event))));
    });
    let mut out = std::io::stdout();
    writeln!(out, "{} bytes, median of {ROUNDS} rounds of {CALLS} calls", event.len())?;
    writeln!(out, "judged               {judged:.2} us")?;
    writeln!(out, "of which reading it  {reading:.2} us")?;
    Ok(())
}

/// Microseconds per call.
fn measure(call: impl Fn()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            began.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or_default()
}
