//! Compacted topics: the last event of each key stays, tombstones go after a day.

use std::collections::BTreeMap;

use bytes::Bytes;
use gristmill_engine::{Bytes as Size, Instant, Millis, Offset, PartitionId, TopicId};
use gristmill_store::{Append, Batch, ReadLimit, Retention, Stored, TopicSpec};

use crate::world::{Random, World, event, offsets, read_all, submit};

const DAY: Millis = Millis::seconds(24 * 3_600);

fn compacted(world: &World) -> TopicId {
    let spec = TopicSpec {
        name: "c".to_owned(),
        partitions: 1,
        retention: Retention::default(),
        compacted: true,
    };
    world.store().create_topic(spec).expect("created").id
}

fn put(world: &World, topic: TopicId, events: &[(Option<&str>, Option<&str>)]) {
    let append = |(key, payload): &(Option<&str>, Option<&str>)| Append {
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        payload: payload.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        timestamp: world.clock.now(),
        ..event(topic, 0, "", "")
    };
    let batch = Batch { appends: events.iter().map(append).collect(), ..Batch::default() };
    submit(world.store(), batch).expect("durable");
}

fn kept(world: &World, topic: TopicId) -> Vec<u64> {
    world.store().maintain().expect("maintains");
    offsets(&read_all(world.store(), topic, 0))
}

#[test]
fn the_last_of_each_key_stays_and_offsets_keep_gaps() {
    let mut world = World::new();
    let topic = compacted(&world);
    let (a, b, c) = (Some("a"), Some("b"), Some("c"));
    put(&world, topic, &[(a, a), (b, b), (a, a), (None, a), (None, a), (c, c), (a, b)]);
    assert_eq!(kept(&world, topic), [1, 3, 4, 5, 6], "events without key stay");
    let figures = world.store().topic_figures(topic).expect("figures");
    assert_eq!(figures.events, 5);
    world.reopen();
    assert_eq!(kept(&world, topic), [1, 3, 4, 5, 6]);
    assert_eq!(world.store().topic_figures(topic).expect("figures"), figures);
    put(&world, topic, &[(b, b), (c, c), (b, a), (a, a), (c, c)]);
    assert_eq!(kept(&world, topic), [3, 4, 9, 10, 11]);
    let from_gap = ReadLimit { events: 1, bytes: Size(1) };
    let read = world.store().read(topic, PartitionId(0), Offset(5), from_gap).expect("reads");
    assert_eq!(offsets(&read), [9]);
}

#[test]
fn a_tombstone_stays_a_day_and_goes_at_its_end() {
    let world = World::new();
    let topic = compacted(&world);
    let (a, b) = (Some("a"), Some("b"));
    put(&world, topic, &[(a, a), (a, None), (b, b)]);
    assert_eq!(kept(&world, topic), [1, 2]);
    world.clock.pass(Millis(DAY.0 - 1));
    assert_eq!(kept(&world, topic), [1, 2]);
    world.clock.pass(Millis(1));
    assert_eq!(kept(&world, topic), [2]);
}

#[test]
fn the_newest_event_of_a_partition_stays_even_as_a_tombstone() {
    let world = World::new();
    let topic = compacted(&world);
    let a = Some("a");
    put(&world, topic, &[(a, a), (a, None)]);
    world.clock.pass(DAY);
    world.clock.pass(DAY);
    assert_eq!(kept(&world, topic), [1]);
    assert_eq!(world.store().bounds(topic, PartitionId(0)).expect("bounds").end, Offset(2));
}

#[test]
fn many_keys_and_slices_keep_exactly_the_last_of_each() {
    let mut world = World::new();
    let topic = compacted(&world);
    let mut random = Random::new(11);
    let mut last: BTreeMap<Bytes, (Offset, Bytes)> = BTreeMap::new();
    for round in 0..6_u64 {
        let appends: Vec<Append> = (0..2_500)
            .map(|_| {
                let key = format!("key-{}", random.below(700));
                event(topic, 0, &key, &format!("{}-{}", round, random.next()))
            })
            .collect();
        let batch = Batch { appends: appends.clone(), ..Batch::default() };
        let receipt = submit(world.store(), batch).expect("durable");
        for (append, offset) in appends.into_iter().zip(receipt.offsets) {
            let (key, payload) = (append.key.expect("a key"), append.payload.expect("a payload"));
            last.insert(key, (offset, payload));
        }
        if round == 3 {
            world.reopen();
        }
        world.store().maintain().expect("maintains");
    }
    let events: Vec<Stored> = read_all(world.store(), topic, 0);
    assert_eq!(events.len(), last.len(), "one event per key");
    for event in events {
        let (offset, payload) = &last[event.key.as_ref().expect("a key")];
        assert_eq!((event.offset, event.payload.as_ref()), (*offset, Some(payload)));
    }
    let figures = world.store().topic_figures(topic).expect("figures");
    assert_eq!(figures.events, last.len() as u64);
    let at = world.store().offset_at(topic, PartitionId(0), Instant(0)).expect("finds");
    assert_eq!(Some(at), last.values().map(|(offset, _)| *offset).min());
}
