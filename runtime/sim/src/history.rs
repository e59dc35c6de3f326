//! Runs histories and says how to run a failed one again. It never changes what a seed means.

use std::fmt::{self, Write as _};

use crate::checkers::{DETERMINISM, Failure};
use crate::script::Script;
use crate::shrink::{self, Shrunk};
use crate::world::{Options, Tally, World, brief};

/// Lines of the journal that a failure shows when nobody asks for more.
const JOURNAL: usize = 100;

/// A history that broke a promise.
#[derive(Debug, Clone)]
pub struct Broken {
    /// What to run to see it again.
    pub seed: u64,
    /// The promise.
    pub failure: Failure,
    /// The last inputs and effects, oldest first.
    pub journal: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tail = String::new();
        for line in &self.journal {
            writeln!(tail, "  {line}")?;
        }
        let (seed, failure) = (self.seed, &self.failure);
        let what = brief(&failure.what);
        write!(
            f,
            "SEED={seed} broke \"{}\": {}\nthe last inputs (<-) and effects (->):\n{tail}\
             to replay: cargo run -p gristmill-sim -- --seed {seed} --seeds 1 --shrink",
            failure.checker, what
        )
    }
}

impl std::error::Error for Broken {}

/// Runs the history of `seed` as `options` say.
///
/// # Errors
///
/// The first broken promise, with the end of the journal.
pub fn run(seed: u64, options: Options) -> Result<Tally, Box<Broken>> {
    match World::new(Script::new(seed), options).run() {
        Ok(tally) => Ok(tally),
        // Told again from the start, with a journal: what broke is in that.
        Err(_) => Err(Box::new(retell(seed, options))),
    }
}

/// Runs the history of `seed` twice and compares all effects.
///
/// # Errors
///
/// A broken promise, that of determinism included.
pub fn run_twice(seed: u64, options: Options) -> Result<Tally, Box<Broken>> {
    let options = Options { digest: true, ..options };
    let run = || World::new(Script::new(seed), options).run();
    let (Ok(one), Ok(two)) = (run(), run()) else { return Err(Box::new(retell(seed, options))) };
    if one == two {
        return Ok(one);
    }
    let what = format!("two runs differ: {one:?}, {two:?}");
    let failure = Failure { checker: DETERMINISM, what };
    Err(Box::new(Broken { seed, failure, journal: Vec::new() }))
}

/// Runs the history of `seed` as `options` say; what broke is told without a journal.
///
/// # Errors
///
/// The first broken promise.
pub fn probe(seed: u64, options: Options) -> Result<Tally, Failure> {
    World::new(Script::new(seed), options).run()
}

/// Makes the history of `seed` as small as it stays broken, and tells of that. None where it keeps
/// its promises.
#[must_use]
pub fn shrink(seed: u64, options: Options) -> Option<(Shrunk, Vec<String>)> {
    let script = Script::new(seed);
    let failure = World::new(script.clone(), options).run().err()?;
    let shrunk = shrink::shrink(script, options, failure);
    let options = Options { journal: options.journal.max(JOURNAL), ..options };
    let mut world = World::new(shrunk.script.clone(), options);
    // It is broken as it was the last time it was tried.
    drop(world.run());
    let journal = world.journal().map(str::to_owned).collect();
    Some((shrunk, journal))
}

/// Runs a broken history again to tell how it came to that.
fn retell(seed: u64, options: Options) -> Broken {
    let options = Options { journal: options.journal.max(JOURNAL), ..options };
    let mut world = World::new(Script::new(seed), options);
    let failure = world.run().err().unwrap_or_else(|| Failure {
        checker: DETERMINISM,
        what: "the history broke a promise, and did not when it was run again".to_owned(),
    });
    let journal = world.journal().map(str::to_owned).collect();
    Broken { seed, failure, journal }
}
