//! Measures how fast a backlog is handled, what an invocation costs and where the processor's time
//! goes, with an instance per event and with instances reused.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::figure::{Figure, Target};
use super::process::{Cpu, Others, metric};
use super::{Options, Progress, scene};
use crate::support::client::{Client, Subscription};
use crate::support::home::Home;

/// Events of one request while the topic is filled.
const BATCH: u64 = 1_000;
/// Time between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(10);
/// A backlog that does not shrink for so long will not.
const STUCK: Duration = Duration::from_secs(30);
/// Events an instance is reused for.
const REUSE: u32 = 10_000;

/// Takes both runs.
///
/// # Errors
///
/// When the host fails, or does not get on.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let reused = run_reusing(options, REUSE, progress)?;
    let fresh = run_reusing(options, 1, progress)?;
    let mut figures = Vec::new();
    for (how, run, least) in [("reused", &reused, 40_000.0), ("fresh", &fresh, 25_000.0)] {
        figures.push(
            Figure::new(format!("throughput, {how} instances"), run.rate(), "events/s")
                .aiming(Target::AtLeast(least))
                .beside("Redpanda Connect, wasm, on Kafka", 30_000.0)
                .noting(run.note()),
        );
        let per_event = |time: f64| time / run.events;
        figures.extend([
            Figure::new(format!("attempt, {how}"), per_event(run.attempts) / 1e3, "µs").noting(
                "gristmill_process_duration_seconds: wall time from first poll to end, waits for \
                 other attempts of the worker included",
            ),
            Figure::new(format!("invocation, {how}"), per_event(run.busy) / 1e3, "µs")
                .noting("gristmill_plugin_busy_seconds_total: wall time on the worker's thread"),
            Figure::new(
                format!("processor time per event, {how}"),
                per_event(run.cpu()) / 1e3,
                "µs",
            )
            .noting("all threads of the process, from /proc"),
            Figure::new(format!("of which guest, {how}"), per_event(run.guest()) / 1e3, "µs")
                .noting(GUEST),
            Figure::new(format!("of which store, {how}"), per_event(run.store()) / 1e3, "µs")
                .noting(STORE),
            Figure::new(format!("of which host, {how}"), per_event(run.host()) / 1e3, "µs")
                .aiming(Target::AtMost(5.0))
                .noting("what is left: decode, decide, stage, encode emissions, HTTP"),
        ]);
    }
    let (guest, all) = (
        fresh.guest() / fresh.events - reused.guest() / reused.events,
        fresh.cpu() / fresh.events - reused.cpu() / reused.events,
    );
    figures.extend([
        Figure::new("fresh instance, beyond a reused one", all / 1e3, "µs")
            .aiming(Target::AtMost(20.0))
            .noting("difference of processor time per event"),
        Figure::new("of which guest time", guest / 1e3, "µs").noting(GUEST),
    ]);
    for (how, run) in [("reused", &reused), ("fresh", &fresh)] {
        figures.push(Figure::new(format!("others meanwhile, {how}"), run.others, "processors"));
    }
    Ok(figures)
}

const STORE: &str = "threads that write, sync and compact, and \
    gristmill_store_worker_seconds_total: what workers do in the store themselves, reading events \
    and marks and encoding batches";

const GUEST: &str = "gristmill_plugin_busy_seconds_total, times the share of their ready time that \
    worker threads had a processor (schedstat): attempts are timed by the wall, so this takes \
    preemption to fall on guest and host code alike. Host calls, state reads among them, making \
    and ending instances count as guest";

/// What one run used.
pub(super) struct Run {
    events: f64,
    took: Duration,
    filled: Duration,
    /// Wall time of all attempts in nanoseconds, waits included.
    attempts: f64,
    /// Wall time for which attempts held their thread, in nanoseconds.
    busy: f64,
    /// Wall time workers were in the store by themselves, in nanoseconds.
    stored: f64,
    used: Cpu,
    /// Processors that other processes kept busy meanwhile.
    others: f64,
}

impl Run {
    /// Events handled in a second.
    pub(super) fn rate(&self) -> f64 {
        self.events / self.took.as_secs_f64()
    }

    fn cpu(&self) -> f64 {
        float(self.used.all())
    }

    /// Processor time of the process for one event, in microseconds.
    pub(super) fn cpu_per_event(&self) -> f64 {
        self.cpu() / self.events / 1e3
    }

    fn store(&self) -> f64 {
        float(self.used.store) + self.stored * self.ran()
    }

    fn guest(&self) -> f64 {
        self.busy * self.ran()
    }

    /// Share of their ready time that workers had a processor.
    fn ran(&self) -> f64 {
        let (ran, waited) = (float(self.used.workers), float(self.used.workers_waited));
        ran / (ran + waited).max(1.0)
    }

    fn host(&self) -> f64 {
        self.cpu() - self.store() - self.guest()
    }

