//! Appenders: every record with its offset or its reason, once.

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use gristmill_engine::{Bytes as Size, Instant, Offset, PartitionId, TopicId};
use gristmill_kafka::{Appender, AppenderBounds, Cluster, Error, NewRecord, ReadLimit, Reader};
use gristmill_store::{Retention, Store, Topic};

use super::shared::{PATIENCE, new_topic, settings, shared};

pub(crate) type Outcome = Result<Vec<Offset>, Error>;

pub(crate) fn record(topic: &str, partition: u32, payload: &[u8]) -> NewRecord {
    NewRecord {
        topic: topic.into(),
        partition,
        timestamp_ms: 1_700_000_000_000,
        key: Some(Bytes::from_static(b"key")),
        headers: vec![("name".into(), Bytes::from_static(b"value"))],
        payload: Some(Bytes::copy_from_slice(payload)),
    }
}

pub(crate) fn append(appender: &Appender, records: &[NewRecord]) -> Receiver<Outcome> {
    let (told, outcome) = mpsc::channel();
    appender.append(records, Box::new(move |outcome| drop(told.send(outcome))));
    outcome
}

pub(crate) fn outcome(outcome: &Receiver<Outcome>) -> Result<Outcome> {
    outcome.recv_timeout(PATIENCE).context("no outcome in time")
}

#[test]
fn a_partition_that_came_since_is_appended_to() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("appender-grown", 1, &[]))?;
    let appender = Appender::new(&shared.cluster, AppenderBounds::default())?;
    let to = |partition| append(&appender, &[record("appender-grown", partition, b"a")]);
    assert_eq!(outcome(&to(0))??, [Offset(0)]);
    let unknown = Error::PartitionUnknown { topic: "appender-grown".to_owned(), partition: 2 };
    assert_eq!(outcome(&to(2))?, Err(unknown));
    shared.cluster.grow("appender-grown", 3)?;
    assert_eq!(outcome(&to(2))??, [Offset(0)]);
    Ok(())
}

#[test]
fn offsets_are_those_of_the_records() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("appender-offsets", 2, &[]))?;
    let appender = Appender::new(&shared.cluster, AppenderBounds::default())?;
    let rows = |rows: &[(u32, &str)]| -> Vec<_> {
        let row = |(partition, payload): &(u32, &str)| {
            record("appender-offsets", *partition, payload.as_bytes())
        };
        rows.iter().map(row).collect()
    };
    let first = append(&appender, &rows(&[(0, "a"), (1, "b"), (0, "c")]));
    let second = append(&appender, &rows(&[(0, "d"), (1, "e")]));
    assert_eq!(outcome(&first)??, [Offset(0), Offset(0), Offset(1)]);
    assert_eq!(outcome(&second)??, [Offset(2), Offset(1)]);
    assert_eq!(outcome(&append(&appender, &[]))??, []);
    assert_eq!(appender.in_flight(), 0);
    let reader = Reader::new(&shared.cluster);
    let limit = ReadLimit { events: 10, bytes: Size::mib(1) };
    let read = reader.read(("appender-offsets", 0), Offset(1), limit, Duration::ZERO)?;
    let sent = record("appender-offsets", 0, b"c");
    assert_eq!(read[0].offset, Offset(1));
    assert_eq!(read[0].timestamp_ms, sent.timestamp_ms);
    assert_eq!((&read[0].key, &read[0].headers), (&sent.key, &sent.headers));
    assert_eq!(read[0].payload, sent.payload);
    Ok(())
}

#[test]
fn keys_and_payloads_are_null_or_empty_as_they_were() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("appender-null", 1, &[]))?;
    let appender = Appender::new(&shared.cluster, AppenderBounds::default())?;
    let null = NewRecord { key: None, payload: None, ..record("appender-null", 0, b"") };
    let empty = NewRecord { key: Some(Bytes::new()), ..record("appender-null", 0, b"") };
    outcome(&append(&appender, &[null.clone(), empty.clone()]))??;
    let limit = ReadLimit { events: 10, bytes: Size::mib(1) };
    let read = Reader::new(&shared.cluster).read(
        ("appender-null", 0),
        Offset(0),
        limit,
        Duration::ZERO,
    )?;
    assert_eq!((&read[0].key, &read[0].payload), (&null.key, &null.payload));
    assert_eq!((&read[1].key, &read[1].payload), (&empty.key, &empty.payload));
    Ok(())
}

