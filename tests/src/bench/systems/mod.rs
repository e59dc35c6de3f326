//! Measures the five example systems on one host: everything that the outside world of each does,
//! mixed, at a steady pace, with failures among it. When the host has come to rest, all that it
//! ended with is compared with what has to come of the input, and the measurement fails where
//! anything is lost, repeated, changed or out of its order.

mod billing;
mod check;
mod commerce;
mod event;
mod expected;
mod host;
mod party;
mod pos;
mod publish;
mod shipping;
mod ticketing;
mod topics;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::check::{Checked, check, log_is_quiet};
use self::party::Party;
use self::publish::{Published, publish};
use super::figure::{Figure, Target};
use super::latency::percentile;
use super::process::{Cpu, Others, metric, resident};
use super::throughput::float;
use super::{Options, Progress};
use crate::support::client::{Client, Subscription};
use crate::support::home::Process;
use crate::support::wait;

/// Events a second that are asked for.
const ASKED: f64 = 5_000.0;
/// A host that finishes nothing for so long has stopped.
const STUCK: Duration = Duration::from_mins(2);
/// From which second on memory is compared with that at the end, where the run is long.
const WARM: u64 = 60;
const MIB: f64 = 1_048_576.0;

/// Takes the run.
///
/// # Errors
///
/// When the host fails or stops, or what it ends with is not what it has to be.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let party = Party::start()?;
    let home = host::home(&options.binary)?;
    let mut process = home.start(&host::variables(&home, &party.url()))?;
    let client = process.must_be_ready()?;
    let (rate, seconds) = (options.rate, options.seconds);
    progress(&format!("systems: {rate} events/s for {seconds} s"));
    let (process_id, others) = (process.id(), Others::beside(&[process.id()])?);
    let (mut warm, began, cpu) = (resident(process_id)?, Instant::now(), Cpu::of(process_id)?);
    let published = publish(&client, (rate, seconds), |second| {
        if second == WARM.min(seconds.div_ceil(2)) {
            warm = resident(process_id)?;
        }
        if second % 10 == 0 {
            let (done, open) = (completed(&client)?, open(&client)?);
            progress(&format!("systems: {second} s, {done} handled, {open} open"));
        }
        Ok(())
    });
    let published = published.with_context(|| process.tail())?;
    let (handled, backlog) = (completed(&client)?, open(&client)?);
    let (memory, used) = (resident(process_id)?, Cpu::of(process_id)?.since(cpu));
    let stopped = Instant::now();
    progress(&format!("systems: {} events published, {backlog} open", published.events));
    settle(&client).with_context(|| given_up(&client, &process))?;
    let (drained, took) = (stopped.elapsed(), began.elapsed());
    let others = others.processors()?;
    let (handled_in_all, emitted) = (completed(&client)?, in_topics(&client)?);
    progress("systems: comparing");
    let mut checked = check(&client, &party.taken(), published.events)?;
    log_is_quiet(&home.log())?;
    process.stop()?;
    let run = Run {
        published,
        handled,
        handled_in_all,
        emitted,
        backlog,
        drained,
        took,
        used,
        memory: [warm, memory],
        others,
    };
    Ok(run.figures(options, &mut checked))
}

/// What a run showed.
struct Run {
    published: Published,
    /// Attempts that ended well until publishing stopped, and in all.
    handled: u64,
    handled_in_all: u64,
    /// Events in all topics.
    emitted: u64,
    /// Events that were open when publishing stopped, and how long they took.
    backlog: u64,
    drained: Duration,
    /// From the first event published until the last one was handled.
    took: Duration,
    /// Processor time while events were published.
    used: Cpu,
    /// Of the host, once it was warm and when publishing stopped.
    memory: [u64; 2],
    others: f64,
}