    fn note(&self) -> String {
        format!(
            "{} events in {:.2} s from resume to the last emission durable; {} partitions, {} \
             keys; filled over HTTP before at {:.0} events/s; other processes kept {:.2} \
             processors busy",
            self.events,
            self.took.as_secs_f64(),
            scene::PARTITIONS,
            scene::KEYS,
            self.events / self.filled.as_secs_f64(),
            self.others
        )
    }
}

fn run_reusing(options: &Options, reuse: u32, progress: Progress<'_>) -> Result<Run> {
    let home = scene::home(&options.binary)?;
    home.put("ordinary.wasm", &scene::handler()?)?;
    home.put("ordinary.toml", scene::manifest("ordinary", reuse).as_bytes())?;
    let (topics, subscriptions) = ([scene::INPUT].as_slice(), ["ordinary"].as_slice());
    let (events, sign) = (options.events, Sign::Emissions);
    let backlog = Backlog { topics, subscriptions, events, sign };
    let told = &mut |what: &str| progress(&format!("throughput, reuse {reuse}: {what}"));
    run(&home, &backlog, told, |_client| Ok(())).map(|(run, ())| run)
}

/// What waits when a run begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backlog<'a> {
    /// Where it is, in equal parts.
    pub(super) topics: &'a [&'a str],
    /// Who handles all of it.
    pub(super) subscriptions: &'a [&'a str],
    /// Events, in all topics together.
    pub(super) events: u64,
    /// What shows how far it is.
    pub(super) sign: Sign,
}

/// What shows that events are handled, and that this is durable.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sign {
    /// Each makes one event of the output topic.
    Emissions,
    /// They count as lag no longer.
    NoLag,
}

impl Sign {
    /// How many of so many events are handled.
    fn handled(self, client: &Client, events: u64) -> Result<u64> {
        match self {
            Self::Emissions => Ok(client.ends(scene::OUTPUT)?.iter().sum()),
            Self::NoLag => {
                let open = |it: &Subscription| it.unsettled() - it.timers_pending;
                let open: u64 = client.subscriptions()?.iter().map(open).sum();
                Ok(events.saturating_sub(open))
            }
        }
    }
}

/// Has the host of `home` handle a backlog, beside whatever `beside` begins before that.
pub(super) fn run<T>(
    home: &Home,
    backlog: &Backlog<'_>,
    progress: Progress<'_>,
    beside: impl FnOnce(&Client) -> Result<T>,
) -> Result<(Run, T)> {
    let Backlog { topics, subscriptions, events, sign } = *backlog;
    let mut process = home.start(&[])?;
    let client = process.must_be_ready()?;
    for subscription in subscriptions {
        client.post(&format!("/api/v1/subscriptions/{subscription}/pause"))?;
    }
    progress("filling");
    let began = Instant::now();
    let (mut next, mut turns) = (0, topics.iter().cycle());
    while next < events {
        let end = (next + BATCH).min(events);
        if let Some(topic) = turns.next() {
            client.publish(topic, &scene::batch(next..end))?;
        }
        next = end;
    }
    let filled = began.elapsed();
    let beside = beside(&client)?;
    progress("handling");
    let (before, cpu) = (client.get("/metrics")?, Cpu::of(process.id())?);
    let others = Others::beside(&[process.id()])?;
    let began = Instant::now();
    for subscription in subscriptions {
        client.post(&format!("/api/v1/subscriptions/{subscription}/resume"))?;
    }
    let handled = events * u64::try_from(subscriptions.len())?;
    wait_for(&client, sign, handled)?;
    let took = began.elapsed();
    let others = others.processors()?;
    let used = Cpu::of(process.id())?.since(cpu);
    let after = client.get("/metrics")?;
    let grown = |name| (metric(&after, name) - metric(&before, name)) * 1e9;
    let attempts = grown("gristmill_process_duration_seconds_sum");
    let busy = grown("gristmill_plugin_busy_seconds_total");
    let stored = grown("gristmill_store_worker_seconds_total");
    process.stop()?;
    let run = Run { events: float(handled), took, filled, attempts, busy, stored, used, others };
    Ok((run, beside))
}

/// Waits until `events` are handled, and that is durable.
fn wait_for(client: &Client, sign: Sign, events: u64) -> Result<()> {
    let (mut before, mut moved) = (0, Instant::now());
    loop {
        let durable = sign.handled(client, events)?;
        if durable >= events {
            return Ok(());
        }
        if durable != before {
            (before, moved) = (durable, Instant::now());
        } else if moved.elapsed() > STUCK {
            bail!("{durable} of {events} events are handled and no more are");
        }
        thread::sleep(LOOK);
    }
}

/// The median of a figure over several runs.
pub(super) fn median(runs: &[Run], of: fn(&Run) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "figures have three digits")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
