//! Publishes the input at a steady pace: what happened in a tenth of a second goes out together, a
//! batch to each topic, and the batches of one topic one after the other.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::event::{Input, batches};
use super::expected::hash;
use crate::support::client::Client;

/// Ticks in a second.
const TICKS: u64 = 10;
/// Senders, each of which waits for its batch to be durable.
const SENDERS: usize = 6;
/// Batches that wait for their sender before the pace slackens.
const QUEUE: usize = 64;

/// How it went.
#[derive(Debug)]
pub(super) struct Published {
    /// Events.
    pub(super) events: u64,
    /// From the first to the last answer.
    pub(super) took: Duration,
    /// How long each batch took to be durable, in microseconds.
    pub(super) answers: Vec<u64>,
}

type Batch = (&'static str, String);

/// Publishes `rate` events a second for so many seconds. `look` is called after every second.
///
/// # Errors
///
/// When the host does not take an event, or `look` fails.
pub(super) fn publish(
    client: &Client,
    (rate, seconds): (u64, u64),
    mut look: impl FnMut(u64) -> Result<()>,
) -> Result<Published> {
    let (mut senders, mut threads) = (Vec::new(), Vec::new());
    for _sender in 0..SENDERS {
        let (sender, batches) = sync_channel(QUEUE);
        let client = client.patient();
        senders.push(sender);
        threads.push(thread::spawn(move || send(&client, &batches)));
    }
    let (mut input, began) = (Input::new().map(|(_, event)| event), Instant::now());
    for tick in 0..seconds * TICKS {
        let due = began + Duration::from_millis(tick * 1_000 / TICKS);
        let count = rate * (tick + 1) / TICKS - rate * tick / TICKS;
        let of_tick = batches(input.by_ref().take(usize::try_from(count)?));
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
        let taken = of_tick
            .into_iter()
            .map(|(topic, events)| hand(&senders, (topic, Value::from(events).to_string())));
        // A sender that ended tells why when it is joined.
        if !taken.collect::<Result<Vec<_>>>()?.into_iter().all(|is_taken| is_taken) {
            break;
        }
        if tick % TICKS == TICKS - 1 {
            look(tick / TICKS + 1)?;
        }
    }
    drop(senders);
    let mut answers = Vec::new();
    for sender in threads {
        answers.extend(sender.join().map_err(|_panic| anyhow!("a sender panicked"))??);
    }
    Ok(Published { events: rate * seconds, took: began.elapsed(), answers })
}

/// The same sender for all batches of a topic; false when it has ended.
fn hand(senders: &[SyncSender<Batch>], batch: Batch) -> Result<bool> {
    let number = hash(&batch.0) % u64::try_from(SENDERS)?;
    let sender = senders.get(usize::try_from(number)?).context("a sender")?;
    Ok(sender.send(batch).is_ok())
}

fn send(client: &Client, batches: &Receiver<Batch>) -> Result<Vec<u64>> {
    let mut answers = Vec::new();
    for (topic, events) in batches {
        let began = Instant::now();
        client.publish(topic, &events).with_context(|| format!("publish to {topic}"))?;
        answers.push(u64::try_from(began.elapsed().as_micros())?);
    }
    Ok(answers)
}
