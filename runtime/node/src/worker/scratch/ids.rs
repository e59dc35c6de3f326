//! Remembers which ids were handled, as marks do. It keeps them in memory, for as long as marks are
//! kept, and forgets the oldest first.

use std::collections::{BTreeSet, VecDeque};

use gristmill_engine::{IdHash, Instant};

/// Time for which marks are kept, in milliseconds (source: the contract, "Identity").
const KEPT_MS: u64 = 24 * 3_600_000;
/// Marks of a partition at most: 64 MiB of them (source: the contract, "Identity").
const KEPT_MAX: usize = (64 << 20) / 36;

/// Ids that were handled.
#[derive(Debug, Default)]
pub(super) struct Ids {
    known: BTreeSet<IdHash>,
    /// Oldest first.
    order: VecDeque<(Instant, IdHash)>,
}

impl Ids {
    /// Remembers an id; false where it is known.
    pub(super) fn insert(&mut self, id: IdHash, now: Instant) -> bool {
        self.forget(now);
        let is_new = self.known.insert(id);
        if is_new {
            self.order.push_back((now, id));
        }
        is_new
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, id)) = self.order.front() {
            if self.order.len() < KEPT_MAX && now.0.saturating_sub(at.0) <= KEPT_MS {
                break;
            }
            self.known.remove(id);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_a_day() {
        let mut ids = Ids::default();
        for (id, now, is_new) in [
            (1, 0, true),
            (1, KEPT_MS, false),
            (2, KEPT_MS, true),
            (1, KEPT_MS + 1, true),
            (2, 2 * KEPT_MS, false),
        ] {
            assert_eq!(ids.insert(IdHash(id), Instant(now)), is_new, "{id} at {now}");
        }
    }
}
