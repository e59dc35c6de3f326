//! Follows the chains of a trail from entry to entry and finds where one is broken.

use std::collections::BTreeMap;

use serde::Serialize;

use super::entry::Entry;
use super::heads::{Head, Heads};

/// Everything of a trail, chain by chain.
#[derive(Debug, Default)]
pub(super) struct Chains {
    pub(super) by_name: BTreeMap<String, Chain>,
    pub(super) breaks: Vec<Break>,
}

/// One chain, as far as it was followed.
#[derive(Debug, Serialize)]
pub(super) struct Chain {
    pub(super) entries: u64,
    /// Sequence of the first entry there is.
    pub(super) first: u64,
    pub(super) first_offset: u64,
    pub(super) last_offset: u64,
    #[serde(flatten)]
    pub(super) head: Head,
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Break {
    pub(super) chain: String,
    /// Sequence of the entry.
    pub(super) sequence: u64,
    pub(super) what: String,
}

impl Chains {
    /// The next entry of whichever chain it is of. `heads` are ends that were seen before.
    pub(super) fn follow(&mut self, entry: &Entry, heads: &Heads) {
        let name = entry.chain();
        if let Some(flaw) = entry.flaw() {
            self.broken(&name, entry.sequence, flaw);
        }
        let known = heads.chains.get(&name).filter(|head| head.sequence == entry.sequence);
        if known.is_some_and(|head| head.hash != entry.hash) {
            self.broken(&name, entry.sequence, "it is not the entry that was there before");
        }
        let head = Head { sequence: entry.sequence, hash: entry.hash.clone() };
        let Some(chain) = self.by_name.get_mut(&name) else {
            let chain = Chain {
                entries: 1,
                first: entry.sequence,
                first_offset: entry.offset,
                last_offset: entry.offset,
                head,
            };
            self.by_name.insert(name, chain);
            return;
        };
        let before = std::mem::replace(&mut chain.head, head);
        let last_offset = std::mem::replace(&mut chain.last_offset, entry.offset);
        chain.entries = chain.entries.saturating_add(1);
        let expected = before.sequence.saturating_add(1);
        if entry.sequence != expected {
            let what = match entry.sequence.checked_sub(expected) {
                Some(1) => format!("entry {expected} is missing before it"),
                Some(count) => format!("{count} entries are missing before it, from {expected} on"),
                None => format!("it comes after entry {}", before.sequence),
            };
            self.broken(&name, entry.sequence, &what);
        } else if entry.previous != before.hash {
            self.broken(&name, entry.sequence, "it does not follow the entry before it");
        } else if entry.offset <= last_offset {
            self.broken(&name, entry.sequence, "its offset is not after that of the one before");
        }
    }

    /// What can be told only when everything was followed: ends that are gone, and chains that do
    /// not begin at their beginning, unless `may_begin_late`.
    pub(super) fn close(&mut self, heads: &Heads, may_begin_late: bool) {
        for (name, head) in &heads.chains {
            let last = self.by_name.get(name).map_or(0, |chain| chain.head.sequence);
            if last < head.sequence {
                let what = format!("it was there before, and the chain ends with {last}");
                self.broken(name, head.sequence, &what);
            }
        }
        let late: Vec<(String, u64)> = self
            .by_name
            .iter()
            .filter(|(_, chain)| chain.first > 1 && !may_begin_late)
            .map(|(name, chain)| (name.clone(), chain.first))
            .collect();
        for (name, first) in late {
            let what =
                format!("the chain begins here: {} entries are gone", first.saturating_sub(1));
            self.broken(&name, first, &what);
        }
    }

    pub(super) fn broken(&mut self, chain: &str, sequence: u64, what: &str) {
        let (chain, what) = (chain.to_owned(), what.to_owned());
        self.breaks.push(Break { chain, sequence, what });
    }
}
