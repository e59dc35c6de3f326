//! The plain loop that Gristmill is measured beside: one consumer, one producer, one thread, no
//! sandbox, no state, no deduplication. It parses an event, derives an id, emits one event. It
//! ends when its standard input does.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, ValueEnum};
use gristmill_tests::bench::kafka::writer::Deliveries;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Time between two commits.
const INTERVAL: Duration = Duration::from_millis(100);
/// Time between two looks at whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// Reports of deliveries are taken after so many events.
const POLL: u32 = 64;
/// An operation of the broker that takes longer fails.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Parser)]
#[command(name = "peer_loop")]
struct Args {
    /// `bootstrap.servers`
    #[arg(long)]
    brokers: String,
    /// Consumer group, and transactional id
    #[arg(long)]
    group: String,
    /// Topic to write
    #[arg(long)]
    output: String,
    /// What is promised
    #[arg(long)]
    guarantee: Guarantee,
    /// Topics to read
    sources: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let ends = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ends);
    thread::spawn(move || {
        // Whatever the input is, only its end counts.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        told.store(true, Ordering::Release);
    });
    let mut work = Work::connect(&args)?;
    work.run(&args.sources, &ends)
}

/// The loop.
struct Work {
    consumer: BaseConsumer,
    producer: BaseProducer<Deliveries>,
    output: String,
    guarantee: Guarantee,
    /// When the first event since the last commit was taken.
    opened: Option<Instant>,
}

impl Work {
    fn connect(args: &Args) -> Result<Self> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", &args.brokers)
            .set("group.id", &args.group)
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            // A full queue must not make fetching pause for a second.
            .set("fetch.queue.backoff.ms", "10")
            .create()?;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &args.brokers)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "1");
        if args.guarantee == Guarantee::ExactlyOnce {
            config.set("transactional.id", &args.group);
        }
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::default())?;
        if args.guarantee == Guarantee::ExactlyOnce {
            producer.init_transactions(PATIENCE)?;
        }
        let (output, guarantee) = (args.output.clone(), args.guarantee);
        Ok(Self { consumer, producer, output, guarantee, opened: None })
    }

    fn run(&mut self, sources: &[String], ends: &AtomicBool) -> Result<()> {
        self.consumer.subscribe(&sources.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut handled = 0_u32;
        while !ends.load(Ordering::Acquire) {
            let left = self.opened.map(|since| INTERVAL.saturating_sub(since.elapsed()));
            if left == Some(Duration::ZERO) {
                self.commit()?;
                continue;
            }
            // Borrowed from the field alone, so that the rest of the loop may be used beside it.
            let Some(message) = self.consumer.poll(left.unwrap_or(LOOK).min(LOOK)) else {
                self.producer.poll(Duration::ZERO);
                continue;
            };
            let message = message.context("read an event")?;
            if self.opened.is_none() {
                if self.guarantee == Guarantee::ExactlyOnce {
                    self.producer.begin_transaction()?;
                }
                self.opened = Some(Instant::now());
            }
            handle(&message, &self.output, &self.producer)?;
            handled = handled.wrapping_add(1);
            if handled.is_multiple_of(POLL) {
                self.producer.poll(Duration::ZERO);
            }
        }
        if self.opened.is_some() { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<()> {
        // The library's own flush, which a commit begins with, polls in steps of 100 ms.
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
        }
        if self.producer.context().failed() > 0 {
            bail!("events were not delivered");
        }
        let mut offsets = TopicPartitionList::new();
        for element in self.consumer.position()?.elements() {
            if let offset @ Offset::Offset(_) = element.offset() {
                offsets.add_partition_offset(element.topic(), element.partition(), offset)?;
            }
        }
        match self.guarantee {
            Guarantee::ExactlyOnce => {
                let group = self.consumer.group_metadata().context("the group has metadata")?;
                self.producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
                self.producer.commit_transaction(PATIENCE)?;
            }
            Guarantee::AtLeastOnce => self.consumer.commit(&offsets, CommitMode::Async)?,
        }
        self.opened = None;
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "what is parsed is part of the work")]
struct ReservationCreated {
    event_id: String,
    reservation_id: String,
    customer_id: Option<String>,
    seat_id: String,
    seat_number: String,
    section: String,
    base_price: f64,
    created_at: String,
    expires_at: String,
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "what is parsed is part of the work")]
struct PaymentSucceeded {
    event_id: String,
    reservation_id: String,
    order_id: String,
    customer_id: Option<String>,
    seat_id: String,
    amount: f64,
    paid_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SeatChanged {
    event_id: String,
    reservation_id: String,
    seat_id: String,
    customer_id: Option<String>,
    change: &'static str,
    price: f64,
    at: String,
}

fn handle(
    message: &BorrowedMessage<'_>,
    output: &str,
    producer: &BaseProducer<Deliveries>,
) -> Result<()> {
    let topic = message.topic();
    let changed = change(topic, message.payload().unwrap_or_default())?;
    let position = format!("{topic}/{}/{}", message.partition(), message.offset());
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, position.as_bytes()).to_string();
    let payload = serde_json::to_vec(&changed)?;
    let mut record = BaseRecord::to(output)
        .key(message.key().unwrap_or_default())
        .payload(&payload)
        .headers(headers(&id));
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                record = refused;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(anyhow!(error).context("emit an event")),
        }
    }
}

fn change(topic: &str, payload: &[u8]) -> Result<SeatChanged> {
    if topic.ends_with("payment-succeeded") {
        let payment: PaymentSucceeded = serde_json::from_slice(payload)?;
        return Ok(SeatChanged {
            event_id: payment.event_id,
            reservation_id: payment.reservation_id,
            seat_id: payment.seat_id,
            customer_id: payment.customer_id,
            change: "sold",
            price: payment.amount,
            at: payment.paid_at,
        });
    }
    let reservation: ReservationCreated = serde_json::from_slice(payload)?;
    Ok(SeatChanged {
        event_id: reservation.event_id,
        reservation_id: reservation.reservation_id,
        seat_id: reservation.seat_id,
        customer_id: reservation.customer_id,
        change: "reserved",
        price: reservation.base_price,
        at: reservation.created_at,
    })
}

fn headers(id: &str) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(5);
    for (key, value) in [
        ("ce_specversion", "1.0"),
        ("ce_type", "seat.changed"),
        ("ce_source", "/peers/loop"),
        ("ce_id", id),
        ("content-type", "application/json"),
    ] {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    headers
}
