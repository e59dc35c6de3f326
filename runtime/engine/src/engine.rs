//! Owns the state of one worker and dispatches each input to the module that decides about it.
//! It never does anything itself: what must be done is appended as effects.

use alloc::vec::Vec;

use crate::{Effect, Figures, Input, Instant, SubscriptionId, Violation, WorkerPolicy};

/// The state machine of one worker.
#[derive(Debug, Clone)]
pub struct Engine {
    policy: WorkerPolicy,
    seed: u64,
}

impl Engine {
    /// An engine without subscriptions. `seed` feeds the jitter of retries and nothing else:
    /// the same seed and inputs give the same effects.
    pub fn new(policy: WorkerPolicy, seed: u64) -> Self {
        Self { policy, seed }
    }

    /// Takes one input at time `now` and appends what must be done to `effects`, in order.
    /// `now` never decreases from call to call.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the input breaks the protocol. The engine must not be used afterwards:
    /// stop the process and recover from the last checkpoint.
    pub fn step(
        &mut self,
        now: Instant,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Violation> {
        drop(input);
        let _ = (&self.policy, self.seed, now, effects);
        Ok(())
    }

    /// When the engine next wants [`Input::Deadline`], if ever. It may lie in the past: then at
    /// once.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// What is held for `subscription` now; all zero for an unknown one.
    pub fn figures(&self, subscription: SubscriptionId) -> Figures {
        let _ = subscription;
        Figures::default()
    }

    /// Whether nothing is running, ready, staged or committing. Events that wait for their next
    /// attempt, timers that are not due and paused lanes do not count.
    pub fn is_idle(&self) -> bool {
        true
    }

    /// Timers set for `subscription`, as far as staged. Costs O(1).
    pub fn timer_count(&self, subscription: SubscriptionId) -> u64 {
        let _ = subscription;
        0
    }
}
