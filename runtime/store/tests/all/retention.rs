//! Retention: by age and by size, at the limit and past it.

use std::time::{Duration, Instant};

use gristmill_engine::{Bytes as Size, Millis, Offset, PartitionId};
use gristmill_store::{Retention, TopicUpdate};

use crate::world::{World, offsets, read_all};

const HOUR: Millis = Millis::seconds(3_600);

fn age(limit: Millis) -> Retention {
    Retention { age: Some(limit), bytes: None }
}

fn bytes(limit: u64) -> Retention {
    Retention { age: None, bytes: Some(Size(limit)) }
}

#[test]
fn an_event_stays_at_its_age_and_goes_past_it() {
    let mut world = World::new();
    let topic = world.topic("t", 1, age(HOUR)).id;
    world.fill(topic, 0, 3, 10);
    world.clock.pass(HOUR);
    world.store().maintain().expect("maintains");
    assert_eq!(offsets(&read_all(world.store(), topic, 0)), [0, 1, 2]);
    world.clock.pass(Millis(1));
    world.store().maintain().expect("maintains");
    assert_eq!(read_all(world.store(), topic, 0), vec![]);
    let bounds = world.store().bounds(topic, PartitionId(0)).expect("bounds");
    assert_eq!((bounds.start, bounds.end), (Offset(3), Offset(3)));
    world.reopen();
    let bounds = world.store().bounds(topic, PartitionId(0)).expect("bounds");
    assert_eq!((bounds.start, bounds.end), (Offset(3), Offset(3)), "offsets are never used again");
    assert_eq!(world.fill(topic, 0, 1, 10), Offset(3));
    assert_eq!(world.store().figures().removed, 0, "counted since the store was opened");
}

#[test]
fn events_of_one_sixteenth_of_the_age_go_together() {
    let world = World::new();
    let topic = world.topic("t", 1, age(Millis(1_600))).id;
    for _ in 0..20 {
        world.fill(topic, 0, 1, 10);
        world.clock.pass(Millis(100));
    }
    // The events were put in at 0, 100, …, 1900; it is 2000 and everything past 400 stays.
    world.store().maintain().expect("maintains");
    let left = offsets(&read_all(world.store(), topic, 0));
    assert_eq!(left, (4..20).collect::<Vec<_>>());
}

#[test]
fn a_topic_keeps_its_bytes_and_little_more() {
    let world = World::new();
    // Sixteen chunks of 100 bytes; one event is one chunk.
    let topic = world.topic("t", 1, bytes(1_600)).id;
    world.fill(topic, 0, 16, 100);
    world.store().maintain().expect("maintains");
    assert_eq!(read_all(world.store(), topic, 0).len(), 16, "at the limit nothing goes");
    world.fill(topic, 0, 1, 99);
    world.store().maintain().expect("maintains");
    assert_eq!(read_all(world.store(), topic, 0).len(), 17, "without the first it would be 1,599");
    world.fill(topic, 0, 1, 1);
    world.store().maintain().expect("maintains");
    let left = offsets(&read_all(world.store(), topic, 0));
    assert_eq!(left, (1..18).collect::<Vec<_>>(), "without the first it is 1,600 still");
    assert_eq!(world.store().topic_figures(topic).expect("figures").bytes, Size(1_600));
    assert_eq!(world.store().figures().removed, 1);
}

#[test]
fn the_oldest_events_of_all_partitions_go_first() {
    let world = World::new();
    let topic = world.topic("t", 2, bytes(3_200)).id;
    world.fill(topic, 1, 10, 100);
    world.clock.pass(Millis(1));
    world.fill(topic, 0, 30, 100);
    world.store().maintain().expect("maintains");
    assert_eq!(offsets(&read_all(world.store(), topic, 1)), [8, 9]);
    assert_eq!(read_all(world.store(), topic, 0).len(), 30);
}