impl Run {
    fn figures(mut self, options: &Options, checked: &mut Checked) -> Vec<Figure> {
        let (publishing, events) =
            (self.published.took.as_secs_f64(), float(self.published.events));
        let [warm, memory] = self.memory.map(|bytes| float(bytes) / MIB);
        let note = self.note(options, checked);
        let answers = percentile(&mut self.published.answers, 99) * 1e3;
        let held = events / self.took.as_secs_f64();
        let figure = |name: &str, value: f64, unit: &'static str| {
            Figure::new(format!("five systems, {name}"), value, unit)
        };
        let mut shipped = |percent| percentile(&mut checked.shipped_ms, percent) * 1e6;
        let [middle, last] = [shipped(50), shipped(99)];
        vec![
            figure("events from outside", events / publishing, "events/s").noting(note),
            figure("held until all is handled", held, "events/s")
                .aiming(Target::AtLeast(ASKED))
                .noting(
                    "events from outside over the time until the last of them, and all that \
                    came of them, was handled and durable",
                ),
            figure("events in topics", float(self.emitted) / self.took.as_secs_f64(), "events/s")
                .noting("those from outside, those that handlers publish, dead letters"),
            figure("events handled", float(self.handled) / publishing, "events/s").noting(format!(
                "by subscriptions, while events were published; {} in all",
                self.handled_in_all
            )),
            figure("backlog when publishing stopped", float(self.backlog), "events"),
            figure("time it took", self.drained.as_secs_f64(), "s"),
            figure("batch durable, p99", answers, "ms"),
            figure("order to shipped, p50", middle, "ms"),
            figure("order to shipped, p99", last, "ms"),
            figure(
                "processors of the host",
                float(self.used.all()) / 1e9 / publishing,
                "processors",
            )
            .noting("while events were published"),
            figure("memory when warm", warm, "MiB")
                .noting(format!("after {} s", WARM.min(options.seconds.div_ceil(2)))),
            figure("memory in the end", memory, "MiB"),
        ]
    }

    fn note(&self, options: &Options, checked: &Checked) -> String {
        let Checked { told, letters, bad, calls, failures, repeated, values, .. } = checked;
        format!(
            "{} events/s asked for {} s, in batches of a tenth of a second to each topic, on one \
             host with the plugins and manifests of all five examples, embedded store, two \
             workers, an instance per event; compared afterwards: {told} events of handlers, \
             {letters} dead letters of {bad} bad events, {calls} calls of parties, of which \
             {failures} attempts failed at first and {repeated} came again after they were taken, \
             {values} values of state; parties and publisher are on the same processors, others \
             kept {:.2} busy",
            options.rate, options.seconds, self.others
        )
    }
}

/// Events that subscriptions have finished.
fn completed(client: &Client) -> Result<u64> {
    let text = client.get("/metrics")?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
    Ok(metric(&text, "gristmill_events_completed_total") as u64)
}

/// Events of all topics.
fn in_topics(client: &Client) -> Result<u64> {
    let mut sum = 0;
    for topic in client.topics()? {
        sum += client.ends(&topic)?.iter().sum::<u64>();
    }
    Ok(sum)
}

/// Events that are not handled yet.
fn open(client: &Client) -> Result<u64> {
    let open = |it: &Subscription| it.unsettled() - it.timers_pending;
    Ok(client.subscriptions()?.iter().map(open).sum())
}

/// The last lines of a host's log and a dead letter of each subscription.
fn given_up(client: &Client, process: &Process) -> String {
    let mut text = process.tail();
    for subscription in client.subscriptions().unwrap_or_default() {
        let path = format!("/api/v1/dlq/{}/events?limit=1", subscription.name);
        let first = client.json(&path).unwrap_or_default();
        if !first["events"][0].is_null() {
            // Writing to a string cannot fail.
            let _written = writeln!(text, "{}: {}", subscription.name, first["events"][0]);
        }
    }
    text
}

/// Waits until nothing is left to do but what timers will.
fn settle(client: &Client) -> Result<()> {
    let (mut last, mut moved) = (u64::MAX, Instant::now());
    let settled = wait::until(Duration::from_hours(2), || {
        let open = open(client)?;
        if open != last {
            (last, moved) = (open, Instant::now());
        }
        ensure!(moved.elapsed() < STUCK, "{open} events are open, and no less get");
        Ok((open == 0).then_some(()))
    })?;
    settled.context("the host does not come to rest")
}
