//! Names what a topic is: its partitions, its retention, its bounds. It stores no event.

use bytestring::ByteString;
use gristmill_engine::{Bytes as Size, Instant, Millis, Offset, TopicId};

use crate::Error;

/// Most partitions a topic can have.
pub const PARTITIONS_MAX: u32 = 10_000;

/// Longest topic name in bytes (source: Kafka's limit, so that names can move there).
pub const NAME_BYTES_MAX: usize = 249;

/// What a topic is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// 1 to 249 of `a-z A-Z 0-9 . _ -`, not `.` or `..`.
    pub name: String,
    /// 1 to 10,000. It cannot be changed later: keys would change their partition.
    pub partitions: u32,
    /// When events are removed.
    pub retention: Retention,
    /// Keep the last event of each key, and remove the others in the background.
    pub compacted: bool,
}

/// When events of a topic are removed. Both apply when both are set.
///
/// Events go in chunks of at most 1 MiB or a sixteenth of the limit, whichever is less; a chunk
/// goes when its youngest event is older than `age`, or when without it the topic still holds
/// `bytes`. So a topic never holds less than its retention promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Age by the event's timestamp. `None` keeps for ever.
    pub age: Option<Millis>,
    /// Size of keys, headers and payloads of the whole topic. `None` is unlimited.
    pub bytes: Option<Size>,
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its number: durable, never given to another topic, not even of the same name.
    pub id: TopicId,
    /// Its name.
    pub name: ByteString,
    /// Its partitions, numbered from 0.
    pub partitions: u32,
    /// When its events are removed.
    pub retention: Retention,
    /// Whether only the last event of each key is kept.
    pub compacted: bool,
    /// When it was created.
    pub created: Instant,
}

impl Topic {
    /// Tells one life of a topic name from the next, for the engine's cursors.
    pub fn incarnation(&self) -> u128 {
        u128::from(self.id.0)
    }
}

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// First offset that may still be there.
    pub start: Offset,
    /// Offset the next event will get.
    pub end: Offset,
}

/// What a topic holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicFigures {
    /// Events that can be read.
    pub events: u64,
    /// Size of their keys, headers and payloads, before compression.
    pub bytes: Size,
    /// Timestamp of the oldest event, to the precision of a chunk.
    pub oldest: Option<Instant>,
}

/// What of a topic can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicUpdate {
    /// The new retention.
    pub retention: Retention,
    /// Whether only the last event of each key is kept.
    pub compacted: bool,
}

pub(crate) fn check(spec: &TopicSpec) -> Result<(), Error> {
    let invalid = |reason| Err(Error::TopicInvalid { name: spec.name.clone(), reason });
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if spec.name.is_empty() || spec.name.len() > NAME_BYTES_MAX {
        return invalid("its name must have 1 to 249 characters");
    }
    if !spec.name.bytes().all(legal) || spec.name == "." || spec.name == ".." {
        return invalid("its name may only hold a-z A-Z 0-9 . _ -");
    }
    if spec.partitions == 0 || spec.partitions > PARTITIONS_MAX {
        return invalid("it must have 1 to 10000 partitions");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Retention, TopicSpec, check};

    #[test]
    fn names_and_partitions_are_checked_at_and_past_their_limits() {
        let rows: &[(&str, usize, u32, bool)] = &[
            ("a", 1, 1, true),
            ("a", 249, 10_000, true),
            ("a", 250, 1, false),
            ("", 0, 1, false),
            ("a", 1, 0, false),
            ("a", 1, 10_001, false),
            (".", 1, 1, false),
            (".", 2, 1, false),
            (".", 3, 1, true),
            ("A-z_0.9", 1, 1, true),
            ("a/b", 1, 1, false),
            ("a b", 1, 1, false),
            ("ä", 1, 1, false),
        ];
        for (name, times, partitions, valid) in rows {
            let name = name.repeat(*times);
            let spec = TopicSpec {
                name: name.clone(),
                partitions: *partitions,
                retention: Retention::default(),
                compacted: false,
            };
            assert_eq!(check(&spec).is_ok(), *valid, "{name:?} with {partitions}");
        }
    }
}