#[test]
fn what_is_too_large_is_refused_by_whoever_finds_it_so() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("appender-small", 1, &[("max.message.bytes", "1000")]))?;
    let appender = Appender::new(&shared.cluster, AppenderBounds::default())?;
    let append_sized = |size: usize| {
        let payload: Vec<u8> = (0_u32..)
            .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .take(size)
            .collect();
        outcome(&append(&appender, &[record("appender-small", 0, &payload)]))
    };
    // By the client, by the broker, by nobody.
    assert_eq!(append_sized(2_000_000)?.unwrap_err().code(), "E0612");
    assert_eq!(append_sized(10_000)?.unwrap_err().code(), "E0612");
    assert_eq!(append_sized(100)??, [Offset(0)]);
    Ok(())
}

#[test]
fn a_batch_fails_once_with_its_first_failure() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("appender-partly", 1, &[]))?;
    let appender = Appender::new(&shared.cluster, AppenderBounds::default())?;
    outcome(&append(&appender, &[record("appender-partly", 0, b"a")]))??;
    let told = append(
        &appender,
        &[record("appender-partly", 0, b"b"), record("appender-partly", 7, b"c")],
    );
    let unknown = Error::PartitionUnknown { topic: "appender-partly".to_owned(), partition: 7 };
    assert_eq!(outcome(&told)?.unwrap_err(), unknown);
    assert!(told.recv().is_err(), "told once");
    let told = append(&appender, &[record("appender-none", 0, b"c")]);
    let unknown = Error::TopicUnknown { topic: "appender-none".to_owned() };
    assert_eq!(outcome(&told)?.unwrap_err(), unknown);
    Ok(())
}

#[test]
fn no_more_waits_than_may_and_the_end_tells_all() -> Result<()> {
    // Nobody listens there: whatever is appended waits.
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string();
    let cluster = Cluster::connect(settings(&nobody))?.within(Duration::from_millis(200));
    let bounds = AppenderBounds { records: 2, bytes: Size::mib(1) };
    let appender = Appender::new(&cluster, bounds)?;
    let waiting = append(&appender, &[record("orders", 0, b"a"), record("orders", 0, b"b")]);
    assert_eq!(appender.in_flight(), 2);
    let full = outcome(&append(&appender, &[record("orders", 0, b"c")]))?.unwrap_err();
    assert_eq!((full.code(), full.is_retriable()), ("E0614", true));
    drop(appender);
    let ended = outcome(&waiting)?.unwrap_err();
    assert_eq!(ended.code(), "E0603", "{ended:?}");
    Ok(())
}

#[test]
fn dropping_an_appender_waits_for_what_it_took() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("appender-dropped", 1, &[]))?;
    let appender = Appender::new(&shared.cluster, AppenderBounds::default())?;
    let records: Vec<_> = (0..1_000).map(|_| record("appender-dropped", 0, b"x")).collect();
    let told = append(&appender, &records);
    drop(appender);
    assert_eq!(told.try_recv()??.len(), 1_000);
    assert_eq!(shared.cluster.bounds("appender-dropped", 0)?.1, Offset(1_000));
    Ok(())
}

#[test]
fn partitions_of_keys_are_those_of_other_clients() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("appender-keys", 5, &[]))?;
    let keys: Vec<String> = (0..20).map(|at| format!("customer-{at}")).collect();
    super::raw::write_keys(&shared.bootstrap, "appender-keys", &keys)?;
    let reader = Reader::new(&shared.cluster);
    let limit = ReadLimit { events: 100, bytes: Size::mib(1) };
    let topic = Topic {
        id: TopicId(0),
        name: "appender-keys".into(),
        partitions: 5,
        retention: Retention::default(),
        compacted: false,
        created: Instant(0),
    };
    let mut found = 0;
    for partition in 0..5 {
        let read = reader.read(("appender-keys", partition), Offset(0), limit, Duration::ZERO)?;
        for record in read {
            let chosen = Store::partition_for(&topic, record.key.as_deref(), 0);
            assert_eq!(chosen, PartitionId(partition), "{record:?}");
            found += 1;
        }
    }
    assert_eq!(found, keys.len());
    Ok(())
}
