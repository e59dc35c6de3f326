//! Puts together what a group committed, where its partitions end and who holds them. It asks
//! nobody.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_engine::Offset;
use gristmill_kafka::{MemberDescription, TopicDescription};
use serde::Serialize;

use crate::topics;

/// What a group committed, by topic and partition.
pub(super) type Committed = BTreeMap<(String, u32), Offset>;

/// Where a partition begins, and where what can be read of it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) start: Offset,
    pub(super) end: Offset,
}

/// One partition of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Where the group goes on reading; `None` where it committed nothing.
    pub committed: Option<u64>,
    /// The offset after the last event that can be read; what open transactions wrote is beyond.
    pub end: u64,
    /// Offsets from there to the end. Transactions' own records count: it is 0 when everything
    /// is done, and else no less than the events that are not. `None` where nothing is committed.
    pub lag: Option<u64>,
    /// Id of the member that reads it; `None` while nobody does.
    pub member: Option<String>,
}

/// A topic of which a member reads partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberTopic {
    /// The topic.
    pub topic: String,
    /// The partitions, rising.
    pub partitions: Vec<u32>,
}

impl Bounds {
    /// Offsets between what is committed and the end. What retention removed is not waited for,
    /// and what was committed of a longer topic of this name does not count below 0.
    pub(super) fn lag(self, committed: Offset) -> u64 {
        self.end.0.saturating_sub(committed.max(self.start).0)
    }
}

/// The sum of what is known; `None` where nothing is.
pub(super) fn sum(lags: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    lags.into_iter().flatten().reduce(u64::saturating_add)
}

/// Who holds what.
#[derive(Debug, Default)]
pub(super) struct Dealt<'a> {
    /// Members by partition.
    partitions: BTreeMap<(&'a str, u32), &'a str>,
    /// Members by number of a changelog: who holds one reads it of every topic of the subscription.
    numbers: BTreeMap<u32, &'a str>,
}

impl<'a> Dealt<'a> {
    pub(super) fn new(members: &'a [MemberDescription]) -> Self {
        let mut dealt = Self::default();
        for member in members {
            for (topic, partition) in &member.partitions {
                if topics::is_changelog(topic) {
                    dealt.numbers.insert(*partition, &member.id);
                } else {
                    dealt.partitions.insert((topic, *partition), &member.id);
                }
            }
        }
        dealt
    }

    fn holder(&self, topic: &str, partition: u32) -> Option<&'a str> {
        self.partitions.get(&(topic, partition)).or_else(|| self.numbers.get(&partition)).copied()
    }
}

/// All partitions of topics that a group committed anything of, or that its members were dealt.
pub(super) fn partitions(
    committed: &Committed,
    dealt: &Dealt<'_>,
    topics: &[TopicDescription],
) -> BTreeSet<(String, u32)> {
    let of_committed = committed.keys().map(|(topic, _)| topic.as_str());
    let named: BTreeSet<&str> =
        of_committed.chain(dealt.partitions.keys().map(|(topic, _)| *topic)).collect();
    let mut all = BTreeSet::new();
    for topic in topics.iter().filter(|topic| named.contains(&*topic.name)) {
        all.extend((0..topic.partitions).map(|number| (topic.name.to_string(), number)));
    }
    all
}

/// One row per partition.
pub(super) fn rows(
    partitions: &BTreeSet<(String, u32)>,
    committed: &Committed,
    bounds: &BTreeMap<(String, u32), Bounds>,
    dealt: &Dealt<'_>,
) -> Vec<PartitionLag> {
    let row = |place: &(String, u32)| {
        let bounds = *bounds.get(place)?;
        let offset = committed.get(place).copied();
        Some(PartitionLag {
            topic: place.0.clone(),
            partition: place.1,
            committed: offset.map(|offset| offset.0),
            end: bounds.end.0,
            lag: offset.map(|offset| bounds.lag(offset)),
            member: dealt.holder(&place.0, place.1).map(str::to_owned),
        })
    };
    partitions.iter().filter_map(row).collect()
}

