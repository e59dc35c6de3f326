//! Owns the randomness a guest sees: the same at every attempt of one event. It is no source of
//! secrets, and says so.

use sha2::{Digest, Sha256};

use crate::attempt::Seed;

/// Bytes of randomness grown from an event's identity and position, by SHA-256 over a counter.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Random {
    pub(crate) fn new(seed: Seed<'_>) -> Self {
        let hasher = seed.hashed(b"gristmill random 1");
        Self { seed: hasher.finalize().into(), counter: 0, block: [0; 32], used: 32 }
    }

    /// The next `length` bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }

    /// The next eight bytes as a number.
    pub(crate) fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        bytes.fill_with(|| self.byte());
        u64::from_le_bytes(bytes)
    }

    fn byte(&mut self) -> u8 {
        if self.used == self.block.len() {
            let mut hasher = Sha256::new();
            hasher.update(self.seed);
            hasher.update(self.counter.to_le_bytes());
            self.block = hasher.finalize().into();
            self.counter += 1;
            self.used = 0;
        }
        let byte = self.block.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::Random;
    use crate::attempt::Seed;

    fn draws(id: &str, place: &str, position: u64) -> Vec<u8> {
        Random::new(Seed { id, place, partition: 0, position }).bytes(100)
    }

    #[test]
    fn one_event_always_draws_the_same_and_no_two_events_do() {
        let first = draws("ab", "c", 1);
        assert_eq!(first, draws("ab", "c", 1));
        for other in [draws("a", "bc", 1), draws("ab", "c", 2), draws("ab", "d", 1)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn numbers_and_bytes_come_from_one_stream() {
        let seed = Seed { id: "e", place: "t", partition: 3, position: 4 };
        let (mut bytes, mut numbers) = (Random::new(seed), Random::new(seed));
        for _ in 0..20 {
            assert_eq!(bytes.bytes(8), numbers.number().to_le_bytes());
        }
    }
}
