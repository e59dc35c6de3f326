//! Checks, in a cluster, that what counts in a changelog follows the order of its lanes: each value
//! of a lane's state goes on from the one before, and progress does not fall within an epoch.

use std::collections::BTreeMap;

use super::{Checker, Fact, Home, Scene, ensure};
use crate::broker::{Record, Shelf};
use crate::changelog::{Key, Value};

/// Watches changelogs.
#[derive(Debug, Default)]
pub(super) struct Changelog {
    last: BTreeMap<(Home, Key), Value>,
}

impl Checker for Changelog {
    fn name(&self) -> &'static str {
        "changelog"
    }

    fn see(&mut self, fact: Fact<'_>, _: Scene<'_>) -> Result<(), String> {
        let Fact::Written { to: Shelf::Changelog(home), record: Record::Entry(key, value) } = fact
        else {
            return Ok(());
        };
        let Some(value) = value else { return Ok(()) };
        let before = self.last.insert((home, *key), value.clone());
        let follows = match (before, value) {
            (Some(Value::State(before)), Value::State(after)) => after.starts_with(&before),
            (Some(Value::Progress(before)), Value::Progress(after)) => {
                let same = (before.incarnation, before.epoch) == (after.incarnation, after.epoch);
                !same || before.next <= after.next
            }
            (_, _) => true,
        };
        ensure(follows, || format!("{key:?} of {home:?} does not go on from what was before it"))
    }
}
