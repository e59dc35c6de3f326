//! Knows the steps of a checkpoint that a host can be made to end at, and reads which one it came
//! to.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Steps of a commit of the store, in order.
pub const STORE: [&str; 5] = ["built", "synced", "noted", "published", "told"];
/// Steps of a transaction on Kafka, in order. Those of the store follow: its cache is written when
/// the transaction is over.
pub const TRANSACTION: [&str; 6] =
    ["admitted", "begun", "offsets-sent", "written", "committed", "waited"];

/// Every step in the order of a checkpoint: the letter that stands for it in the step file, and
/// whether something is on its way then.
const STEPS: [(&str, u8, bool); 11] = [
    ("admitted", b'A', true),
    ("begun", b'B', true),
    ("offsets-sent", b'O', true),
    ("written", b'W', true),
    ("committed", b'C', false),
    ("waited", b'P', false),
    ("built", b'b', true),
    ("synced", b's', true),
    ("noted", b'n', true),
    ("published", b'p', true),
    ("told", b't', false),
];

/// All steps in the order of a checkpoint.
pub fn all() -> impl Iterator<Item = &'static str> {
    STEPS.into_iter().map(|(step, ..)| step)
}

/// Whether a commit or a transaction is on its way at a step: begun, and not over.
pub fn is_on_its_way(step: &str) -> bool {
    STEPS.iter().any(|(name, _, is_on_its_way)| *name == step && *is_on_its_way)
}

/// The last step that a host told in its step file; none if it came to none.
///
/// # Errors
///
/// When there is no such file.
pub fn last(file: &Path) -> Result<Option<&'static str>> {
    let told = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let step = |told: &u8| STEPS.iter().find(|(_, letter, _)| letter == told);
    Ok(told.first().and_then(step).map(|(name, ..)| *name))
}
