//! Makes numbers that look random and repeat with their seed. It knows no entropy but the one
//! asked for by name.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::RangeInclusive;

/// `SplitMix64`: tiny, and good enough to choose inputs and moments
/// (source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed that nobody chose.
    pub fn seed() -> u64 {
        RandomState::new().build_hasher().finish()
    }

    /// A generator of its own for one part of a program, told apart by `number`.
    #[must_use]
    pub fn fork(&self, number: u64) -> Self {
        let mut forked = Self(self.0 ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        forked.number();
        forked
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `range`.
    ///
    /// # Panics
    ///
    /// When the range is empty or that of all numbers.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (from, to) = range.into_inner();
        from + self.number() % (to - from + 1)
    }

    /// True `share` times in a thousand.
    pub fn per_mille(&mut self, share: u64) -> bool {
        self.within(0..=999) < share
    }
}
