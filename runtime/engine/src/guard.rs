//! Decides when so many events become dead letters that somebody should look first. It never
//! decides that one does.

use crate::share::Share;
use crate::worker::Scope;
use crate::{GuardPolicy, Instant, Observation, Terminal};

/// Outcomes of the last while.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    share: Share,
}

impl Guard {
    /// Counts an outcome. Whether dead letters are too many.
    fn note(&mut self, now: Instant, policy: &GuardPolicy, outcome: &Terminal) -> bool {
        let is_dead = match outcome {
            Terminal::Succeeded { .. } => false,
            Terminal::DeadLettered { .. } => true,
            // No handler had a say.
            Terminal::Duplicate
            | Terminal::Filtered
            | Terminal::Forwarded
            | Terminal::FellBack
            | Terminal::Discarded { .. } => return false,
        };
        self.share.add(now, policy.span, is_dead);
        is_dead && self.share.has_passed(policy.events_min, policy.dead_permille)
    }
}

impl Scope<'_> {
    /// Whether an outcome makes dead letters too many. While it is paused nothing counts.
    pub(crate) fn are_too_many_dead(&mut self, outcome: &Terminal) -> bool {
        let Some(policy) = self.desk.policy.guard.filter(|_| !self.desk.is_paused) else {
            return false;
        };
        self.desk.guard.note(self.now, &policy, outcome)
    }

    /// Pauses the subscription. Whoever resumes it has looked, so it counts anew.
    pub(crate) fn pause_for_dead(&mut self) {
        self.desk.guard = Guard::default();
        self.desk.is_paused = true;
        self.observe(Observation::TooManyDead { subscription: self.desk.id });
    }
}

#[cfg(test)]
mod tests;
