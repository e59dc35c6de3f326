//! Runs seeded histories until one breaks a promise or all are done. It never decides what a
//! promise is; the exit code is 0 when all were kept, 1 when one was broken, 2 for a bad call.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is its output")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gristmill_sim::history::{self, Broken};
use gristmill_sim::world::{Options, Tally};

const USAGE: &str = "usage: sim [--seeds N] [--seed FIRST] [--journal N] [--keep-going]
  --seeds N      histories to run, default 1000
  --seed FIRST   seed of the first, default 0; the others follow it
  --journal N    lines a failure shows of what led to it, default 100
  --keep-going   count what breaks instead of stopping at the first";

/// What to run.
struct Call {
    first: u64,
    count: u64,
    journal: usize,
    keep_going: bool,
}

fn main() -> ExitCode {
    let call = match parse(std::env::args().skip(1)) {
        Ok(call) => call,
        Err(what) => {
            eprintln!("{what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if call.keep_going {
        return survey(&call);
    }
    match run(&call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            eprintln!("{broken}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Call, String> {
    let mut call = Call { first: 0, count: 1_000, journal: 0, keep_going: false };
    while let Some(word) = words.next() {
        if word == "--keep-going" {
            call.keep_going = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
        let Ok(number) = value.parse::<u64>() else {
            return Err(format!("{word} needs a number, not \"{value}\""));
        };
        match word.as_str() {
            "--seed" => call.first = number,
            "--seeds" => call.count = number,
            "--journal" => call.journal = usize::try_from(number).unwrap_or(usize::MAX),
            _ => return Err(format!("unknown argument \"{word}\"")),
        }
    }
    Ok(call)
}

/// Runs all histories and counts what broke, with one seed of each promise.
fn survey(call: &Call) -> ExitCode {
    let mut broken: BTreeMap<&str, (u64, u64, String)> = BTreeMap::new();
    for done in 0..call.count {
        let seed = call.first.wrapping_add(done);
        if let Err(failure) = history::probe(seed, Options::default()) {
            let entry = broken.entry(failure.checker).or_insert((0, seed, failure.what));
            entry.0 += 1;
        }
    }
    for (checker, (times, seed, what)) in &broken {
        println!(
            "\"{checker}\" broken by {times} of {} seeds, first SEED={seed}: {what}",
            call.count
        );
    }
    println!("{} promises broken in {} seeds", broken.len(), call.count);
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(call: &Call) -> Result<(), Box<Broken>> {
    let Call { first, count, journal, .. } = *call;
    let options = Options { journal, ..Options::default() };
    let begun = Instant::now();
    let mut told = begun;
    let mut sum = Tally::default();
    for done in 0..count {
        // One in a hundred runs twice: the same seed gives the same effects.
        let seed = first.wrapping_add(done);
        let tally = if done % 100 == 0 {
            history::run_twice(seed, options)?
        } else {
            history::run(seed, Options::default()).or_else(|_| history::run(seed, options))?
        };
        sum += tally;
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            println!("{} of {count} seeds, {}", done + 1, rate(done + 1, &sum, begun.elapsed()));
        }
    }
    println!(
        "all promises kept: {count} seeds from {first}, {}",
        rate(count, &sum, begun.elapsed())
    );
    println!("in clusters: {:?}", sum.net);
    Ok(())
}

fn rate(seeds: u64, sum: &Tally, elapsed: Duration) -> String {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    format!(
        "{} seeds/s, {} steps, {} effects, {} checkpoints, {} crashes",
        seeds * 1_000 / millis,
        sum.steps,
        sum.effects,
        sum.checkpoints,
        sum.crashes
    )
}
