//! Decides whether what came out is what had to come out. It knows how often each event may be
//! seen and nothing of who handled it.

use std::ops::RangeInclusive;

use anyhow::{Result, bail};

/// So many wrong events are named.
const NAMED_MAX: usize = 5;

/// Counts emissions by the event they are about.
#[derive(Debug)]
pub struct Tally {
    events: Vec<Entry>,
    /// Emissions that must still come.
    missing: u64,
    count: u64,
    strange: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    seen: u16,
    least: u16,
    most: u16,
}

impl Tally {
    /// Expects each event as often as its place in `expected` says.
    pub fn new(expected: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        let entry = |times: RangeInclusive<u16>| {
            let (least, most) = times.into_inner();
            Entry { seen: 0, least, most }
        };
        let events: Vec<_> = expected.into_iter().map(entry).collect();
        let missing = events.iter().map(|entry| u64::from(entry.least)).sum();
        Self { events, missing, count: 0, strange: Vec::new() }
    }

    /// Counts an emission about event `number`.
    pub fn add(&mut self, number: u64) {
        self.count += 1;
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let Some(entry) = self.events.get_mut(place) else {
            self.complain(format!("event {number} was never put in"));
            return;
        };
        entry.seen = entry.seen.saturating_add(1);
        if entry.seen <= entry.least {
            self.missing -= 1;
        }
    }

    /// Notes something else that is wrong.
    pub fn complain(&mut self, what: String) {
        if self.strange.len() < NAMED_MAX {
            self.strange.push(what);
        }
    }

    /// Emissions that must still come.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Emissions counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Holds what was counted against what was expected.
    ///
    /// # Errors
    ///
    /// When events are lost, repeated or strange; the first of each are named.
    pub fn check(&self) -> Result<()> {
        let named = |wrong: fn(&Entry) -> bool| {
            let places = self.events.iter().enumerate().filter(move |(_, entry)| wrong(entry));
            let (mut named, mut count) = (Vec::new(), 0);
            for (place, entry) in places {
                count += 1;
                if named.len() < NAMED_MAX {
                    named.push(format!("{place} ({} times)", entry.seen));
                }
            }
            (count, named.join(", "))
        };
        let mut wrong = self.strange.clone();
        let (lost, repeated) =
            (named(|entry| entry.seen < entry.least), named(|entry| entry.seen > entry.most));
        for (what, (count, first)) in [("lost", lost), ("repeated", repeated)] {
            if count > 0 {
                wrong.push(format!("{count} are {what}: {first}"));
            }
        }
        match wrong.as_slice() {
            [] => Ok(()),
            wrong => bail!("of {} events {}", self.events.len(), wrong.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seen: &[u64]) -> Result<u64> {
        // Once; twice; once or twice.
        let mut tally = Tally::new([1..=1, 2..=2, 1..=2]);
        for number in seen {
            tally.add(*number);
        }
        assert_eq!(tally.count(), seen.len() as u64);
        tally.check().map(|()| tally.missing())
    }

    #[test]
    fn exactly_what_is_expected_is_right() {
        for right in [&[0, 1, 1, 2][..], &[2, 1, 0, 2, 1]] {
            assert_eq!(check(right).unwrap(), 0);
        }
    }

    #[test]
    fn lost_repeated_and_strange_events_are_named() {
        for (wrong, words) in [
            (&[1, 1, 2][..], "1 are lost: 0 (0 times)"),
            (&[0, 1, 2], "1 are lost: 1 (1 times)"),
            (&[0, 0, 1, 1, 2], "1 are repeated: 0 (2 times)"),
            (&[0, 1, 1, 1, 2], "1 are repeated: 1 (3 times)"),
            (&[0, 1, 1, 2, 2, 2], "1 are repeated: 2 (3 times)"),
            (&[0, 1, 1, 2, 3], "event 3 was never put in"),
        ] {
            let problem = check(wrong).unwrap_err().to_string();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
