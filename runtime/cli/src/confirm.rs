//! Asks before what cannot be taken back, or is much at once. Without a terminal it does not
//! guess: an option has to say so.

use std::io::{self, IsTerminal};

use crate::output::Output;
use crate::problem::Problem;

/// Whether to go on: `yes` was given, or the operator says so.
pub(crate) fn confirmed(question: &str, yes: bool, output: &Output) -> Result<bool, Problem> {
    if yes {
        return Ok(true);
    }
    let answer = answer(question, "y/N", "give --yes if it is meant", output)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Which of two things the operator wants, by its word; `None` when the answer is neither. `hint`
/// names the options that say it without asking.
pub(crate) fn chosen<T>(
    question: &str,
    options: [(&str, T); 2],
    hint: &str,
    output: &Output,
) -> Result<Option<T>, Problem> {
    let words = options.iter().map(|(word, _)| *word).collect::<Vec<_>>().join("/");
    let answer = answer(question, &words, hint, output)?;
    Ok(options.into_iter().find(|(word, _)| *word == answer.trim()).map(|(_, meant)| meant))
}

fn answer(question: &str, words: &str, hint: &str, output: &Output) -> Result<String, Problem> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(
            Problem::usage("E0563", format!("{question} nobody is there to answer")).hint(hint)
        );
    }
    output.note(format!("{question} [{words}]"));
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Problem::environment("E0562", "read the answer").source(error))?;
    Ok(answer)
}
