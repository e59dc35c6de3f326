//! Measures the time from publishing an event to seeing what its handler emitted, at a steady rate
//! well below what the host can do.

use std::io::{BufRead, BufReader, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::figure::{Figure, Target};
use super::process::Others;
use super::{Options, Progress, scene};
use crate::support::client::Client;

/// Events per second.
const RATE: u64 = 1_000;
/// Connections that publish, each one event at a time.
const PUBLISHERS: u64 = 8;
/// Seconds at the start that are not counted: caches and connections are cold.
const WARM_UP: u64 = 2;
/// An event that is not seen so long after the last one was published is lost to the measurement.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes the run.
///
/// # Errors
///
/// When the host fails, or events do not come out.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let home = scene::home(&options.binary)?;
    home.put("ordinary.wasm", &scene::handler()?)?;
    home.put("ordinary.toml", scene::manifest("ordinary", 1).as_bytes())?;
    let mut process = home.start(&[])?;
    let client = process.must_be_ready()?;
    progress(&format!("latency: {RATE} events/s for {} s", options.seconds));
    let count = RATE * (options.seconds + WARM_UP);
    let clock = Clock::new(count);
    let stream = client.patient().stream(&format!("/topics/{}/events", scene::OUTPUT))?;
    let others = Others::beside(&[process.id()])?;
    let (mut visible, late) = thread::scope(|scope| {
        let (clock, client) = (&clock, &client);
        let (sender, seen) = mpsc::channel();
        // Ends with the stream, which ends with the process.
        let reader = thread::Builder::new().name("reader".to_owned());
        let base = clock.base;
        reader.spawn(move || read(stream, base, &sender))?;
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|first| scope.spawn(move || publish(client, clock, first)))
            .collect();
        let visible = collect(clock, &seen, count)?;
        let mut late = Duration::ZERO;
        for publisher in publishers {
            let result =
                publisher.join().map_err(|_panic| anyhow::anyhow!("a publisher panicked"))?;
            late = late.max(result?);
        }
        Ok::<_, anyhow::Error>((visible, late))
    })?;
    let others = others.processors()?;
    process.stop()?;
    let mut durable = clock.durable();
    let note = format!(
        "{RATE} events/s for {} s over {PUBLISHERS} connections, an event per request, fresh \
         instances; publisher and reader share the machine; a publisher was late by {late:?} at \
         most; other processes kept {others:.2} processors busy",
        options.seconds
    );
    let peer = "Redpanda Connect, on Kafka";
    Ok(vec![
        Figure::new("publish to visible, p50", percentile(&mut visible, 50), "ms")
            .beside(peer, 23.0)
            .noting(note.clone()),
        Figure::new("publish to visible, p99", percentile(&mut visible, 99), "ms")
            .aiming(Target::AtMost(8.0))
            .noting(note),
        Figure::new("publish to visible, worst", percentile(&mut visible, 100), "ms"),
        Figure::new("publish to durable, p50", percentile(&mut durable, 50), "ms")
            .noting("until the answer of the request"),
        Figure::new("publish to durable, p99", percentile(&mut durable, 99), "ms"),
        Figure::new("others meanwhile, latency", others, "processors"),
    ])
}

/// When each event was published, in nanoseconds since `base`.
struct Clock {
    base: Instant,
    sent: Vec<AtomicU64>,
    answered: Mutex<Vec<u64>>,
}

impl Clock {
    fn new(count: u64) -> Self {
        let sent = (0..count).map(|_| AtomicU64::new(0)).collect();
        Self { base: Instant::now(), sent, answered: Mutex::default() }
    }

    /// Time until the answer of each request.
    fn durable(&self) -> Vec<u64> {
        self.answered.lock().map(|answered| answered.clone()).unwrap_or_default()
    }
}

fn since(base: Instant) -> u64 {
    u64::try_from(base.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Publishes every event of one connection in its moment; returns how late it ever was.
fn publish(client: &Client, clock: &Clock, first: u64) -> Result<Duration> {
    let client = client.patient();
    let (began, mut late) = (Instant::now(), Duration::ZERO);
    let mut answered = Vec::new();
    let count = u64::try_from(clock.sent.len())?;
    for number in (first..count).step_by(usize::try_from(PUBLISHERS)?) {
        let moment = began + Duration::from_micros(number * 1_000_000 / RATE);
        let now = Instant::now();
        match moment.checked_duration_since(now) {
            Some(early) => thread::sleep(early),
            None => late = late.max(now.saturating_duration_since(moment)),
        }
        let body = scene::batch(number..number + 1);
        let sent = since(clock.base);
        let slot = clock.sent.get(usize::try_from(number)?).context("an event without place")?;
        slot.store(sent, Ordering::Release);
        client.publish(scene::INPUT, &body)?;
        if number >= RATE * WARM_UP {
            answered.push(since(clock.base).saturating_sub(sent));
        }
    }
    if let Ok(mut all) = clock.answered.lock() {
        all.extend(answered);
    }
    Ok(late)
}

/// Tells number and moment of each event of the stream.
fn read(stream: impl Read, base: Instant, seen: &mpsc::Sender<(u64, u64)>) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let moment = since(base);
        let number = serde_json::from_str::<Value>(data)
            .ok()
            .and_then(|event| event["payload"]["order"].as_str()?.parse().ok());
        let Some(number) = number else { continue };
        if seen.send((number, moment)).is_err() {
            return;
        }
    }
}

/// Waits for all events; returns the latency of those that count, in nanoseconds.
fn collect(clock: &Clock, seen: &mpsc::Receiver<(u64, u64)>, count: u64) -> Result<Vec<u64>> {
    let mut latencies = Vec::new();
    for received in 0..count {
        let Ok((number, moment)) = seen.recv_timeout(PATIENCE) else {
            bail!("{received} of {count} events came out and no more do");
        };
        let sent = clock.sent.get(usize::try_from(number)?).context("an unknown event")?;
        if number >= RATE * WARM_UP {
            latencies.push(moment.saturating_sub(sent.load(Ordering::Acquire)));
        }
    }
    Ok(latencies)
}

/// The value that `share` percent do not exceed, in milliseconds.
pub(super) fn percentile(values: &mut [u64], share: usize) -> f64 {
    values.sort_unstable();
    let place = (values.len() * share).div_ceil(100).saturating_sub(1);
    let nanos = values.get(place).copied().unwrap_or(0);
    Duration::from_nanos(nanos).as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut values: Vec<u64> = (1..=200).rev().map(|ms| ms * 1_000_000).collect();
        for (share, holds) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
            assert!((percentile(&mut values, share) - holds).abs() < 1e-9, "{share}");
        }
        assert!(percentile(&mut [], 99).abs() < 1e-9);
    }
}
