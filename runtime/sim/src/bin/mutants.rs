//! Plants every bug in turn and prints which promise it broke, how many seeds that took and who saw
//! it: alone on the panel, and first of all. The exit code is 1 when one was missed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is its output")]

use std::process::ExitCode;

use gristmill_sim::checkers::DETERMINISM;
use gristmill_sim::history;
use gristmill_sim::planted::{BUGS, Bug};
use gristmill_sim::world::Options;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seeds = match words.as_slice() {
        [] => Ok(10_000),
        [name, number] if name == "--seeds" => number.parse::<u64>(),
        [..] => {
            eprintln!("usage: mutants [--seeds N]");
            return ExitCode::from(2);
        }
    };
    let Ok(seeds) = seeds else {
        eprintln!("--seeds needs a number");
        return ExitCode::from(2);
    };
    println!("| bug | promise | seeds until it objects, alone | seeds until anyone does | who |");
    println!("|---|---|---|---|---|");
    let missed = BUGS.iter().filter(|bug| !tell(bug, seeds)).count();
    println!("\n{} bugs, {missed} missed in {seeds} seeds", BUGS.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the row of one bug. Whether it was caught.
fn tell(bug: &Bug, seeds: u64) -> bool {
    let alone = bug.caught(0..seeds);
    let (first, who) = anyone(bug, seeds);
    let said = |seed: Option<u64>| seed.map_or("–".to_owned(), |seed| (seed + 1).to_string());
    println!("| {:?} | {} | {} | {} | {who} |", bug.planted, bug.checker, said(alone), said(first));
    alone.is_some()
}

/// The first seed in which any checker objects, and which.
fn anyone(bug: &Bug, seeds: u64) -> (Option<u64>, &'static str) {
    let options = Options { planted: Some(bug.planted), ..Options::default() };
    for seed in 0..seeds {
        let failure = if bug.checker == DETERMINISM {
            history::run_twice(seed, options).map_err(|broken| broken.failure).err()
        } else {
            history::probe(seed, options).err()
        };
        if let Some(failure) = failure {
            return (Some(seed), failure.checker);
        }
    }
    (None, "–")
}
