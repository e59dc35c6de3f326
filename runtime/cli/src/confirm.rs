//! Asks before what cannot be taken back, or is much at once. Without a terminal it does not
//! guess: `--yes` has to say so.

use std::io::{self, IsTerminal};

use crate::output::Output;
use crate::problem::Problem;

/// Whether to go on: `yes` was given, or the operator says so.
pub(crate) fn confirmed(question: &str, yes: bool, output: &Output) -> Result<bool, Problem> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Problem::usage("E0563", format!("{question} nobody is there to answer"))
            .hint("give --yes if it is meant"));
    }
    output.note(format!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Problem::environment("E0562", "read the answer").source(error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
