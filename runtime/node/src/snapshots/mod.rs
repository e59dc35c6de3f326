//! Owns snapshots: copies of what a subscription had at a checkpoint, kept in files beside the
//! store, from which its state is rebuilt. It never holds a subscription up, and changes none.

mod error;
mod kept;
mod open;
mod take;

use std::path::PathBuf;

use gristmill_engine::Instant;
use serde::{Deserialize, Serialize};

pub(crate) use self::error::SnapshotError;
pub(crate) use self::kept::{Kept, clear, list, remove};
pub(crate) use self::open::{Opened, open};
pub(crate) use self::take::{Taken, Takes};
use crate::shared::Shared;

/// Longest name of a snapshot.
pub(crate) const NAME_MAX: usize = 64;

/// The host's document at the front of each file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    subscription: String,
    partition: u32,
    /// Of whose keys and timers the hashes in it are.
    host: String,
    taken_at_ms: u64,
    /// Of component and manifest that were in use.
    digest: Option<String>,
}

/// Whether a snapshot may have this name: it is one of a folder, too.
pub(crate) fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(is_letter)
}

/// The name of one that was given none: the moment it was taken.
fn named_after(moment: Instant) -> String {
    let text = crate::envelope::time::format(moment);
    text.to_ascii_lowercase().replace([':', '.'], "-")
}

/// Where the snapshots of all subscriptions are.
fn root(shared: &Shared) -> PathBuf {
    shared.config.data_dir.join("snapshots")
}

/// Where those of a subscription are.
fn folder(shared: &Shared, subscription: &str) -> PathBuf {
    root(shared).join(subscription)
}

/// Tells hosts that share keyed hashes from others.
fn host(shared: &Shared) -> String {
    format!("{:032x}", shared.hasher.snapshots())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_folders_and_nothing_else() {
        let (most, more) = ("a".repeat(NAME_MAX), "a".repeat(NAME_MAX + 1));
        for (name, expected) in [
            ("before-the-fix", true),
            ("2", true),
            (&*most, true),
            (&*more, false),
            ("", false),
            ("..", false),
            ("a.coming", false),
            ("a/b", false),
            ("Late", false),
            ("spät", false),
        ] {
            assert_eq!(is_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn one_without_a_name_is_named_after_its_moment() {
        let name = named_after(Instant(1_795_219_200_042));
        assert_eq!(name, "2026-11-21t00-00-00-042z");
        assert!(is_name(&name));
    }
}
