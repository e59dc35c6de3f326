//! Lists the planted bugs, each with the promise it breaks and how soon that must be seen.

use super::Planted;
use crate::checkers::DETERMINISM;
use crate::history;
use crate::world::Options;

/// A planted bug, and what must come of it.
#[derive(Debug, Clone, Copy)]
pub struct Bug {
    /// Which.
    pub planted: Planted,
    /// The checker that must object, alone on the panel.
    pub checker: &'static str,
    /// Seeds within which it must.
    pub seeds: u64,
}

/// All of them.
pub const BUGS: &[Bug] = &[
    bug(Planted::RecordSwallowed, "loss", 50),
    bug(Planted::SuccessSwallowed, "loss", 50),
    bug(Planted::ResetSwallowed, "loss", 100),
    bug(Planted::RangesDropped, "once", 100),
    bug(Planted::CheckpointTorn, "once", 100),
    bug(Planted::ProgressAhead, "progress", 20),
    bug(Planted::ProgressBack, "progress", 50),
    bug(Planted::RewindSkipped, "progress", 100),
    bug(Planted::LaneSplit, "order", 20),
    bug(Planted::ParkedReversed, "parking", 100),
    bug(Planted::ParkedOvertaken, "parking", 100),
    bug(Planted::AttemptTooMany, "attempts", 20),
    bug(Planted::CounterReset, "attempts", 20),
    bug(Planted::AttemptsForgotten, "attempts", 20),
    bug(Planted::ConcurrencyRaised, "concurrency", 20),
    bug(Planted::BreakerMissing, "breaker", 50),
    bug(Planted::FallbackEarly, "breaker", 50),
    bug(Planted::GuardMissing, "guard", 50),
    bug(Planted::PaceMissing, "pace", 50),
    bug(Planted::PauseIgnored, "pause", 50),
    bug(Planted::SuccessDead, "dead letters", 20),
    bug(Planted::DeadLetterInflated, "dead letters", 20),
    bug(Planted::MarkUnseen, "dedupe", 50),
    bug(Planted::MarkEarly, "dedupe", 50),
    bug(Planted::ForwardedTwice, "forwarding", 20),
    bug(Planted::TimerEarly, "timers", 20),
    bug(Planted::CancelIgnored, "timers", 50),
    bug(Planted::TimerKept, "timers", 20),
    bug(Planted::HoldIgnored, "backlog", 300),
    bug(Planted::LateEndsBare, "backlog", 300),
    bug(Planted::UpgradeEarly, "upgrade", 100),
    bug(Planted::StaleAccepted, "generations", 100),
    bug(Planted::AbortKept, "state", 50),
    bug(Planted::StateTwice, "state", 20),
    bug(Planted::ReleaseEarly, "bytes", 20),
    bug(Planted::ReleaseForgotten, "bytes", 20),
    bug(Planted::ResumeForgotten, "drains", 20),
    bug(Planted::EndSwallowed, "drains", 20),
    bug(Planted::Unseeded, DETERMINISM, 50),
    bug(Planted::SharedId, "identity", 300),
    bug(Planted::BufferedEarly, "state", 300),
    bug(Planted::UncertainKept, "progress", 300),
    bug(Planted::WritesUnawaited, "restore", 300),
    bug(Planted::CommitAssumed, "state", 300),
    bug(Planted::OffsetsMissing, "offsets", 300),
    bug(Planted::OffsetsAhead, "offsets", 300),
    bug(Planted::HeldUnasked, "fencing", 4_000),
    bug(Planted::FenceSkipped, "fencing", 2_000),
    bug(Planted::FailedReused, "loss", 600),
    bug(Planted::AmbiguityIgnored, "state", 300),
    bug(Planted::OthersBlamed, "output", 300),
    bug(Planted::BlameForgotten, "drains", 300),
    bug(Planted::OffsetsUnstable, "restore", 300),
    bug(Planted::RestoreUnsettled, "restore", 600),
    bug(Planted::TakeoverEarly, "fencing", 600),
    bug(Planted::CacheTrusted, "restore", 300),
    bug(Planted::StandingAhead, "restore", 300),
    bug(Planted::UncommittedRead, "restore", 300),
    bug(Planted::DeletionsUnread, "restore", 300),
    bug(Planted::CacheForgotten, "changelog", 300),
];

const fn bug(planted: Planted, checker: &'static str, seeds: u64) -> Bug {
    Bug { planted, checker, seeds }
}

impl Bug {
    /// The first of these seeds in which the checker objects to the bug, and not to its absence: a
    /// checker that objects anyway proves nothing.
    #[must_use]
    pub fn caught(&self, mut seeds: std::ops::Range<u64>) -> Option<u64> {
        seeds.find(|seed| self.is_seen(Some(self.planted), *seed) && !self.is_seen(None, *seed))
    }

    fn is_seen(&self, planted: Option<Planted>, seed: u64) -> bool {
        let options = Options { planted, only: Some(self.checker), ..Options::default() };
        if self.checker == DETERMINISM {
            let options = Options { only: None, ..options };
            let broken = history::run_twice(seed, options);
            return broken.is_err_and(|broken| broken.failure.checker == self.checker);
        }
        history::probe(seed, options).is_err_and(|failure| failure.checker == self.checker)
    }
}