/// What a member reads: its rows, or what it was dealt where there are none yet.
pub(super) fn held(member: &MemberDescription, rows: &[PartitionLag]) -> Vec<MemberTopic> {
    let own = rows.iter().filter(|row| row.member.as_ref() == Some(&member.id));
    let mut held: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for row in own {
        held.entry(&row.topic).or_default().push(row.partition);
    }
    if held.is_empty() {
        for (topic, partition) in &member.partitions {
            held.entry(topic).or_default().push(*partition);
        }
    }
    let topic =
        |(topic, partitions): (&str, Vec<u32>)| MemberTopic { topic: topic.to_owned(), partitions };
    held.into_iter().map(topic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(start: u64, end: u64) -> Bounds {
        Bounds { start: Offset(start), end: Offset(end) }
    }

    #[test]
    fn lag_is_what_is_still_to_be_read() {
        for (start, end, committed, expected) in [
            (0, 10, 0, 10),
            (0, 10, 4, 6),
            (0, 10, 10, 0),
            // Retention took 4 to 7.
            (7, 10, 4, 3),
            // The topic was made anew and is shorter now.
            (0, 10, 25, 0),
            (5, 5, 0, 0),
        ] {
            let lag = bounds(start, end).lag(Offset(committed));
            assert_eq!(lag, expected, "{start}..{end} at {committed}");
        }
        assert_eq!(sum([]), None);
        assert_eq!(sum([None, None]), None);
        assert_eq!(sum([None, Some(3), Some(4)]), Some(7));
        assert_eq!(sum([Some(u64::MAX), Some(4)]), Some(u64::MAX));
    }

    fn member(id: &str, partitions: &[(&str, u32)]) -> MemberDescription {
        MemberDescription {
            id: id.to_owned(),
            client_id: "mill".to_owned(),
            host: "127.0.0.1".to_owned(),
            partitions: partitions.iter().map(|(topic, n)| ((*topic).to_owned(), *n)).collect(),
        }
    }

    fn report(members: &[MemberDescription], committed: &[(&str, u32, u64)]) -> Vec<PartitionLag> {
        let topic = |(name, partitions): (&str, u32)| TopicDescription {
            name: name.into(),
            id: 1,
            partitions,
        };
        let topics = [("orders", 3), ("seats", 2), ("other", 1)].map(topic);
        let committed: Committed = committed
            .iter()
            .map(|(topic, number, offset)| (((*topic).to_owned(), *number), Offset(*offset)))
            .collect();
        let dealt = Dealt::new(members);
        let all = partitions(&committed, &dealt, &topics);
        let bounds = all.iter().map(|place| (place.clone(), bounds(0, 10))).collect();
        rows(&all, &committed, &bounds, &dealt)
    }

    fn shown(rows: &[PartitionLag]) -> Vec<String> {
        let text = |row: &PartitionLag| {
            let lag = row.lag.map_or("-".to_owned(), |lag| lag.to_string());
            let member = row.member.as_deref().unwrap_or("-");
            format!("{}/{} {lag} {member}", row.topic, row.partition)
        };
        rows.iter().map(text).collect()
    }

    #[test]
    fn who_holds_a_number_of_the_changelog_reads_it_of_every_topic() {
        let changelog = "__changelog.mill.totals";
        let members =
            [member("a", &[(changelog, 0), (changelog, 2)]), member("b", &[(changelog, 1)])];
        let rows = report(&members, &[("orders", 0, 4), ("orders", 1, 10), ("seats", 1, 9)]);
        let expected =
            ["orders/0 6 a", "orders/1 0 b", "orders/2 - a", "seats/0 - a", "seats/1 1 b"];
        assert_eq!(shown(&rows), expected);
        let topic = |topic: &str, partitions: &[u32]| MemberTopic {
            topic: topic.to_owned(),
            partitions: partitions.to_vec(),
        };
        assert_eq!(held(&members[0], &rows), [topic("orders", &[0, 2]), topic("seats", &[0])]);
        assert_eq!(held(&members[1], &rows), [topic("orders", &[1]), topic("seats", &[1])]);
        let begun = report(&members, &[]);
        assert_eq!(shown(&begun), [""; 0]);
        assert_eq!(held(&members[0], &begun), [topic(changelog, &[0, 2])]);
    }

    #[test]
    fn other_groups_are_dealt_their_topics_themselves() {
        let members = [member("a", &[("orders", 1)]), member("idle", &[])];
        let rows = report(&members, &[("seats", 0, 10)]);
        let expected =
            ["orders/0 - -", "orders/1 - a", "orders/2 - -", "seats/0 0 -", "seats/1 - -"];
        assert_eq!(shown(&rows), expected);
        assert_eq!(held(&members[1], &rows), []);
        let gone = report(&[], &[("deleted", 0, 10)]);
        assert_eq!(gone, [], "a topic that is gone has no end");
    }
}
