//! Owns the one keyed hash by which engine and store know keys, ids and timers. It never keeps
//! what it hashed.

use std::fmt;

use gristmill_engine::{IdHash, KeyHash, TimerHash};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// SipHash-2-4 of 128 bits under the host's secret.
///
/// Keyed, because keys come from outside: without the secret nobody can choose two keys that
/// share a lane or two ids that pass for one. The secret lasts as long as the data directory;
/// hashes under another secret mean nothing.
#[derive(Clone)]
pub(crate) struct Hasher128 {
    secret: [u8; 16],
}

impl fmt::Debug for Hasher128 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hasher128(secret withheld)")
    }
}

impl Hasher128 {
    /// A hasher under `secret`.
    pub(crate) fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }

    /// Hash of a record key.
    pub(crate) fn key(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.hash(b'k', &[key]))
    }

    /// Hash of a business id; `source` is empty where the id alone identifies the event.
    pub(crate) fn id(&self, source: &str, id: &str) -> IdHash {
        IdHash(self.hash(b'i', &[source.as_bytes(), id.as_bytes()]))
    }

    /// Hash of a timer: its lane's key and its name.
    pub(crate) fn timer(&self, key: &[u8], name: &str) -> TimerHash {
        TimerHash(self.hash(b't', &[key, name.as_bytes()]))
    }

    /// Who relays an outbox: all hosts that share this secret, and no others.
    pub(crate) fn relay(&self, outbox: &str) -> u128 {
        self.hash(b'o', &[outbox.as_bytes()])
    }

    /// Whose hashes are in a snapshot: hosts that share this secret, and no others.
    pub(crate) fn snapshots(&self) -> u128 {
        self.hash(b's', &[])
    }

    /// The trace of an event that brings none: the same for all that read it.
    pub(crate) fn trace(&self, topic: &str, partition: u32, offset: u64) -> u128 {
        let (partition, offset) = (partition.to_le_bytes(), offset.to_le_bytes());
        self.hash(b'r', &[topic.as_bytes(), &partition, &offset])
    }

    /// Lengths go in with the parts, so that moving a byte from one part to the next changes the
    /// hash; `kind` keeps equal bytes in different roles apart.
    fn hash(&self, kind: u8, parts: &[&[u8]]) -> u128 {
        use std::hash::Hasher as _;
        let mut state = SipHasher24::new_with_key(&self.secret);
        state.write(&[kind]);
        for part in parts {
            state.write(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            state.write(part);
        }
        state.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_secret_role_and_boundary() {
        let hasher = Hasher128::new([7; 16]);
        assert_eq!(hasher.key(b"seat-1"), hasher.clone().key(b"seat-1"));
        assert_ne!(hasher.key(b"seat-1"), Hasher128::new([8; 16]).key(b"seat-1"));
        assert_ne!(hasher.id("a", "bc"), hasher.id("ab", "c"));
        assert_ne!(hasher.id("", "abc"), hasher.id("abc", ""));
        assert_ne!(hasher.id("a", "b").0, hasher.timer(b"a", "b").0);
        assert_ne!(hasher.key(b"").0, hasher.id("", "").0);
    }

    #[test]
    fn stays_what_it_was_since_hashes_are_on_disk() {
        let hasher = Hasher128::new(*b"0123456789abcdef");
        assert_eq!(hasher.key(b"seat-1").0, 117_527_495_656_049_327_285_829_063_170_950_319_544);
    }

    #[test]
    fn withholds_its_secret() {
        assert!(!format!("{:?}", Hasher128::new([42; 16])).contains("42"));
    }
}
