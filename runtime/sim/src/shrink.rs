//! Makes a history that broke a promise as small as it stays broken: with fewer faults and records,
//! and less that goes wrong by chance. It never takes one broken promise for another.

use crate::checkers::Failure;
use crate::script::{Network, Rates, Script};
use crate::world::{Options, World};

/// Histories that are tried at most.
const TRIES_MAX: u32 = 600;

/// What is left of a history.
#[derive(Debug)]
pub struct Shrunk {
    /// What it is about now.
    pub script: Script,
    /// How it breaks.
    pub failure: Failure,
    /// Faults and records before, and now.
    pub sizes: [(usize, usize); 2],
}

/// Takes away from `script`, which breaks the promise of `failure`, what is not needed for that.
#[must_use]
pub fn shrink(script: Script, options: Options, failure: Failure) -> Shrunk {
    let options = Options { journal: 0, digest: false, ..options };
    let before = (script.faults.len(), script.arrivals.len());
    let mut shrinking = Shrinking { script, options, failure, tries: 0 };
    shrinking.calm();
    // What could not go at first may go once other things are gone.
    loop {
        let size = shrinking.size();
        shrinking.thin(|script| &mut script.faults);
        shrinking.thin(|script| &mut script.arrivals);
        if shrinking.size() == size || shrinking.tries >= TRIES_MAX {
            break;
        }
    }
    let after = (shrinking.script.faults.len(), shrinking.script.arrivals.len());
    let Shrinking { script, failure, .. } = shrinking;
    Shrunk { script, failure, sizes: [before, after] }
}

struct Shrinking {
    script: Script,
    options: Options,
    failure: Failure,
    tries: u32,
}

impl Shrinking {
    fn size(&self) -> usize {
        self.script.faults.len() + self.script.arrivals.len()
    }

    /// Keeps a smaller script that is still broken.
    fn attempt(&mut self, script: Script) -> bool {
        if self.tries >= TRIES_MAX {
            return false;
        }
        self.tries += 1;
        let Err(failure) = World::new(script.clone(), self.options).run() else { return false };
        if failure.checker != self.failure.checker {
            return false;
        }
        (self.script, self.failure) = (script, failure);
        true
    }

    /// Has less go wrong by chance.
    fn calm(&mut self) {
        let none =
            Rates { crash_per_step: 0, abort: 0, crash_after_commit: 0, crash_before_commit: 0 };
        let quiet = Network { lost: 0, late: 0 };
        let (rates, network) = (self.script.rates, self.script.network);
        for (rates, network) in [
            (none, quiet),
            (none, Network { late: network.late, ..quiet }),
            (none, Network { lost: network.lost, ..quiet }),
            (none, network),
            (Rates { crash_per_step: 0, ..rates }, network),
        ] {
            if self.attempt(Script { rates, network, ..self.script.clone() }) {
                return;
            }
        }
    }

    /// Takes out parts of a list, halves first, then smaller ones.
    fn thin<T: Clone>(&mut self, list: impl Fn(&mut Script) -> &mut Vec<T>) {
        let mut span = list(&mut self.script).len().div_ceil(2);
        while span > 0 {
            let mut from = 0;
            while from < list(&mut self.script).len() {
                let mut script = self.script.clone();
                let items = list(&mut script);
                let to = items.len().min(from + span);
                items.drain(from..to);
                if !self.attempt(script) {
                    from += span;
                }
            }
            span = if span == 1 { 0 } else { span.div_ceil(2) };
        }
    }
}
