//! Owns the engine's measures of time and size. It never reads a clock: moments come in from
//! the driver, which keeps them non-decreasing across restarts.

/// A moment: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The moment that never comes; a lane that waits for an operator is due then.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `delay` later, at most [`Instant::NEVER`].
    #[must_use]
    pub const fn after(self, delay: Millis) -> Self {
        Self(self.0.saturating_add(delay.0))
    }

    /// Time passed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// `seconds` as milliseconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// This span times `permille` thousandths, saturating.
    #[must_use]
    pub const fn permille(self, permille: u64) -> Self {
        // Division by a non-zero constant cannot fail; `checked_div` says so to the lint.
        match self.0.saturating_mul(permille).checked_div(1_000) {
            Some(scaled) => Self(scaled),
            None => Self(0),
        }
    }
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `mebibytes` as bytes.
    #[must_use]
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes.saturating_mul(1_048_576))
    }

    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}
