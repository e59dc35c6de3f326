//! Checks, in a cluster, that a host that has taken a partition over has all that was decided of
//! its state and nothing else, and that whoever reads the changelogs in the end finds the same.

use crate::changelog::contents;
use crate::world::durable::Durable;

use super::{Checker, Fact, Home, Scene, ensure};

/// Watches takeovers.
#[derive(Debug, Default)]
pub(super) struct Restore;

impl Checker for Restore {
    fn name(&self) -> &'static str {
        "restore"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        let Fact::Restored { home, store } = fact else { return Ok(()) };
        compare(home, store, scene.durable)?;
        let of = |durable: &Durable| -> Vec<_> {
            let own = durable.committed.iter().filter(|(cursor, _)| (cursor.0, cursor.2) == home);
            let here = own
                .filter(|(cursor, offset)| **offset <= scene.topics.log(cursor.1, cursor.2).end());
            here.map(|(cursor, offset)| (*cursor, *offset)).collect()
        };
        let (found, wanted) = (of(store), of(scene.durable));
        ensure(found == wanted, || {
            format!("{home:?} is read on from {found:?}, and {wanted:?} is committed")
        })
    }
}

/// Compares what there is of a partition with what must be.
fn compare(home: Home, found: &Durable, wanted: &Durable) -> Result<(), String> {
    let (found, wanted) = (contents(found, home), contents(wanted, home));
    let missing: Vec<_> = wanted.iter().filter(|(key, it)| found.get(key) != Some(it)).collect();
    ensure(missing.is_empty(), || {
        let has: Vec<_> = missing.iter().map(|(key, _)| found.get(key)).collect();
        format!("{home:?} was restored without {missing:?}, with {has:?}")
    })?;
    let surplus: Vec<_> = found.iter().filter(|(key, _)| !wanted.contains_key(key)).collect();
    ensure(surplus.is_empty(), || format!("{home:?} was restored with {surplus:?}"))
}