#[test]
fn reading_below_the_start_begins_at_the_start() {
    let world = World::new();
    let topic = world.topic("t", 1, bytes(160)).id;
    world.fill(topic, 0, 20, 10);
    world.store().maintain().expect("maintains");
    let start = world.store().bounds(topic, PartitionId(0)).expect("bounds").start;
    assert_eq!(start, Offset(4));
    assert_eq!(offsets(&read_all(world.store(), topic, 0)).first(), Some(&4));
}

#[test]
fn a_shorter_retention_removes_what_is_there() {
    let world = World::new();
    let topic = world.topic("t", 1, Retention::default()).id;
    world.fill(topic, 0, 100, 100);
    world.clock.pass(HOUR);
    world.store().maintain().expect("maintains");
    assert_eq!(read_all(world.store(), topic, 0).len(), 100, "without retention all stays");
    let update = TopicUpdate { retention: age(Millis(1)), compacted: false };
    world.store().update_topic("t", update).expect("updated");
    world.store().maintain().expect("maintains");
    assert_eq!(read_all(world.store(), topic, 0), vec![]);
}

#[test]
fn what_is_removed_gives_its_disk_space_back() {
    let mut world = World::new();
    let topic = world.topic("t", 4, Retention::default()).id;
    for round in 0..40 {
        // Sizes that do not compress to nothing: each round's bytes differ.
        world.fill(topic, round % 4, 1_000, 3_000);
    }
    world.store().delete_topic("t").expect("deleted");
    let other = world.topic("u", 1, Retention::default()).id;
    world.fill(other, 0, 10, 10);
    world.store().maintain().expect("maintains");
    world.reopen();
    // The engine moves events from memory into tables when it likes; wait until it is quiet.
    let left = world.folder.path().join("data/keyspaces");
    let began = Instant::now();
    while size(&left) >= 60_000_000 {
        world.store().maintain().expect("maintains");
        assert!(began.elapsed() < Duration::from_mins(1), "{} bytes are left", size(&left));
        std::thread::yield_now();
    }
    assert_eq!(read_all(world.store(), other, 0).len(), 10);
}

fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("reads");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            // A table may go between the list and the look.
            let Ok(meta) = entry.metadata() else { return 0 };
            if meta.is_dir() { size(&entry.path()) } else { meta.len() }
        })
        .sum()
}

#[test]
fn what_is_trimmed_goes_in_whole_chunks_and_nothing_beyond() {
    let mut world = World::new();
    // One event is one chunk.
    let topic = world.topic("t", 2, bytes(3_200)).id;
    world.fill(topic, 0, 5, 100);
    world.fill(topic, 1, 5, 100);
    let place = |number: u32, offset: u64| (PartitionId(number), Offset(offset));
    world.store().trim(topic, [place(0, 3), place(7, 5)]).expect("trims");
    assert_eq!(offsets(&read_all(world.store(), topic, 0)), [3, 4]);
    assert_eq!(read_all(world.store(), topic, 1).len(), 5, "of another partition nothing goes");
    world.store().trim(topic, [place(0, 2)]).expect("trims");
    assert_eq!(offsets(&read_all(world.store(), topic, 0)), [3, 4], "it never grows back");
    world.store().trim(topic, [place(0, 99), place(1, 0)]).expect("trims");
    assert_eq!(read_all(world.store(), topic, 0), vec![]);
    assert_eq!(world.fill(topic, 0, 1, 100), Offset(5), "offsets are never used again");
    world.reopen();
    assert_eq!(offsets(&read_all(world.store(), topic, 0)), [5]);
    assert_eq!(read_all(world.store(), topic, 1).len(), 5);
    let large = world.topic("large", 1, Retention::default()).id;
    world.fill(large, 0, 3, 10);
    world.store().trim(large, [place(0, 2)]).expect("trims");
    assert_eq!(read_all(world.store(), large, 0).len(), 3, "a chunk stays while any of it does");
    world.store().trim(large, [place(0, 3)]).expect("trims");
    assert_eq!(read_all(world.store(), large, 0), vec![]);
}
