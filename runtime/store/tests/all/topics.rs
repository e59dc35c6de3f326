//! Topics: their life, what reads return, and where partitions begin and end.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gristmill_engine::{Bytes as Size, Instant, Millis, Offset, PartitionId, TopicId};
use gristmill_store::{
    Append, Batch, Bounds, Failed, ReadLimit, Retention, Store, TopicSpec, TopicUpdate,
};

use crate::world::{ALL, START, World, event, offsets, read_all, submit};

#[test]
fn an_event_comes_back_as_it_was() {
    let mut world = World::new();
    let topic = world.topic("t", 2, Retention::default()).id;
    let partition = PartitionId(1);
    let bytes = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let header = |name: &str, value: &'static [u8]| (name.into(), Bytes::from_static(value));
    let rows = [
        (bytes("key"), vec![header("a", b"1"), header("a", b"2"), header("", b"")], bytes("text")),
        (None, vec![], bytes("")),
        (bytes(""), vec![], None),
        (None, vec![header("ä", b"\0\xff")], None),
        (Some(Bytes::from(vec![9; 70_000])), vec![], Some(Bytes::from(vec![8; 3_000_000]))),
    ];
    let append = |(place, (key, headers, payload))| Append {
        topic,
        partition,
        timestamp: Instant(place),
        key,
        headers,
        payload,
    };
    let appends: Vec<Append> = (0_u64..).zip(rows).map(append).collect();
    let batch = Batch { appends: appends.clone(), ..Batch::default() };
    let receipt = submit(world.store(), batch).expect("durable");
    assert_eq!(receipt.offsets, (0..5).map(Offset).collect::<Vec<_>>());
    for again in [false, true] {
        if again {
            world.reopen();
        }
        let stored = read_all(world.store(), topic, 1);
        assert_eq!(stored.len(), appends.len());
        for (stored, append) in stored.iter().zip(&appends) {
            assert_eq!(stored.timestamp, append.timestamp);
            assert_eq!(stored.key, append.key);
            assert_eq!(*stored.headers, append.headers);
            assert_eq!(stored.payload, append.payload);
        }
        assert_eq!(read_all(world.store(), topic, 0), vec![]);
    }
}

#[test]
fn a_read_keeps_to_its_limits_and_always_moves() {
    let world = World::new();
    let topic = world.topic("t", 1, Retention::default()).id;
    world.fill(topic, 0, 10, 100);
    // From, events, bytes; offsets.
    let rows: &[(u64, u32, u64, &[u64])] = &[
        (0, 3, u64::MAX, &[0, 1, 2]),
        (8, 100, u64::MAX, &[8, 9]),
        (9, 1, u64::MAX, &[9]),
        (10, 1, u64::MAX, &[]),
        (11, 1, u64::MAX, &[]),
        (0, 0, u64::MAX, &[0]),
        (0, 100, 0, &[0]),
        (0, 100, 199, &[0, 1]),
        (0, 100, 200, &[0, 1]),
        (0, 100, 201, &[0, 1, 2]),
    ];
    for (from, events, bytes, expected) in rows {
        let limit = ReadLimit { events: *events, bytes: Size(*bytes) };
        let read = world.store().read(topic, PartitionId(0), Offset(*from), limit).expect("reads");
        assert_eq!(offsets(&read), *expected, "{from} {events} {bytes}");
    }
}

#[test]
fn offsets_by_time_are_the_first_not_older() {
    let world = World::new();
    let topic = world.topic("t", 1, Retention::default()).id;
    let at = |time| Append { timestamp: Instant(time), ..event(topic, 0, "k", "p") };
    let times = [10, 20, 20, 15, 30];
    let batch = Batch { appends: times.into_iter().map(at).collect(), ..Batch::default() };
    submit(world.store(), batch).expect("durable");
    for (time, offset) in [(0, 0), (10, 0), (11, 1), (20, 1), (21, 4), (30, 4), (31, 5)] {
        let found = world.store().offset_at(topic, PartitionId(0), Instant(time)).expect("finds");
        assert_eq!(found, Offset(offset), "at {time}");
    }
}

#[test]
fn a_topic_of_the_same_name_is_another_topic() {
    let mut world = World::new();
    let first = world.topic("t", 1, Retention::default());
    world.fill(first.id, 0, 5, 10);
    world.store().delete_topic("t").expect("deleted");
    assert_eq!(world.store().topic("t"), None);
    assert_eq!(world.store().bounds(first.id, PartitionId(0)).expect_err("gone").code(), "E0213");
    let refused = Batch { appends: vec![event(first.id, 0, "k", "p")], ..Batch::default() };
    assert!(matches!(submit(world.store(), refused), Err(Failed::Rejected(_))));
    world.reopen();
    let second = world.topic("t", 3, Retention::default());
    assert_ne!(second.id, first.id);
    assert_ne!(second.incarnation(), first.incarnation());
    assert_eq!(read_all(world.store(), second.id, 0), vec![]);
    let bounds = world.store().bounds(second.id, PartitionId(2)).expect("bounds");
    assert_eq!(bounds, Bounds::default());
    let missing = world.store().bounds(second.id, PartitionId(3)).expect_err("no such partition");
    assert_eq!(missing.code(), "E0214");
}

