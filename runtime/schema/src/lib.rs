//! Judges: what a schema says of a payload, what one schema can read of another's, and what a
//! registry has. The only crate that knows JSON Schema, Avro and the Confluent API. It keeps
//! nothing and knows no topic.

mod avro;
mod compatibility;
mod error;
mod framing;
mod json;
mod registry;
mod schema;

pub use error::Error;
pub use framing::{framed, unframed};
pub use registry::{Registered, Registry, RegistryError, RegistrySettings};
pub use schema::{Kind, Schema};

/// Violations of one payload that are told one by one; more are counted.
const VIOLATIONS_MAX: usize = 20;
/// Longest violation, in bytes: it may quote what the payload holds.
const VIOLATION_BYTES_MAX: usize = 300;

/// Everything wrong with a payload, as far as it is told.
fn told(found: impl Iterator<Item = String>) -> Vec<String> {
    let mut found = found.map(shortened);
    let mut told: Vec<String> = found.by_ref().take(VIOLATIONS_MAX).collect();
    let more = found.count();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told
}

fn shortened(mut text: String) -> String {
    if text.len() > VIOLATION_BYTES_MAX {
        text.truncate(text.floor_char_boundary(VIOLATION_BYTES_MAX));
        text.push('\u{2026}');
    }
    text
}
