//! Readers: all that is committed and nothing else, within limits, without waiting for more than
//! was asked for.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use gristmill_engine::{Bytes as Size, Offset};
use gristmill_kafka::{Error, ReadLimit, Reader, Record};
use rdkafka::producer::Producer;

use super::raw;
use super::shared::{PATIENCE, new_topic, shared};

const ALL: ReadLimit = ReadLimit { events: 1_000, bytes: Size::mib(1) };

fn payloads(records: &[Record]) -> Vec<(u64, String)> {
    let payload = |record: &Record| {
        String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default()).into_owned()
    };
    records.iter().map(|record| (record.offset.0, payload(record))).collect()
}

fn rows(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(offset, payload)| (*offset, (*payload).to_owned())).collect()
}

#[test]
fn aborted_and_open_transactions_are_gaps() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("reader-gaps", 1, &[]))?;
    let transactional = raw::producer(&shared.bootstrap, Some("reader-gaps"))?;
    for (payload, commits) in [("0", true), ("2", false), ("4", true)] {
        transactional.begin_transaction()?;
        raw::write(&transactional, "reader-gaps", 0, &[payload])?;
        if commits {
            transactional.commit_transaction(PATIENCE)?;
        } else {
            transactional.abort_transaction(PATIENCE)?;
        }
    }
    transactional.begin_transaction()?;
    raw::write(&transactional, "reader-gaps", 0, &["6"])?;
    let reader = Reader::new(&shared.cluster);
    let read = |from| reader.read(("reader-gaps", 0), Offset(from), ALL, Duration::ZERO);
    assert_eq!(payloads(&read(0)?), rows(&[(0, "0"), (4, "4")]));
    assert_eq!(payloads(&read(1)?), rows(&[(4, "4")]));
    assert_eq!(payloads(&read(5)?), rows(&[]));
    // Between the stable end and the high watermark.
    assert_eq!(payloads(&read(7)?), rows(&[]));
    transactional.commit_transaction(PATIENCE)?;
    // A commit returns before its marker is in the partition.
    let committed = reader.read(("reader-gaps", 0), Offset(5), ALL, PATIENCE)?;
    assert_eq!(payloads(&committed), rows(&[(6, "6")]));
    Ok(())
}

#[test]
fn limits_end_a_read_and_the_next_goes_on() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("reader-limits", 2, &[]))?;
    let producer = raw::producer(&shared.bootstrap, None)?;
    raw::write(&producer, "reader-limits", 0, &["a", "b", "c", "d", "e"])?;
    raw::write(&producer, "reader-limits", 1, &["z"])?;
    let reader = Reader::new(&shared.cluster);
    let read = |partition, from, limit| {
        reader.read(("reader-limits", partition), Offset(from), limit, Duration::ZERO)
    };
    let two = ReadLimit { events: 2, ..ALL };
    assert_eq!(payloads(&read(0, 0, two)?), rows(&[(0, "a"), (1, "b")]));
    assert_eq!(payloads(&read(0, 2, two)?), rows(&[(2, "c"), (3, "d")]));
    assert_eq!(payloads(&read(0, 4, two)?), rows(&[(4, "e")]));
    // A record is a key of three bytes and a payload of one: the second goes over five.
    let five = ReadLimit { bytes: Size(5), ..ALL };
    assert_eq!(payloads(&read(0, 1, five)?), rows(&[(1, "b"), (2, "c")]));
    let none = ReadLimit { events: 0, bytes: Size(0) };
    assert_eq!(payloads(&read(0, 3, none)?), rows(&[(3, "d")]));
    assert_eq!(payloads(&read(1, 0, ALL)?), rows(&[(0, "z")]));
    Ok(())
}

#[test]
fn a_read_at_the_end_waits_as_long_as_it_may() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("reader-waits", 1, &[]))?;
    let reader = Reader::new(&shared.cluster);
    let read = |from, wait| reader.read(("reader-waits", 0), Offset(from), ALL, wait);
    assert_eq!(read(0, Duration::ZERO)?, []);
    let began = Instant::now();
    assert_eq!(read(0, Duration::from_millis(300))?, []);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(300) && waited < PATIENCE, "{waited:?}");
    thread::scope(|scope| -> Result<()> {
        let waiting = scope.spawn(|| read(0, PATIENCE));
        raw::write(&raw::producer(&shared.bootstrap, None)?, "reader-waits", 0, &["now"])?;
        assert_eq!(payloads(&waiting.join().unwrap()?), rows(&[(0, "now")]));
        Ok(())
    })?;
    // Far beyond the end nothing is yet.
    assert_eq!(read(1_000, Duration::ZERO)?, []);
    Ok(())
}

