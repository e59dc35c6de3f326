//! Owns the form of a registry's records: what their keys mean. Decides not who was first.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::record::Record;

/// Bytes of the random part that ends a key.
const RANDOM: usize = 16;

/// What a record registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// That a text has a number: the record's offset.
    Number,
    /// That a name has a value: the record's.
    Document,
}

/// A record of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) value: Bytes,
}

impl Entry {
    pub(super) fn new(kind: Kind, name: &str, value: Bytes) -> Self {
        Self { kind, name: name.to_owned(), value }
    }

    /// A key that no other record has: the kind, the name, 16 random bytes.
    pub(super) fn key(&self) -> Bytes {
        let mut key = BytesMut::new();
        key.put_u8(self.kind.letter());
        key.put_slice(self.name.as_bytes());
        key.put_slice(Uuid::new_v4().as_bytes());
        key.freeze()
    }

    /// What a record registers; `None` when it is none of ours, which is left alone.
    pub(super) fn of(record: Record) -> Option<Self> {
        let key = record.key?;
        let (letter, rest) = key.split_first()?;
        let name = rest.get(..rest.len().checked_sub(RANDOM)?)?;
        Some(Self {
            kind: Kind::of(*letter)?,
            name: std::str::from_utf8(name).ok()?.to_owned(),
            value: record.payload?,
        })
    }
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::Number => b'n',
            Self::Document => b'd',
        }
    }

    fn of(letter: u8) -> Option<Self> {
        match letter {
            b'n' => Some(Self::Number),
            b'd' => Some(Self::Document),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_engine::Offset;

    use super::*;

    fn record(key: Option<Bytes>, payload: Option<Bytes>) -> Record {
        Record { offset: Offset(0), timestamp_ms: 0, key, headers: Vec::new(), payload }
    }

    #[test]
    fn entries_come_back_and_their_keys_never_do() {
        for name in ["", "orders", "a\0b", "ü"] {
            for kind in [Kind::Number, Kind::Document] {
                let entry = Entry::new(kind, name, Bytes::from_static(b"value"));
                let (one, other) = (entry.key(), entry.key());
                assert_ne!(one, other);
                let value = Some(entry.value.clone());
                assert_eq!(Entry::of(record(Some(one), value)), Some(entry));
            }
        }
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let value = || Some(Bytes::new());
        let short = Bytes::from_static(b"n0123456789");
        let other = Bytes::from_static(b"x0123456789abcdef0");
        let torn = Bytes::from_static(b"n\xff0123456789abcdef");
        let whole = Bytes::from_static(b"n0123456789abcdef");
        let rows = [(None, value()), (Some(short), value()), (Some(other), value())];
        for (key, value) in rows.into_iter().chain([(Some(torn), value()), (Some(whole), None)]) {
            assert_eq!(Entry::of(record(key, value)), None);
        }
    }
}
