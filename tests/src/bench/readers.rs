//! Measures what readers of event streams cost whoever handles events: the same backlog is handled
//! with nobody reading, and with a thousand who read another topic, in turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::figure::{Figure, Target};
use super::throughput::{Backlog, Run, Sign, float, median, run};
use super::{Options, Progress, scene};
use crate::support::client::Client;
use crate::support::wait;

/// Those who read.
const READERS: u64 = 1_000;
/// What they read.
const NOTICES: &str = "notices";
/// Events published to it in a second; each goes to all of them.
const RATE: u64 = 10;
/// Turns; the figures are of their medians.
const ROUNDS: usize = 5;
/// What an event of the stream begins with.
const EVENT: &[u8] = b"\ndata: ";

/// Takes all runs.
///
/// # Errors
///
/// When the host fails, does not get on, or readers are let go.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let (mut alone, mut read, mut delivered) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        for readers in [0, READERS] {
            let label = format!("{readers} readers, {round} of {ROUNDS}");
            let told = &mut |what: &str| progress(&format!("{label}: {what}"));
            let (run, share) = handled(options, readers, told)?;
            if readers == 0 {
                alone.push(run);
            } else {
                read.push(run);
                delivered.push(share);
            }
        }
    }
    let (without, with) = (median(&alone, Run::rate), median(&read, Run::rate));
    let more = median(&read, Run::cpu_per_event) - median(&alone, Run::cpu_per_event);
    let least = delivered.iter().copied().fold(f64::INFINITY, f64::min);
    let note = format!(
        "{RATE} events a second go to each of {READERS} readers, who are on the same processors; \
         medians of {ROUNDS} turns, two subscriptions with two topics each, instances reused"
    );
    Ok(vec![
        Figure::new("throughput, nobody reads", without, "events/s").noting(note.clone()),
        Figure::new("throughput, 1,000 read", with, "events/s").noting(note.clone()),
        Figure::new("1,000 readers, throughput lost", (1.0 - with / without) * 100.0, "%")
            .aiming(Target::AtMost(10.0))
            .noting(note),
        Figure::new("1,000 readers, processor time per event", more, "µs")
            .noting("of the host, beyond that without them"),
        Figure::new("1,000 readers, events delivered", least * 100.0, "%")
            .noting("of those published while a backlog was handled, in the worst turn"),
    ])
}

/// One run, and the share of events that arrived.
fn handled(options: &Options, readers: u64, progress: Progress<'_>) -> Result<(Run, f64)> {
    let topics = [scene::INPUT, scene::SECOND_INPUT];
    let [first, second] = topics;
    let home = scene::home_with(&options.binary, &[first, second, scene::OUTPUT, NOTICES], "")?;
    home.put("ordinary.wasm", &scene::handler()?)?;
    home.put("ordinary.toml", scene::pair(&topics).as_bytes())?;
    // Each event is handled twice.
    let events = options.events / 2;
    let (subscriptions, sign) = (&scene::PAIR, Sign::Emissions);
    let backlog = Backlog { topics: &topics, subscriptions, events, sign };
    let begin = |client: &Client| Audience::gather(client, readers);
    let (run, audience) = run(&home, &backlog, progress, begin)?;
    Ok((run, audience.leave()?))
}

/// Who reads, and who publishes what they read, until they leave.
struct Audience {
    readers: u64,
    is_over: Arc<AtomicBool>,
    heard: Arc<AtomicU64>,
    reading: JoinHandle<Result<()>>,
    publishing: JoinHandle<u64>,
}

impl Audience {
    /// Connects all readers, and begins to publish once all of them listen.
    fn gather(client: &Client, readers: u64) -> Result<Self> {
        let (is_over, heard) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let address = client.url().trim_start_matches("http://").to_owned();
        let listening = Arc::<AtomicU64>::default();
        let reading = {
            let (heard, listening) = (Arc::clone(&heard), Arc::clone(&listening));
            std::thread::spawn(move || read(&address, readers, &heard, &listening))
        };
        let all = || Ok((listening.load(Ordering::Relaxed) == readers).then_some(()));
        wait::until(Duration::from_mins(1), all)?.context("not all readers are served")?;
        let publishing = {
            let (client, is_over) = (client.patient(), Arc::clone(&is_over));
            std::thread::spawn(move || publish(&client, &is_over))
        };
        Ok(Self { readers, is_over, heard, reading, publishing })
    }

    /// The share of what was published that arrived.
    fn leave(self) -> Result<f64> {
        self.is_over.store(true, Ordering::Relaxed);
        let published = self.publishing.join().map_err(|_panic| anyhow!("who publishes"))?;
        // The host has stopped: streams that were open then end.
        self.reading.join().map_err(|_panic| anyhow!("who reads"))??;
        let expected = published.saturating_mul(self.readers);
        let heard = self.heard.load(Ordering::Relaxed);
        ensure!(self.readers == 0 || heard > 0, "nobody heard anything");
        Ok(if expected == 0 { 1.0 } else { float(heard) / float(expected) })
    }
}

/// Publishes at a steady rate until it is over or the host has stopped.
fn publish(client: &Client, is_over: &AtomicBool) -> u64 {
    let mut published = 0;
    while !is_over.load(Ordering::Relaxed) {
        let event = json!({ "seat": published, "state": "held", "note": "of the same show" });
        if client.send(&format!("/topics/{NOTICES}?key={published}"), &event).is_err() {
            break;
        }
        published += 1;
        std::thread::sleep(Duration::from_millis(1_000 / RATE));
    }
    published
}

/// Reads with all readers on one thread until the streams end.
fn read(
    address: &str,
    readers: u64,
    heard: &Arc<AtomicU64>,
    listening: &Arc<AtomicU64>,
) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut all = JoinSet::new();
        for _ in 0..readers {
            let (heard, listening) = (Arc::clone(heard), Arc::clone(listening));
            all.spawn(listen(address.to_owned(), heard, listening));
        }
        while let Some(ended) = all.join_next().await {
            ended??;
        }
        Ok(())
    })
}

/// Counts the events of one stream until it ends.
async fn listen(address: String, heard: Arc<AtomicU64>, listening: Arc<AtomicU64>) -> Result<()> {
    let mut stream = TcpStream::connect(&address).await?;
    let request = format!("GET /topics/{NOTICES}/events HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (mut buffer, mut kept, mut is_listening) = (vec![0; 16 << 10], 0, false);
    loop {
        let Some(room) = buffer.get_mut(kept..) else { return Ok(()) };
        // A host that stops may reset what it has not finished.
        let Ok(read) = stream.read(room).await else { return Ok(()) };
        if read == 0 {
            return Ok(());
        }
        let text = buffer.get(..kept + read).unwrap_or_default();
        if !is_listening && find(text, b": stream of").is_some() {
            is_listening = true;
            listening.fetch_add(1, Ordering::Relaxed);
        }
        let (mut events, mut from) = (0, 0);
        while let Some(at) = text.get(from..).and_then(|rest| find(rest, EVENT)) {
            events += 1;
            from += at + EVENT.len();
        }
        heard.fetch_add(events, Ordering::Relaxed);
        // The beginning of the next may be there already.
        let from = from.max((kept + read).saturating_sub(EVENT.len() - 1));
        kept = kept + read - from;
        buffer.copy_within(from..from + kept, 0);
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
