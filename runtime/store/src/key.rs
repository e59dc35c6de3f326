//! Decides the order of everything on disk: how topics, partitions, offsets, keys and names
//! become sorted keys. It stores nothing.

use gristmill_engine::{KeyHash, Offset, PartitionId, TopicId};

/// Key of an event: topic, partition and offset, big-endian, so that a partition is one range.
/// 16 bytes, which the storage engine keeps without an allocation.
pub(crate) fn log(topic: TopicId, partition: PartitionId, offset: Offset) -> [u8; 16] {
    let mut key = [0; 16];
    let (head, tail) = key.split_at_mut(8);
    head.copy_from_slice(&pair(topic.0, partition.0));
    tail.copy_from_slice(&offset.0.to_be_bytes());
    key
}

/// Topic, partition and offset of an event's key.
pub(crate) fn log_parts(key: &[u8]) -> Option<(TopicId, PartitionId, Offset)> {
    let (topic, rest) = key.split_first_chunk::<4>()?;
    let (partition, rest) = rest.split_first_chunk::<4>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    rest.is_empty().then_some((
        TopicId(u32::from_be_bytes(*topic)),
        PartitionId(u32::from_be_bytes(*partition)),
        Offset(u64::from_be_bytes(*offset)),
    ))
}

/// Two numbers as eight bytes.
pub(crate) fn pair(first: u32, second: u32) -> [u8; 8] {
    (u64::from(first) << 32 | u64::from(second)).to_be_bytes()
}

/// Room for the number of a cell at the front of a key; [`set_cell`] fills it.
pub(crate) const CELL: usize = 4;

/// Writes the number of a cell into the front of a key.
pub(crate) fn set_cell(key: &mut [u8], cell: u32) {
    if let Some(head) = key.first_chunk_mut::<CELL>() {
        *head = cell.to_be_bytes();
    }
}

/// Number of the cell a key belongs to.
pub(crate) fn cell(key: &[u8]) -> Option<u32> {
    key.first_chunk::<CELL>().map(|head| u32::from_be_bytes(*head))
}

/// Key in a cell, by a hash.
pub(crate) fn hashed(cell: u32, hash: u128) -> [u8; 20] {
    let mut key = [0; 20];
    let (head, tail) = key.split_at_mut(CELL);
    head.copy_from_slice(&cell.to_be_bytes());
    tail.copy_from_slice(&hash.to_be_bytes());
    key
}

/// Key of a state value in a cell: names of one key lie together, and keys by their bytes.
pub(crate) fn state(cell: u32, key: &[u8], name: &str) -> Vec<u8> {
    let mut out = state_prefix(cell, key);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(name.as_bytes());
    out
}

/// What all state keys of event keys that begin with `key` begin with. A zero byte of the key is
/// followed by 255, so that the two zeros after a key end it unmistakably.
pub(crate) fn state_prefix(cell: u32, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(CELL + key.len() + 32);
    out.extend_from_slice(&cell.to_be_bytes());
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out
}

/// The event key and the name in a state key.
pub(crate) fn state_parts(stored: &[u8]) -> Option<(Vec<u8>, &str)> {
    let mut rest = stored.get(CELL..)?;
    let mut key = Vec::with_capacity(rest.len());
    loop {
        let (byte, after) = rest.split_first()?;
        if *byte == 0 {
            let (mark, after) = after.split_first()?;
            if *mark == 0 {
                return Some((key, std::str::from_utf8(after).ok()?));
            }
            rest = after;
        } else {
            rest = after;
        }
        key.push(*byte);
    }
}

/// What of a parked event a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParkedPart {
    /// What never changes and the engine needs.
    Fixed = 0,
    /// What each attempt changes.
    Varying = 1,
    /// The bytes, read only to run it.
    Body = 2,
}

/// Key of a part of a parked event in a cell: parts apart, so that loading reads no bodies.
pub(crate) fn parked(cell: u32, part: ParkedPart, lane: KeyHash, sequence: u64) -> Vec<u8> {
    let mut out = parked_prefix(cell, part);
    out.extend_from_slice(&lane.0.to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out
}

/// What all keys of a part begin with.
pub(crate) fn parked_prefix(cell: u32, part: ParkedPart) -> Vec<u8> {
    let mut out = Vec::with_capacity(CELL + 25);
    out.extend_from_slice(&cell.to_be_bytes());
    out.push(match part {
        ParkedPart::Fixed => 0,
        ParkedPart::Varying => 1,
        ParkedPart::Body => 2,
    });
    out
}

/// Lane and sequence in the key of a part of a parked event.
pub(crate) fn parked_parts(stored: &[u8]) -> Option<(KeyHash, u64)> {
    let (lane, rest) = stored.get(CELL + 1..)?.split_first_chunk::<16>()?;
    let sequence = rest.first_chunk::<8>()?;
    Some((KeyHash(u128::from_be_bytes(*lane)), u64::from_be_bytes(*sequence)))
}

/// Key of the expiry of a state value.
pub(crate) fn expiry(at: u64, state: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + state.len());
    out.extend_from_slice(&at.to_be_bytes());
    out.extend_from_slice(state);
    out
}