#[test]
fn what_was_written_before_a_read_is_read() -> Result<()> {
    let shared = shared()?;
    for topic in ["reader-fresh", "reader-empty"] {
        shared.cluster.create(&new_topic(topic, 1, &[]))?;
    }
    let producer = raw::producer(&shared.bootstrap, None)?;
    let reader = Reader::new(&shared.cluster);
    let read = |topic, from| reader.read((topic, 0), Offset(from), ALL, Duration::ZERO);
    for number in 0..20 {
        // Hearing of one end takes as long as hearing of another: the client that reads on has
        // heard by then that its partition ends here, which will not be true any more.
        assert_eq!(read("reader-empty", 0)?, []);
        let payload = number.to_string();
        raw::write(&producer, "reader-fresh", 0, &[&payload])?;
        assert_eq!(payloads(&read("reader-fresh", number)?), rows(&[(number, &payload)]));
    }
    Ok(())
}

#[test]
fn a_record_comes_as_it_was_written() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("reader-odd", 1, &[("retention.ms", "-1")]))?;
    raw::write_odd(&raw::producer(&shared.bootstrap, None)?, "reader-odd")?;
    let reader = Reader::new(&shared.cluster);
    let read = reader.read(("reader-odd", 0), Offset(0), ALL, Duration::ZERO)?;
    let [record] = &read[..] else { panic!("{read:?}") };
    assert_eq!((record.timestamp_ms, &record.key, &record.payload), (1_234_567, &None, &None));
    let headers: Vec<_> =
        record.headers.iter().map(|(name, value)| (&**name, value.as_ref())).collect();
    let expected: [(&str, &[u8]); 5] =
        [("twice", b"1"), ("twice", b"2"), ("empty", b""), ("null", b""), ("n\u{fffd}me", b"x")];
    assert_eq!(headers, expected);
    Ok(())
}

#[test]
fn a_read_from_what_was_deleted_begins_at_the_start() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("reader-start", 1, &[]))?;
    let producer = raw::producer(&shared.bootstrap, None)?;
    raw::write(&producer, "reader-start", 0, &["a", "b", "c", "d"])?;
    raw::delete_before(&shared.bootstrap, "reader-start", 2)?;
    assert_eq!(shared.cluster.bounds("reader-start", 0)?, (Offset(2), Offset(4)));
    let reader = Reader::new(&shared.cluster);
    let read = reader.read(("reader-start", 0), Offset(0), ALL, Duration::ZERO)?;
    assert_eq!(payloads(&read), rows(&[(2, "c"), (3, "d")]));
    Ok(())
}

#[test]
fn what_does_not_exist_is_not_waited_for() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("reader-few", 1, &[]))?;
    let reader = Reader::new(&shared.cluster);
    let read =
        |topic, partition| reader.read((topic, partition), Offset(0), ALL, PATIENCE).unwrap_err();
    let began = Instant::now();
    assert_eq!(read("reader-none", 0), Error::TopicUnknown { topic: "reader-none".to_owned() });
    let partition = Error::PartitionUnknown { topic: "reader-few".to_owned(), partition: 1 };
    assert_eq!(read("reader-few", 1), partition);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    Ok(())
}

#[test]
fn many_read_at_once() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("reader-many", 4, &[]))?;
    let producer = raw::producer(&shared.bootstrap, None)?;
    for partition in 0..4 {
        raw::write(&producer, "reader-many", partition, &["a", "b", "c"])?;
    }
    let reader = Reader::new(&shared.cluster);
    let read_all = |partition| -> Result<(), Error> {
        let one = ReadLimit { events: 1, ..ALL };
        for offset in 0..3 {
            let read =
                reader.read(("reader-many", partition), Offset(offset), one, Duration::ZERO)?;
            assert_eq!(read.first().map(|record| record.offset), Some(Offset(offset)));
        }
        Ok(())
    };
    // More than there are clients.
    thread::scope(|scope| -> Result<()> {
        let reads: Vec<_> = (0..24).map(|at| scope.spawn(move || read_all(at % 4))).collect();
        reads.into_iter().try_for_each(|read| Ok(read.join().unwrap()?))
    })
}
