//! Measures the flow of orders through the example system commerce, as it is: from the request with
//! an order to the event that it is on its way, by way of seven handlers of five plugins.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::figure::{Figure, Target};
use super::latency::percentile;
use super::process::Others;
use super::{Options, Progress};
use crate::support::client::Client;
use crate::support::example::{Example, Place};
use crate::support::home::Home;
use crate::support::stub::Stub;
use crate::support::wait;

/// Orders per second: each is some thirty attempts of sixteen subscriptions.
const RATE: u64 = 20;
/// Seconds at the start that are not counted: caches and connections are cold.
const WARM_UP: u64 = 2;
/// Users that order, and so keys.
const USERS: u64 = 200;
const PRODUCTS: u64 = 50;
/// An order that is not shipped so long after the last one was placed is lost to the measurement.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes the run.
///
/// # Errors
///
/// When the host fails, or an order is not shipped.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let more = "\n[storage]\nreserve = \"64MiB\"\n";
    let home = Example::of("commerce")?.home_of(&options.binary, &Place::Embedded, more)?;
    let flow = flow(&home, options.seconds, progress)?;
    Ok(flow.figures("order to shipped", 100.0))
}

/// What a run showed.
#[derive(Debug)]
pub struct Flow {
    /// Milliseconds from order to shipped: of the middle one, of 99 in 100, of the slowest.
    pub millis: [f64; 3],
    seconds: u64,
    /// Processors that others kept busy.
    others: f64,
}

impl Flow {
    /// A figure for each, the second of which is to stay below `most`.
    pub fn figures(&self, name: &str, most: f64) -> Vec<Figure> {
        let note = format!(
            "{RATE} orders/s for {} s, exactly-once, with the audit trail and the windows of the \
             example; the platform's six events are eight here, for orders are taken apart by \
             product; provider and mail service answer at once; other processes kept {:.2} \
             processors busy",
            self.seconds, self.others
        );
        let figure = |what, value| Figure::new(format!("{name}, {what}"), value, "ms");
        let [middle, last, worst] = self.millis;
        vec![
            figure("p50", middle).noting(note.clone()),
            figure("p99", last).aiming(Target::AtMost(most)).noting(note),
            figure("worst", worst),
        ]
    }
}

/// Starts the example's host in `home` and has it ship orders for so many seconds.
///
/// # Errors
///
/// When the host fails, or an order is not shipped.
pub fn flow(home: &Home, seconds: u64, progress: Progress<'_>) -> Result<Flow> {
    let party = Stub::start()?;
    let party = format!("http://{}", party.address());
    let mut process = home.start(&[
        ("GRISTMILL_LISTEN", "127.0.0.1:0".to_owned()),
        ("COMMERCE_PROVIDER", party.clone()),
        ("COMMERCE_MAIL", party),
    ])?;
    let client = process.must_be_ready()?;
    count_stock(&client)?;
    progress(&format!("commerce: {RATE} orders/s for {seconds} s"));
    let stream = client.patient().stream("/topics/order-events/events?type=OrderShipped")?;
    let (sender, shipped) = mpsc::channel();
    // Ends with the stream, which ends with the process.
    thread::Builder::new().name("reader".to_owned()).spawn(move || read(stream, &sender))?;
    let others = Others::beside(&[process.id()])?;
    let placed = place(&client.patient(), RATE * (seconds + WARM_UP))?;
    let mut taken = Vec::new();
    for received in 0..placed.len() {
        let (number, moment) = shipped.recv_timeout(PATIENCE).with_context(|| {
            format!("{received} of {} orders are shipped and no more are", placed.len())
        })?;
        let placed = placed.get(usize::try_from(number)?).context("an unknown order")?;
        if number >= RATE * WARM_UP {
            let nanos = moment.saturating_duration_since(*placed).as_nanos();
            taken.push(u64::try_from(nanos)?);
        }
    }
    let others = others.processors()?;
    process.stop()?;
    let millis = [50, 99, 100].map(|percent| percentile(&mut taken, percent));
    Ok(Flow { millis, seconds, others })
}

fn event(id: &str, kind: &str, data: &Value) -> Value {
    json!({
        "eventId": id, "eventType": kind, "eventVersion": "v1",
        "timestamp": "2026-03-01T08:00:00Z", "source": "bench", "data": data,
    })
}

/// Has more of each product than is ordered.
fn count_stock(client: &Client) -> Result<()> {
    for number in 0..PRODUCTS {
        let product = format!("p-{number}");
        let data = json!({ "productId": product, "change": 1_000_000, "reason": "counted" });
        let counted = event(&format!("count-{number}"), "InventoryAdjusted", &data);
        client.send("/topics/inventory-events", &counted)?;
    }
    let known = wait::until(PATIENCE, || {
        let listed = client.json(&format!("/state/commerce-stock?limit={PRODUCTS}"))?;
        let count = listed["entries"].as_array().map_or(0, Vec::len);
        Ok((u64::try_from(count)? == PRODUCTS).then_some(()))
    })?;
    known.context("stock is not counted")
}

/// Places every order in its moment; says when each was.
fn place(client: &Client, count: u64) -> Result<Vec<Instant>> {
    let began = Instant::now();
    let mut placed = Vec::new();
    for number in 0..count {
        let moment = began + Duration::from_micros(number * 1_000_000 / RATE);
        if let Some(early) = moment.checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
        let item = json!({
            "productId": format!("p-{}", number % PRODUCTS), "quantity": 1, "priceCents": 900,
        });
        let data = json!({
            "orderId": number.to_string(), "userId": format!("u-{}", number % USERS),
            "items": [item], "totalCents": 900, "currency": "EUR",
        });
        placed.push(Instant::now());
        let order = event(&format!("order-{number}"), "OrderCreated", &data);
        client.send("/topics/order-events", &order)?;
    }
    Ok(placed)
}

/// Tells number and moment of each order of the stream.
fn read(stream: impl Read, shipped: &mpsc::Sender<(u64, Instant)>) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let moment = Instant::now();
        let number = serde_json::from_str::<Value>(data)
            .ok()
            .and_then(|event| event["payload"]["data"]["orderId"].as_str()?.parse().ok());
        let Some(number) = number else { continue };
        if shipped.send((number, moment)).is_err() {
            return;
        }
    }
}