/// Moment and state key in the key of an expiry.
pub(crate) fn expiry_parts(stored: &[u8]) -> Option<(u64, &[u8])> {
    let (at, state) = stored.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*at), state))
}

/// The smallest key above everything that begins with `prefix`; `None` when there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut out = prefix.to_vec();
    while let Some(last) = out.pop() {
        if last < u8::MAX {
            out.push(last + 1);
            return Some(out);
        }
    }
    None
}

/// Keys of the `meta` keyspace, by their first byte.
pub(crate) mod meta {
    use gristmill_engine::{PartitionId, TopicId};

    use super::pair;
    use crate::Scope;

    /// Number of the last checkpoint. Unlike any other key, so that it is found in a journal
    /// without knowing the keyspace's number.
    pub(crate) const CHECKPOINT: &[u8] = b"\0gristmill checkpoint";
    /// Next numbers of topics, subscriptions and cells.
    pub(crate) const COUNTERS: &[u8] = b"n";
    pub(crate) const TOPIC: u8 = b't';
    pub(crate) const CHUNK: u8 = b'k';
    pub(crate) const CLEANED: u8 = b'l';
    pub(crate) const SUBSCRIPTION: u8 = b's';
    pub(crate) const SCOPE: u8 = b'p';
    pub(crate) const MARKS: u8 = b'm';
    pub(crate) const DOCUMENT: u8 = b'd';

    fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut out = vec![tag];
        for part in parts {
            out.extend_from_slice(part);
        }
        out
    }

    pub(crate) fn topic(id: TopicId) -> Vec<u8> {
        tagged(TOPIC, &[&id.0.to_be_bytes()])
    }

    pub(crate) fn chunk(topic: TopicId, partition: PartitionId, base: u64) -> Vec<u8> {
        tagged(CHUNK, &[&pair(topic.0, partition.0), &base.to_be_bytes()])
    }

    pub(crate) fn cleaned(topic: TopicId, partition: PartitionId) -> Vec<u8> {
        tagged(CLEANED, &[&pair(topic.0, partition.0)])
    }

    pub(crate) fn subscription(name: &str) -> Vec<u8> {
        tagged(SUBSCRIPTION, &[name.as_bytes()])
    }

    pub(crate) fn scope(scope: Scope) -> Vec<u8> {
        tagged(SCOPE, &[&pair(scope.subscription.0, scope.partition.0)])
    }

    pub(crate) fn marks(cell: u32, first: u64) -> Vec<u8> {
        tagged(MARKS, &[&cell.to_be_bytes(), &first.to_be_bytes()])
    }

    pub(crate) fn document(name: &str) -> Vec<u8> {
        tagged(DOCUMENT, &[name.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use gristmill_engine::{Offset, PartitionId, TopicId};

    use super::{after_prefix, log, log_parts, state, state_parts, state_prefix};

    #[test]
    fn events_sort_by_topic_partition_offset() {
        let key = |t, p, o| log(TopicId(t), PartitionId(p), Offset(o));
        let sorted = [key(1, 0, 255), key(1, 0, 256), key(1, 1, 0), key(2, 0, 0), key(256, 0, 0)];
        assert!(sorted.is_sorted());
        let parts = log_parts(&key(3, 4, 5)).expect("parses");
        assert_eq!(parts, (TopicId(3), PartitionId(4), Offset(5)));
        assert_eq!(log_parts(&key(3, 4, 5)[..15]), None);
    }

    #[test]
    fn state_keys_come_back_whatever_their_bytes() {
        let keys: &[&[u8]] = &[b"", b"a", b"\0", b"\0\0", b"a\0b", b"\0\xff", b"\xff", b"a\0"];
        for key in keys {
            for name in ["", "n", "\0", "name"] {
                let stored = state(7, key, name);
                assert_eq!(state_parts(&stored), Some((key.to_vec(), name)), "{key:?} {name:?}");
                assert!(stored.starts_with(&state_prefix(7, key)));
            }
        }
    }

    #[test]
    fn state_keys_sort_as_their_keys_do() {
        let mut keys: Vec<Vec<u8>> = vec![
            vec![],
            vec![0],
            vec![0, 0],
            vec![0, 1],
            vec![0, 255],
            vec![1],
            vec![97],
            vec![97, 0],
            vec![97, 0, 1],
            vec![97, 1],
            vec![98],
            vec![255],
        ];
        keys.sort();
        let stored: Vec<Vec<u8>> = keys.iter().map(|key| state(1, key, "z")).collect();
        assert!(stored.is_sorted(), "{stored:?}");
    }

    #[test]
    fn the_key_after_a_prefix_is_above_all_of_it() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(&[1, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255, 255]), None);
        assert_eq!(after_prefix(&[]), None);
    }
}
