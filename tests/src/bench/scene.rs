//! Owns the host that is measured: its configuration, the handler it runs, the events it gets.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::support::component;
use crate::support::home::Home;

/// The topic events are published to.
pub const INPUT: &str = "orders";
/// The topic the handler publishes to.
pub const OUTPUT: &str = "totals";
/// Partitions of both.
pub const PARTITIONS: u32 = 8;
/// Keys the events are spread over.
pub const KEYS: u64 = 20_000;
/// Text that brings an event to about 380 bytes, as ticketing's are.
const FILLING: &str = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod \
    tempor incididunt ut labore et dolore magna aliqua, ut enim ad minim veniam, quis nostrud \
    exercitation ullamco laboris nisi ut aliquip ex ea commodo, duis aute irure dolor in.";

/// The handler: parses JSON, reads and writes one value of state, emits one event.
///
/// # Errors
///
/// When it is not built.
pub fn handler() -> Result<Vec<u8>> {
    component::guest("ordinary")
}

/// A host's folder without plugins.
///
/// # Errors
///
/// When there is no binary.
pub fn home(binary: &Path) -> Result<Home> {
    home_with(binary, &[INPUT, OUTPUT], "")
}

/// The same with these topics, and further lines of configuration.
///
/// # Errors
///
/// The same.
pub fn home_with(binary: &Path, topics: &[&str], lines: &str) -> Result<Home> {
    let mut config = String::from(
        "name = \"bench\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\
         plugins_dir = \"plugins\"\n\n[storage]\nreserve = \"64MiB\"\n",
    );
    for topic in topics {
        // Writing to a string cannot fail.
        let _written = write!(config, "\n[topics.{topic}]\npartitions = {PARTITIONS}\n");
    }
    Home::new(binary, &format!("{config}\n{lines}"))
}

/// A manifest of the handler as subscription `name`, each instance used for `reuse` events.
pub fn manifest(name: &str, reuse: u32) -> String {
    format!(
        r#"[[subscription]]
name = "{name}"
topics = ["{INPUT}"]

[subscription.grants]
emit = ["{OUTPUT}"]
state = true

[subscription.limits]
instances = {{ reuse = {reuse} }}
"#
    )
}

/// The second topic of [`pair`].
pub const SECOND_INPUT: &str = "refunds";
/// The subscriptions of [`pair`].
pub const PAIR: [&str; 2] = ["ordinary", "second"];

/// A manifest of the handler as two subscriptions that read all of these topics, instances reused.
pub fn pair(topics: &[&str]) -> String {
    let one = |name: &str| {
        format!(
            "[[subscription]]\nname = \"{name}\"\ntopics = {topics:?}\n\
             grants = {{ emit = [\"{OUTPUT}\"], state = true }}\n\
             limits.instances.reuse = 10000\n"
        )
    };
    PAIR.map(one).concat()
}

/// Event `number` as a structured CloudEvent.
fn event(number: u64) -> Value {
    json!({
        "specversion": "1.0",
        "id": number.to_string(),
        "source": "/bench",
        "type": "order.placed",
        "partitionkey": key(number),
        "data": data(number),
    })
}

/// What event `number` says.
pub fn data(number: u64) -> Value {
    let key = key(number);
    json!({
        "id": number.to_string(),
        "amount": number % 100,
        "customer": key,
        "items": [
            { "sku": format!("A-{}", number % KEYS), "count": 2 },
            { "sku": "B-7", "count": 1 },
        ],
        "note": FILLING,
    })
}

fn key(number: u64) -> String {
    format!("key-{}", number.wrapping_mul(2_654_435_761) % KEYS)
}

/// A batch of events by number.
pub fn batch(numbers: Range<u64>) -> String {
    numbers.map(event).collect::<Value>().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_size_of_a_ticket() {
        let value: Value = serde_json::from_str(&batch(0..2)).unwrap();
        let size = value[1]["data"].to_string().len();
        assert!((350..450).contains(&size), "{size} bytes");
    }
}
