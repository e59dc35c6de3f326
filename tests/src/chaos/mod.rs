//! Disturbs running hosts and counts every event: kills while checkpoints are on their way, swaps
//! of the plugin while events flow. A run is right when the checker finds nothing.

pub mod check;
pub mod complaints;
pub mod disk;
pub mod input;
pub mod kafka;
pub mod kill;
pub mod producer;
pub mod reading;
pub mod report;
pub mod stage;
pub mod steps;
pub mod swap;
pub mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use self::check::History;
use self::complaints::Expected;
use self::input::Event;
use self::producer::Pace;
use self::report::{Asked, Done, Report};
use self::world::World;
use crate::support::client::Client;
use crate::support::home::Process;
use crate::support::random::Random;

/// What to do to a host.
#[derive(Debug, Clone)]
pub struct Options {
    /// The host's binary.
    pub binary: PathBuf,
    /// Events to publish at least, per scenario.
    pub events: u64,
    /// Kills that must count; 0 leaves the scenario out.
    pub kills: u64,
    /// Versions that must come into use; 0 leaves the scenario out.
    pub swaps: u64,
    /// Commits of which nobody knows what became of them; 0 leaves the scenario out.
    pub wire: u64,
    /// Changes of who is in the groups of hosts on Kafka; 0 leaves the scenario out.
    pub storm: u64,
    /// Deaths of brokers; 0 leaves the scenario out.
    pub brokers: u64,
    /// Calls that write or sync and must fail; 0 leaves the scenario out.
    pub disk: u64,
    /// Seed of input and plan.
    pub seed: u64,
}

/// Called now and then with the scenario, what was reached of what is wanted, and the events.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64, u64, u64);

/// Kills hosts while events flow, then reads what they left.
///
/// # Errors
///
/// When a host fails in a way that nobody asked for. What is wrong with events is in the report.
pub fn kills(options: &Options, progress: Progress<'_>) -> Result<Report> {
    run("kills", options, &[], |world, random, pace| {
        let wanted = options.kills;
        pace.allow(options.events / (wanted + 1));
        let plan = (random.fork(100), pace);
        let kills = kill::kill(world, wanted, plan, |kills| {
            let counted = kills.counted();
            pace.allow(options.events.saturating_mul(counted + 1) / (wanted + 1));
            progress("kills", counted, wanted, pace.count().published);
        })?;
        let mut process = world.home.start(&[])?;
        let client = process.must_be_ready()?;
        pace.connect(0, Some(client.clone()));
        pace.allow(options.events);
        finish(process, &client, pace)?;
        Ok(Done { kills, ..Done::default() })
    })
}

/// Swaps the plugin of a host while events flow, then reads what it left.
///
/// # Errors
///
/// When the host fails or refuses a version. What is wrong with events is in the report.
pub fn swaps(options: &Options, progress: Progress<'_>) -> Result<Report> {
    run("swaps", options, &[], |world, _, pace| {
        let wanted = options.swaps;
        let mut process = world.home.start(&[])?;
        let client = process.must_be_ready()?;
        pace.connect(0, Some(client.clone()));
        swap::swap((world, &client), wanted, options.events, pace, |number| {
            progress("swaps", number, wanted, pace.count().published);
        })?;
        finish(process, &client, pace)?;
        Ok(Done { swaps: wanted, ..Done::default() })
    })
}

/// Runs one scenario on a host of its own, of which it is expected that it complains of so much. A
/// host that failed leaves its folder behind.
fn run(
    scenario: &'static str,
    options: &Options,
    expected: &[Expected],
    disturb: impl FnOnce(&World, &Random, &Pace) -> Result<Done>,
) -> Result<Report> {
    let (world, pace, began) = (World::new(&options.binary)?, Pace::new(), Instant::now());
    let random = Random::new(options.seed);
    let disturbed = with_producers(&pace, &random, || disturb(&world, &random, &pace));
    let read = disturbed.and_then(|(sent, done)| Ok((done, read(&world, sent, expected)?)));
    match read {
        Ok((done, history)) => {
            let keep = || vec![world.home.keep()];
            let names = (scenario, "", options.seed);
            Ok(conclude(names, &history, (&pace, began), done, keep))
        }
        Err(error) => {
            let kept = world.home.keep();
            Err(error.context(format!("{scenario}: the host's folder is {}", kept.display())))
        }
    }
}

/// Runs `disturb` beside one producer per source topic; returns what was acknowledged.
fn with_producers<T>(
    pace: &Pace,
    random: &Random,
    disturb: impl FnOnce() -> Result<T>,
) -> Result<(BTreeMap<String, Vec<Event>>, T)> {
    thread::scope(|scope| {
        let producers: Vec<_> = (0_u64..)
            .zip(stage::SOURCES)
            .map(|(number, topic)| {
                let random = random.fork(number);
                (topic, scope.spawn(move || pace.run(|| producer::produce(topic, random, pace))))
            })
            .collect();
        let done = disturb();
        if done.is_err() {
            pace.give_up();
        }
        let mut sent = BTreeMap::new();
        for (topic, producer) in producers {
            let events =
                producer.join().map_err(|_panic| anyhow!("the producer of {topic} panicked"))?;
            sent.insert(topic.to_owned(), events);
        }
        Ok((sent, done?))
    })
}

/// Lets a host deal with everything that is left, and end well.
fn finish(process: Process, client: &Client, pace: &Pace) -> Result<()> {
    pace.finish();
    pace.wait_until_published();
    World::settle(client)?;
    process.stop()
}

/// Reads everything through a host that was started anew: what it shows is what is on disk.
fn read(
    world: &World,
    sent: BTreeMap<String, Vec<Event>>,
    expected: &[Expected],
) -> Result<History> {
    let mut process = world.home.start(&[])?;
    let client = process.must_be_ready()?;
    let left = World::settle(&client)?;
    let history = world.history(&client, sent, (&left, expected))?;
    process.stop()?;
    Ok(history)
}

/// Judges a history; keeps folders when anything is wrong with it.
fn conclude(
    (scenario, variant, seed): (&'static str, &'static str, u64),
    history: &History,
    (pace, began): (&Pace, Instant),
    done: Done,
    keep: impl FnOnce() -> Vec<PathBuf>,
) -> Report {
    let violations = check::check(history);
    let count = |length: usize| u64::try_from(length).unwrap_or(0);
    let observed = || history.subscriptions.values();
    let effects = observed().flat_map(|it| &it.effects).map(|it| count(it.len())).sum();
    let letters = observed().flat_map(|it| it.letters.values().flatten());
    let letters = letters.map(|it| count(it.len())).sum();
    let asked =
        history.sources.values().flat_map(|source| &source.sent).fold(Asked::default(), Asked::and);
    let kept = if violations.is_empty() { Vec::new() } else { keep() };
    Report {
        scenario,
        variant,
        seed,
        events: pace.count(),
        asked,
        effects,
        letters,
        done,
        took: began.elapsed(),
        violations,
        kept,
    }
}
