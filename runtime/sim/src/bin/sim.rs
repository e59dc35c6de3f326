//! Runs seeded histories until one breaks a promise or all are done. It never decides what a
//! promise is; the exit code is 0 when all were kept, 1 when one was broken, 2 for a bad call.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is its output")]

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gristmill_sim::history::{self, Broken};
use gristmill_sim::shrink::Shrunk;
use gristmill_sim::world::{Options, Tally};

const USAGE: &str = "usage: sim [--seeds N] [--seed FIRST] [--journal N] [--shrink] [--keep-going]
  --seeds N      histories to run, default 1000
  --seed FIRST   seed of the first, default 0; the others follow it
  --journal N    lines a failure shows of what led to it, default 100
  --shrink       make a history that breaks a promise as small as it stays broken
  --keep-going   count what breaks instead of stopping at the first";

/// Pause between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);
/// Looks between two lines where there is no terminal.
const LOOKS: u32 = 100;

/// What to run.
struct Call {
    first: u64,
    count: u64,
    journal: usize,
    shrink: bool,
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
    let run = Run::new(&call);
    run.all();
    run.tell()
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Call, String> {
    let mut call = Call { first: 0, count: 1_000, journal: 0, shrink: false, keep_going: false };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--keep-going" => call.keep_going = true,
            "--shrink" => call.shrink = true,
            "--seed" | "--seeds" | "--journal" => {
                let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
                let Ok(number) = value.parse::<u64>() else {
                    return Err(format!("{word} needs a number, not \"{value}\""));
                };
                match word.as_str() {
                    "--seed" => call.first = number,
                    "--seeds" => call.count = number,
                    _ => call.journal = usize::try_from(number).unwrap_or(usize::MAX),
                }
            }
            _ => return Err(format!("unknown argument \"{word}\"")),
        }
    }
    Ok(call)
}

/// Histories on all processors.
struct Run<'a> {
    call: &'a Call,
    begun: Instant,
    next: AtomicU64,
    done: AtomicU64,
    is_over: AtomicBool,
    sum: Mutex<Tally>,
    broken: Mutex<BTreeMap<u64, Box<Broken>>>,
}

impl<'a> Run<'a> {
    fn new(call: &'a Call) -> Self {
        Self {
            call,
            begun: Instant::now(),
            next: AtomicU64::new(0),
            done: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            sum: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    fn all(&self) {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work())).collect();
            let mut looks = 0;
            while workers.iter().any(|worker| !worker.is_finished()) {
                thread::park_timeout(LOOK);
                looks += 1;
                self.show(looks);
            }
        });
    }

    /// Runs one history after the other.
    fn work(&self) {
        let mut sum = Tally::default();
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.call.count {
                break;
            }
            match self.one(number) {
                Ok(tally) => sum += tally,
                Err(broken) => {
                    self.is_over.store(!self.call.keep_going, Ordering::Relaxed);
                    if let Ok(mut all) = self.broken.lock() {
                        all.insert(broken.seed, broken);
                    }
                }
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        if let Ok(mut all) = self.sum.lock() {
            *all += sum;
        }
    }

    fn one(&self, number: u64) -> Result<Tally, Box<Broken>> {
        let options = Options { journal: self.call.journal, ..Options::default() };
        let seed = self.call.first.wrapping_add(number);
        // One in a hundred runs twice: the same seed gives the same effects.
        if number.is_multiple_of(100) {
            return history::run_twice(seed, options);
        }
        history::run(seed, Options::default()).or_else(|_| history::run(seed, options))
    }

    /// Shows how far it is: as a bar on a terminal, else as a line now and then.
    fn show(&self, looks: u32) {
        let (done, count) = (self.done.load(Ordering::Relaxed), self.call.count);
        let line = format!("{} {done} of {count} seeds, {}/s", bar(done, count), self.rate());
        if std::io::stdout().is_terminal() {
            print!("\r{line} ");
            // A terminal that is gone needs no bar.
            drop(std::io::stdout().flush());
        } else if looks.is_multiple_of(LOOKS) {
            println!("{line}");
        }
    }

    fn rate(&self) -> u64 {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.done.load(Ordering::Relaxed).saturating_mul(1_000) / millis
    }

    fn tell(&self) -> ExitCode {
        let (Ok(sum), Ok(broken)) = (self.sum.lock(), self.broken.lock()) else {
            return ExitCode::FAILURE;
        };
        let Call { first, count, shrink, keep_going, .. } = *self.call;
        if std::io::stdout().is_terminal() {
            println!();
        }
        if let Some((seed, first)) = broken.first_key_value() {
            if keep_going {
                survey(&broken, count);
                return ExitCode::FAILURE;
            }
            eprintln!("{first}");
            if shrink {
                let options = Options { journal: self.call.journal, ..Options::default() };
                if let Some((shrunk, journal)) = history::shrink(*seed, options) {
                    tell_shrunk(&shrunk, &journal);
                }
            }
            return ExitCode::FAILURE;
        }
        println!("all promises kept: {count} seeds from {first}, {} seeds/s", self.rate());
        println!(
            "{} steps, {} effects, {} checkpoints, {} crashes",
            sum.steps, sum.effects, sum.checkpoints, sum.crashes
        );
        let real = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        println!(
            "{} s of the worlds' time, {} times real time",
            sum.millis / 1_000,
            sum.millis / real
        );
        println!("in clusters: {:?}", sum.net);
        ExitCode::SUCCESS
    }
}

/// Tells which promises were broken how often, with the first seed of each.
fn survey(broken: &BTreeMap<u64, Box<Broken>>, count: u64) {
    let mut by_promise: BTreeMap<&str, (u64, &Broken)> = BTreeMap::new();
    for broken in broken.values() {
        by_promise.entry(broken.failure.checker).or_insert((0, broken)).0 += 1;
    }
    for (checker, (times, Broken { seed, failure, .. })) in &by_promise {
        let what = &failure.what;
        println!("\"{checker}\" broken by {times} of {count} seeds, first SEED={seed}: {what}");
    }
}

fn tell_shrunk(shrunk: &Shrunk, journal: &[String]) {
    let [(faults, records), (faults_left, records_left)] = shrunk.sizes;
    eprintln!(
        "shrunk from {faults} faults and {records} records to {faults_left} and {records_left}: {}",
        shrunk.failure.what
    );
    for line in journal {
        eprintln!("  {line}");
    }
}

/// `[#####...............] 27 %`
fn bar(done: u64, all: u64) -> String {
    let share = |parts: u64| done.saturating_mul(parts).checked_div(all).unwrap_or(parts);
    let cells: String = (0..20).map(|cell| if cell < share(20) { '#' } else { '.' }).collect();
    format!("[{cells}] {:>3} %", share(100))
}