#[test]
fn a_refused_batch_leaves_nothing_behind() {
    let world = World::new();
    let topic = world.topic("t", 1, Retention::default()).id;
    let appends = vec![event(topic, 0, "k", "p"), event(topic, 1, "k", "p")];
    let refused = submit(world.store(), Batch { appends, ..Batch::default() });
    assert_eq!(refused.expect_err("refused").error().code(), "E0214");
    assert_eq!(world.store().bounds(topic, PartitionId(0)).expect("bounds").end, Offset(0));
    assert_eq!(world.fill(topic, 0, 1, 1), Offset(0));
}

#[test]
fn topics_change_and_the_change_stays() {
    let mut world = World::new();
    let topic = world.topic("t", 4, Retention::default());
    let retention = Retention { age: Some(Millis(1)), bytes: Some(Size(2)) };
    let update = TopicUpdate { retention, compacted: true };
    let updated = world.store().update_topic("t", update).expect("updated");
    assert_eq!((updated.retention, updated.compacted), (retention, true));
    assert_eq!((updated.id, updated.partitions), (topic.id, 4));
    world.reopen();
    assert_eq!(world.store().topic("t"), Some(updated.clone()));
    assert_eq!(world.store().topic_by_id(topic.id), Some(updated));
    let again = TopicSpec {
        name: "t".to_owned(),
        partitions: 1,
        retention: Retention::default(),
        compacted: false,
    };
    assert_eq!(world.store().create_topic(again).expect_err("exists").code(), "E0212");
    let missing = world.store().update_topic("u", TopicUpdate { retention, compacted: true });
    assert_eq!(missing.expect_err("unknown").code(), "E0213");
    assert_eq!(world.store().delete_topic("u").expect_err("unknown").code(), "E0213");
}

#[test]
fn listeners_hear_once_of_each_partition_that_grew_when_it_can_be_read() {
    let world = World::new();
    let topic = world.topic("t", 3, Retention::default()).id;
    let heard: Arc<Mutex<Vec<(TopicId, PartitionId)>>> = Arc::default();
    let (hear, store) = (Arc::clone(&heard), world.store().clone());
    world.store().on_append(Box::new(move |grown| {
        for (topic, partition) in grown {
            let read = store.read(*topic, *partition, Offset(0), ALL).expect("reads");
            assert!(!read.is_empty(), "what is announced can be read");
            hear.lock().expect("no panic").push((*topic, *partition));
        }
    }));
    let appends =
        vec![event(topic, 2, "a", "1"), event(topic, 0, "b", "2"), event(topic, 2, "c", "3")];
    submit(world.store(), Batch { appends, ..Batch::default() }).expect("durable");
    let mut heard = heard.lock().expect("no panic").clone();
    heard.sort();
    assert_eq!(heard, [(topic, PartitionId(0)), (topic, PartitionId(2))]);
}

#[test]
fn a_thousand_topics_are_few_files_and_come_back() {
    let mut world = World::new();
    let mut ids = Vec::new();
    for number in 0..1_000 {
        ids.push(world.topic(&format!("topic-{number}"), 4, Retention::default()).id);
    }
    let appends = ids.iter().map(|id| event(*id, id.0 % 4, "k", &id.0.to_string())).collect();
    submit(world.store(), Batch { appends, ..Batch::default() }).expect("durable");
    world.reopen();
    assert_eq!(world.store().topics().len(), 1_000);
    for id in ids {
        let events = read_all(world.store(), id, id.0 % 4);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].payload.as_deref(), Some(id.0.to_string().as_bytes()));
    }
    let files = walk(world.folder.path());
    assert!(files < 100, "{files} files for 1,000 topics");
}

fn walk(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("reads");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_dir() { walk(&entry.path()) } else { 1 }
        })
        .sum()
}

#[test]
fn partitions_by_key_are_kafkas() {
    let world = World::new();
    let topic = world.topic("t", 7, Retention::default());
    assert_eq!(Store::partition_for(&topic, Some(b"foobar"), 0), PartitionId(1_357_151_166 % 7));
    assert_eq!(Store::partition_for(&topic, None, 8), PartitionId(1));
}

#[test]
fn batches_of_one_caller_keep_their_order_and_share_commits() {
    let world = World::new();
    let topic = world.topic("t", 1, Retention::default()).id;
    let told: Arc<Mutex<Vec<u64>>> = Arc::default();
    for number in 0..500_u64 {
        let (told, payload) = (Arc::clone(&told), number.to_string());
        let batch = Batch { appends: vec![event(topic, 0, "k", &payload)], ..Batch::default() };
        world.store().submit(
            batch,
            Box::new(move |answer| {
                assert_eq!(answer.expect("durable").offsets, [Offset(number)]);
                told.lock().expect("no panic").push(number);
            }),
        );
    }
    world.fill(topic, 0, 1, 1);
    assert_eq!(*told.lock().expect("no panic"), (0..500).collect::<Vec<_>>());
    let figures = world.store().figures();
    assert!(figures.checkpoints < 400, "{} commits for 501 batches", figures.checkpoints);
    assert_eq!(figures.events, 501);
    let start = world.store().offset_at(topic, PartitionId(0), Instant(START)).expect("finds");
    assert_eq!(start, Offset(0));
}
