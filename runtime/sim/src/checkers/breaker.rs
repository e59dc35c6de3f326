//! Checks that breakers open when they must and only when they may, that nothing is attempted
//! while they are open, how many attempts find out, and that records fall back only meanwhile.

use super::circuits::Circuits;
use super::{Checker, Fact, Scene};

/// Watches breakers.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    circuits: Circuits,
}

impl Checker for Breaker {
    fn name(&self) -> &'static str {
        "breaker"
    }

    fn see(&mut self, fact: Fact<'_>, scene: Scene<'_>) -> Result<(), String> {
        self.circuits.follow(fact, scene)
    }
}
