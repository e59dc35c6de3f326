//! Keeps what a consumer group has committed, and what transactions would have it commit.

use std::collections::BTreeMap;

use gristmill_engine::Offset;

use super::Id;
use crate::world::durable::{CursorId, Home};

/// A consumer group.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) generation: u32,
    pub(super) offsets: BTreeMap<CursorId, Offset>,
    /// Taken by transactions that have not been told to end.
    pub(super) pending: BTreeMap<Id, Vec<(CursorId, Offset)>>,
}

impl Group {
    pub(super) fn end(&mut self, id: Id, committed: bool) {
        let pending = self.pending.remove(&id).unwrap_or_default();
        if committed {
            self.offsets.extend(pending);
        }
    }

    /// Whether a transaction that is not told its end has offsets of this number.
    pub(super) fn is_undecided(&self, home: Home) -> bool {
        self.pending.values().flatten().any(|(cursor, _)| is_of(cursor, home))
    }

    pub(super) fn of(&self, home: Home) -> BTreeMap<CursorId, Offset> {
        let own = self.offsets.iter().filter(|(cursor, _)| is_of(cursor, home));
        own.map(|(cursor, offset)| (*cursor, *offset)).collect()
    }
}

fn is_of(cursor: &CursorId, home: Home) -> bool {
    (cursor.0, cursor.2) == home
}
