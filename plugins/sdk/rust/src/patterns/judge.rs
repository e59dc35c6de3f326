//! Decides whether an event begins or completes a match, from the events around it alone: at most
//! twice `within` away. So it does not matter what was kept before, or read when.

use serde::{Deserialize, Serialize};

/// The event is what a pattern begins with, or what happens several times.
pub(super) const FIRST: u8 = 1;
/// The event is what follows.
pub(super) const THEN: u8 = 2;
/// The event is what must not come between.
pub(super) const WITHOUT: u8 = 4;

/// What makes a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `FIRST`, then `THEN`, without `WITHOUT` between.
    Then,
    /// `FIRST` and no `WITHOUT` for a time.
    Without,
    /// `FIRST` so many times.
    Times(u64),
}

/// One event. Names are short: a key's value has many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "t")]
    pub(super) time: u64,
    pub(super) id: String,
    #[serde(rename = "f")]
    flags: u8,
    #[serde(rename = "n", default, skip_serializing_if = "String::is_empty")]
    pub(super) note: String,
    /// The match that was told of it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) told: Option<Found>,
    /// How often something was.
    #[serde(rename = "r", default, skip_serializing_if = "is_zero")]
    pub(super) revision: u64,
}

/// A match of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) start: u64,
    /// When it was complete.
    pub(super) end: u64,
    pub(super) events: u64,
}

impl Entry {
    pub(super) fn new(time: u64, id: &str, flags: u8, note: String) -> Self {
        Self { time, id: id.to_owned(), flags, note, told: None, revision: 0 }
    }

    /// Events are in order of time, those of one moment in order of their ids.
    pub(super) fn order(&self) -> (u64, &String) {
        (self.time, &self.id)
    }

    const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Shape {
    /// Events until this moment are judged for good, because everything until `gone` has been read.
    /// Of what they were judged by some is not kept any more.
    pub(super) const fn settled_until(self, gone: u64, within: u64) -> u64 {
        match self {
            Self::Times(_) => gone,
            Self::Then | Self::Without => gone.saturating_sub(within),
        }
    }

    /// The match of the event at `at`, if there is one. Events are in order.
    pub(super) fn judge(self, events: &[Entry], at: usize, within: u64) -> Option<Found> {
        let entry = events.get(at).filter(|entry| entry.is(FIRST))?;
        let start = entry.time;
        let until = start + within;
        let mut after = events.get(at + 1..)?.iter().take_while(|it| it.time <= until);
        match self {
            Self::Then => {
                let next = after.find(|it| it.is(THEN) || it.is(WITHOUT))?;
                (!next.is(WITHOUT)).then_some(Found { start, end: next.time, events: 2 })
            }
            Self::Without => {
                let is_followed = after.any(|it| it.is(WITHOUT));
                (!is_followed).then_some(Found { start, end: until, events: 1 })
            }
            Self::Times(times) => {
                let before = events.get(..at)?.iter().rposition(|it| it.is(FIRST));
                let is_more = before.is_some_and(|at| count(events, at, within, times).0 >= times);
                let (events, start) = count(events, at, within, times);
                let is_found = events >= times && !is_more;
                is_found.then_some(Found { start, end: entry.time, events })
            }
        }
    }
}

/// How many such events there are in less than `within` until the one at `at`, itself among them,
/// and when the first was. It counts to `most`.
fn count(events: &[Entry], at: usize, within: u64, most: u64) -> (u64, u64) {
    let Some((last, before)) = events.get(..=at).and_then(<[Entry]>::split_last) else {
        return (0, 0);
    };
    let near = before.iter().rev().take_while(|it| it.time + within > last.time);
    let others = usize::try_from(most.saturating_sub(1)).unwrap_or(usize::MAX);
    let near = near.filter(|it| it.is(FIRST)).take(others);
    near.fold((1, last.time), |(count, _), it| (count + 1, it.time))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as `TIMEkind`, such as `5a`: `a` begins, `b` follows, `c` comes between, `d` is both
    /// `a` and `c`.
    fn judge(shape: Shape, script: &str) -> Vec<(u64, u64, u64)> {
        let entry = |(number, word): (usize, &str)| {
            let (time, kind) = word.split_at(word.len() - 1);
            let flags = match kind {
                "a" => FIRST,
                "b" => THEN,
                "c" => WITHOUT,
                _ => FIRST | WITHOUT,
            };
            Entry::new(time.parse().unwrap(), &format!("e{number}"), flags, String::new())
        };
        let events: Vec<_> = script.split(' ').enumerate().map(entry).collect();
        let found = (0..events.len()).filter_map(|at| shape.judge(&events, at, 10));
        found.map(|found| (found.start, found.end, found.events)).collect()
    }

    #[test]
    fn one_thing_follows_another() {
        for (script, expected) in [
            ("1a 5b", &[(1, 5, 2)][..]),
            ("1a 11b", &[(1, 11, 2)]),
            ("1a 12b", &[]),
            ("1b 2a", &[]),
            ("1a 3c 5b", &[]),
            ("1a 5b 6c", &[(1, 5, 2)]),
            ("1a 2a 5b 6b", &[(1, 5, 2), (2, 5, 2)]),
            ("1a 1b", &[(1, 1, 2)]),
        ] {
            assert_eq!(judge(Shape::Then, script), expected, "{script}");
        }
    }

    #[test]
    fn one_thing_is_without_another() {
        for (script, expected) in [
            ("1a", &[(1, 11, 1)][..]),
            ("1a 11c", &[]),
            ("1a 12c", &[(1, 11, 1)]),
            ("1c 2a", &[(2, 12, 1)]),
            ("1d 5d 6d", &[(6, 16, 1)]),
        ] {
            assert_eq!(judge(Shape::Without, script), expected, "{script}");
        }
    }

    #[test]
    fn one_thing_happens_several_times() {
        for (script, expected) in [
            ("1a 2a", &[][..]),
            ("1a 2a 3a", &[(1, 3, 3)]),
            ("1a 2a 10a", &[(1, 10, 3)]),
            ("1a 2a 11a", &[]),
            ("1a 2a 3a 4a 5a", &[(1, 3, 3)]),
            ("1a 2b 3a 4c 5a", &[(1, 5, 3)]),
            ("1a 2a 3a 12a 20a 21a", &[(1, 3, 3), (12, 21, 3)]),
        ] {
            assert_eq!(judge(Shape::Times(3), script), expected, "{script}");
        }
    }
}
