//! What a subscription remembers: state, timers, parked lanes, marks, progress, documents.

use bytes::Bytes;
use gristmill_engine::{
    Bytes as Size, EventRef, IdHash, Instant, KeyHash, Mark, Millis, Offset, OffsetRange,
    ParkedEvent, PartitionId, Position, StoredProgress, TimerEntry, TimerHash, TopicId,
};
use gristmill_store::{
    Batch, Change, Cleared, Failed, Keys, Names, Parked, ParkedRecord, Retention, Scope, Stored,
    TimerRecord,
};

use crate::world::{START, World, submit};

fn set(scope: Scope, key: &str, name: &str, value: &str, expires: Option<u64>) -> Change {
    Change::StateSet {
        scope,
        key: Bytes::copy_from_slice(key.as_bytes()),
        name: name.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        expires: expires.map(Instant),
    }
}

fn get(world: &World, scope: Scope, key: &str, name: &str, now: u64) -> Option<String> {
    let value = world.store().state_get(scope, key.as_bytes(), name, Instant(now)).expect("reads");
    value.map(|value| String::from_utf8(value.to_vec()).expect("text"))
}

#[test]
fn state_is_kept_by_subscription_partition_key_and_name() {
    let mut world = World::new();
    let (a, b) = (world.scope("a", 0), world.scope("b", 0));
    let other = world.scope("a", 1);
    world.changes(vec![
        set(a, "k", "n", "1", None),
        set(b, "k", "n", "2", None),
        set(other, "k", "n", "3", None),
        set(a, "kn", "", "4", None),
        set(a, "k", "m", "5", None),
        set(a, "k", "m", "6", None),
        set(a, "gone", "n", "7", None),
        Change::StateDelete { scope: a, key: Bytes::from_static(b"gone"), name: "n".to_owned() },
    ]);
    for again in [false, true] {
        if again {
            world.reopen();
        }
        assert_eq!(get(&world, a, "k", "n", 0).as_deref(), Some("1"));
        assert_eq!(get(&world, b, "k", "n", 0).as_deref(), Some("2"));
        assert_eq!(get(&world, other, "k", "n", 0).as_deref(), Some("3"));
        assert_eq!(get(&world, a, "kn", "", 0).as_deref(), Some("4"));
        assert_eq!(get(&world, a, "k", "m", 0).as_deref(), Some("6"), "changes apply in order");
        assert_eq!(get(&world, a, "gone", "n", 0), None);
        assert_eq!(get(&world, b, "k", "m", 0), None);
    }
}

/// Prefix, after, limit, now; names.
type NamesRow<'a> = (&'a str, Option<&'a str>, u32, u64, &'a [&'a str]);

#[test]
fn names_come_in_pages_by_prefix_without_the_expired() {
    let world = World::new();
    let scope = world.scope("s", 0);
    let names = ["a", "b1", "b2", "b3", "b4", "c"];
    let mut changes: Vec<Change> =
        names.iter().map(|name| set(scope, "k", name, "v", None)).collect();
    changes.push(set(scope, "k", "b2", "v", Some(100)));
    changes.push(set(scope, "k2", "b9", "v", None));
    changes.push(set(scope, "", "b0", "v", None));
    world.changes(changes);
    let rows: &[NamesRow<'_>] = &[
        ("", None, 100, 99, &["a", "b1", "b2", "b3", "b4", "c"]),
        ("", None, 100, 100, &["a", "b1", "b3", "b4", "c"]),
        ("b", None, 2, 100, &["b1", "b3"]),
        ("b", Some("b3"), 2, 100, &["b4"]),
        ("b", Some("b4"), 2, 100, &[]),
        ("b", Some("a"), 1, 100, &["b1"]),
        ("b", Some("c"), 1, 100, &[]),
        ("d", None, 1, 100, &[]),
        ("", Some("b4"), 0, 100, &["c"]),
    ];
    for (prefix, after, limit, now, expected) in rows {
        let page = Names { prefix, after: *after, limit: *limit };
        let found = world.store().state_names(scope, b"k", page, Instant(*now)).expect("reads");
        assert_eq!(found, *expected, "{prefix:?} {after:?} {limit}");
    }
    let page = Keys { prefix: b"k", after: Some((b"k", "c")), limit: 10 };
    let found = world.store().state_keys(scope, page, Instant(0)).expect("reads");
    assert_eq!(found, [(Bytes::from_static(b"k2"), "b9".to_owned())]);
    let page = Keys { prefix: b"", after: None, limit: 2 };
    let found = world.store().state_keys(scope, page, Instant(0)).expect("reads");
    let key = |key: &'static str, name: &str| (Bytes::from_static(key.as_bytes()), name.to_owned());
    assert_eq!(found, [key("", "b0"), key("k", "a")]);
}

#[test]
fn state_expires_on_read_at_once_and_on_disk_in_the_background() {
    let mut world = World::new();
    let scope = world.scope("s", 0);
    world.changes(vec![
        set(scope, "k", "short", "v", Some(START + 10)),
        set(scope, "k", "renewed", "v", Some(START + 10)),
        set(scope, "k", "for ever", "v", Some(START + 10)),
    ]);
    world.changes(vec![
        set(scope, "k", "renewed", "w", Some(START + 20)),
        set(scope, "k", "for ever", "w", None),
    ]);
    assert_eq!(get(&world, scope, "k", "short", START + 9).as_deref(), Some("v"));
    assert_eq!(get(&world, scope, "k", "short", START + 10), None);
    world.clock.pass(Millis(9));
    world.store().maintain().expect("maintains");
    assert_eq!(world.store().figures().expired, 0);
    world.clock.pass(Millis(1));
    world.store().maintain().expect("maintains");
    assert_eq!(world.store().figures().expired, 1);
    world.reopen();
    // Asked as of an earlier moment: what the sweep removed is gone whatever the moment.
    assert_eq!(get(&world, scope, "k", "short", START), None);
    assert_eq!(get(&world, scope, "k", "renewed", START).as_deref(), Some("w"));
    world.clock.pass(Millis(1_000));
    world.store().maintain().expect("maintains");
    assert_eq!(get(&world, scope, "k", "renewed", START), None);
    assert_eq!(get(&world, scope, "k", "for ever", u64::MAX).as_deref(), Some("w"));
}

#[test]
fn state_made_beside_another_takes_its_place_at_once() {
    let mut world = World::new();
    let (running, beside) = (world.scope("s", 0), world.scope("beside", 0));
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let kept = |name: &str, expires: u64| Change::StateKeep {
        scope: beside,
        key: text("k"),
        name: name.to_owned(),
        value: text("new"),
        expires: Some(Instant(expires)),
    };
    world.changes(vec![
        set(running, "k", "a", "old", None),
        set(running, "k", "z", "old", None),
        set(beside, "k", "a", "new", None),
        kept("past", START + 1),
    ]);
    // Its time is not the clock's: nothing of it goes by itself.
    world.clock.pass(Millis(10));
    world.store().maintain().expect("maintains");
    assert_eq!(get(&world, beside, "k", "past", START).as_deref(), Some("new"));
    assert_eq!(get(&world, beside, "k", "past", START + 1), None);
    let entries = |world: &World, scope| -> Vec<(String, Option<Instant>)> {
        let found = world.store().state_entries(scope, None, 10).expect("reads");
        found.into_iter().map(|entry| (entry.name, entry.expires)).collect()
    };
    let new = [("a".to_owned(), None), ("past".to_owned(), Some(Instant(START + 1)))];
    assert_eq!(entries(&world, beside), new);
    let after = world.store().state_entries(beside, Some((b"k", "a")), 10).expect("reads");
    assert_eq!(after.len(), 1, "{after:?}");
    world.change(Change::StateMove { from: beside, to: running });
    for again in [false, true] {
        if again {
            world.reopen();
        }
        assert_eq!(entries(&world, running), new);
        assert_eq!(entries(&world, beside), []);
    }
    world.changes(vec![set(running, "k", "a", "later", None), set(beside, "k", "a", "x", None)]);
    assert_eq!(get(&world, running, "k", "a", START).as_deref(), Some("later"));
    assert_eq!(get(&world, beside, "k", "a", START).as_deref(), Some("x"));
}

#[test]
fn a_backlog_of_expired_state_goes_in_slices() {
    let world = World::new();
    let scope = world.scope("s", 0);
    let change = |n: u64| set(scope, &n.to_string(), "n", "v", Some(START));
    world.changes((0..3_500).map(change).collect());
    world.store().maintain().expect("maintains");
    assert_eq!(world.store().figures().expired, 3_500);
}

#[test]
fn keys_are_refused_past_their_limit_and_taken_at_it() {
    let world = World::new();
    let scope = world.scope("s", 0);
    // A zero byte of a key counts twice.
    let rows: &[(usize, u8, usize, bool)] =
        &[(59_999, 1, 1, true), (60_000, 1, 1, false), (30_000, 0, 0, true), (30_001, 0, 0, false)];
    for (length, byte, name, taken) in rows {
        let key = Bytes::from(vec![*byte; *length]);
        let name = "n".repeat(*name);
        let value = Bytes::from_static(b"v");
        let change = Change::StateSet {
            scope,
            key: key.clone(),
            name: name.clone(),
            value,
            expires: Some(Instant(1)),
        };
        let answer = submit(world.store(), Batch { changes: vec![change], ..Batch::default() });
        assert_eq!(answer.is_ok(), *taken, "{length} bytes of {byte}");
        if let Err(failed) = answer {
            assert!(matches!(failed, Failed::Rejected(_)));
            assert_eq!(failed.error().code(), "E0216");
        } else {
            let found = world.store().state_get(scope, &key, &name, Instant(0)).expect("reads");
            assert_eq!(found.as_deref(), Some(b"v".as_slice()));
        }
    }
    let long = "n".repeat(1_024);
    assert!(world.store().subscription(&long).is_ok());
    assert_eq!(world.store().subscription(&format!("{long}n")).expect_err("long").code(), "E0216");
}

fn timer(number: u128, due: u64) -> TimerRecord {
    TimerRecord {
        entry: TimerEntry {
            timer: TimerHash(number),
            key: KeyHash(number * 7),
            due: Instant(due),
            sequence: due + 1,
        },
        key: Bytes::from_static(b"key"),
        name: format!("timer {number}"),
        payload: Bytes::from_static(b"payload"),
        context: Bytes::from_static(b"{}"),
    }
}

#[test]
fn timers_are_set_overwritten_deleted_and_loaded() {
    let mut world = World::new();
    let scope = world.scope("s", 3);
    world.changes(vec![
        Change::TimerSet { scope, record: timer(1, 10) },
        Change::TimerSet { scope, record: timer(2, 20) },
        Change::TimerSet { scope, record: timer(1, 30) },
        Change::TimerSet { scope, record: timer(3, 40) },
        Change::TimerDelete { scope, timer: TimerHash(3) },
        Change::TimerDelete { scope, timer: TimerHash(4) },
    ]);
    world.reopen();
    let loaded = world.store().load(scope).expect("loads");
    assert_eq!(loaded.timers, [timer(1, 30).entry, timer(2, 20).entry]);
    let found = |number| world.store().timer(scope, TimerHash(number)).expect("reads");
    assert_eq!(found(1), Some(timer(1, 30)));
    assert_eq!(found(3), None);
}

fn parked(sequence: u64, source: Parked) -> ParkedRecord {
    let event = match &source {
        Parked::Event { topic, stored } => EventRef::Record(Position {
            topic: *topic,
            partition: PartitionId(3),
            offset: stored.offset,
        }),
        Parked::Timer(record) => EventRef::Timer {
            partition: PartitionId(3),
            timer: record.entry.timer,
            sequence: record.entry.sequence,
        },
    };
    let event = ParkedEvent {
        sequence,
        event,
        attempts: 3,
        first_failure: Some(Instant(5)),
        due: Instant(6),
        size: Size(7),
        id: Some(IdHash(8)),
        redriven: sequence == 1,
    };
    ParkedRecord { event, source, error: "it broke".to_owned() }
}

#[test]
fn parked_lanes_keep_their_order_and_their_bytes() {
    let mut world = World::new();
    let scope = world.scope("s", 3);
    let stored = Stored {
        offset: Offset(99),
        timestamp: Instant(4),
        key: None,
        headers: [("h".into(), Bytes::from_static(b"v"))].into(),
        payload: Some(Bytes::from_static(b"payload")),
    };
    let first = parked(1, Parked::Event { topic: TopicId(5), stored });
    let second = parked(256, Parked::Timer(timer(1, 10)));
    let (lane, other) = (KeyHash(u128::MAX), KeyHash(1));
    let put =
        |lane, record: &ParkedRecord| Change::ParkedPut { scope, lane, record: record.clone() };
    world.changes(vec![put(lane, &second), put(lane, &first), put(other, &second)]);
    let update = |lane, sequence| Change::ParkedUpdate {
        scope,
        lane,
        sequence,
        attempts: 4,
        first_failure: Some(Instant(50)),
        due: Instant(60),
        error: "again".to_owned(),
    };
    world.changes(vec![update(lane, 1), update(lane, 7)]);
    world.reopen();
    let mut expected = first.clone();
    expected.event.attempts = 4;
    expected.event.first_failure = Some(Instant(50));
    expected.event.due = Instant(60);
    expected.error = "again".to_owned();
    let lanes = world.store().load(scope).expect("loads").parked;
    let lanes: Vec<_> = lanes.into_iter().map(|lane| (lane.key, lane.events)).collect();
    let both = vec![expected.event.clone(), second.event.clone()];
    assert_eq!(lanes, [(other, vec![second.event.clone()]), (lane, both)]);
    let found = |sequence| world.store().parked(scope, lane, sequence).expect("reads");
    assert_eq!(found(1), Some(expected));
    assert_eq!(found(256), Some(second));
    assert_eq!(found(7), None, "an update of nothing is nothing");
    world.change(Change::ParkedDelete { scope, lane, sequence: 1 });
    let lanes = world.store().load(scope).expect("loads").parked;
    assert_eq!(lanes.iter().map(|lane| lane.events.len()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(world.store().parked(scope, lane, 1).expect("reads"), None);
}

#[test]
fn progress_and_documents_come_back() {
    let mut world = World::new();
    let scope = world.scope("s", 3);
    let range = |from, to| OffsetRange { from: Offset(from), to: Offset(to) };
    let progress = |next| StoredProgress {
        incarnation: u128::MAX,
        epoch: 2,
        epoch_start: Offset(3),
        next: Offset(next),
        finished: vec![range(next + 1, next + 2), range(next + 5, next + 9)],
    };
    let change =
        |topic, next| Change::Progress { scope, topic: TopicId(topic), progress: progress(next) };
    let document = |name: &str, value: Option<&'static str>| Change::Document {
        name: name.to_owned(),
        value: value.map(|text| Bytes::from_static(text.as_bytes())),
    };
    world.changes(vec![change(1, 10), change(2, 20), change(1, 11)]);
    world.changes(vec![document("a", Some("1")), document("b", Some("2")), document("b", None)]);
    world.reopen();
    let loaded = world.store().load(scope).expect("loads");
    assert_eq!(loaded.progress, [(TopicId(1), progress(11)), (TopicId(2), progress(20))]);
    assert_eq!(world.store().document("a").expect("reads").as_deref(), Some(b"1".as_slice()));
    assert_eq!(world.store().document("b").expect("reads"), None);
    let unknown = world.scope("never used", 0);
    assert_eq!(world.store().load(unknown).expect("loads"), gristmill_store::Loaded::default());
}

#[test]
fn topics_that_are_not_in_the_store_are_remembered_like_others() {
    let mut world = World::new();
    let scope = world.scope("s", 0);
    let stored = Stored {
        offset: Offset(9),
        timestamp: Instant(4),
        key: None,
        headers: [].into(),
        payload: None,
    };
    let event = parked(1, Parked::Event { topic: TopicId(79), stored });
    let position = Position { topic: TopicId(78), partition: PartitionId(0), offset: Offset(5) };
    let mark = Mark { position, epoch: 1 };
    let progress = StoredProgress {
        incarnation: 1,
        epoch: 1,
        epoch_start: Offset(0),
        next: Offset(5),
        finished: vec![],
    };
    // One topic number beyond all that were ever given, one whose topic is deleted.
    let gone = world.topic("gone", 1, Retention::default()).id;
    world.store().delete_topic("gone").expect("deleted");
    let topics = [gone, TopicId(77)];
    world.changes(vec![
        Change::Progress { scope, topic: topics[0], progress: progress.clone() },
        Change::Progress { scope, topic: topics[1], progress: progress.clone() },
        Change::MarkSet { scope, id: IdHash(1), mark, at: world.clock.now() },
        Change::ParkedPut { scope, lane: KeyHash(1), record: event.clone() },
    ]);
    for _ in 0..2 {
        world.store().maintain().expect("maintains");
        world.reopen();
        world.topic("new", 1, Retention::default());
        world.store().delete_topic("new").expect("deleted");
        world.store().maintain().expect("maintains");
        let loaded = world.store().load(scope).expect("loads");
        assert_eq!(loaded.progress, topics.map(|topic| (topic, progress.clone())));
        assert_eq!(loaded.parked.len(), 1);
        let found = world.store().parked(scope, KeyHash(1), 1).expect("reads");
        assert_eq!(found.as_ref(), Some(&event));
        assert_eq!(world.store().mark(scope, IdHash(1)).expect("reads"), Some(mark));
    }
}

fn mark(offset: u64) -> Mark {
    let position =
        Position { topic: TopicId(1), partition: PartitionId(2), offset: Offset(offset) };
    Mark { position, epoch: 3 }
}

fn mark_set(scope: Scope, id: u128, at: Instant) -> Change {
    let offset = u64::try_from(id).expect("small");
    Change::MarkSet { scope, id: IdHash(id), mark: mark(offset), at }
}

#[test]
fn a_mark_is_held_for_its_age_and_no_longer() {
    let mut world = World::new();
    let scope = world.scope("s", 0);
    world.change(mark_set(scope, 1, world.clock.now()));
    let found = |world: &World, id| world.store().mark(scope, IdHash(id)).expect("reads");
    assert_eq!(found(&world, 1), Some(mark(1)));
    assert_eq!(found(&world, 2), None);
    world.clock.pass(Millis::seconds(24 * 3_600 - 1));
    world.change(mark_set(scope, 2, world.clock.now()));
    world.store().maintain().expect("maintains");
    assert_eq!(found(&world, 1), Some(mark(1)));
    world.clock.pass(Millis::seconds(1));
    world.store().maintain().expect("maintains");
    assert_eq!(found(&world, 1), None);
    assert_eq!(found(&world, 2), Some(mark(2)));
    let figures = world.store().mark_figures(scope);
    assert_eq!((figures.held, figures.evicted), (1, 0));
    assert_eq!(figures.oldest, Some(Instant(START + 24 * 3_600_000 - 1_000)));
    world.reopen();
    assert_eq!(found(&world, 1), None);
    assert_eq!(found(&world, 2), Some(mark(2)));
    assert_eq!(world.store().figures().marks, 1);
    world.change(mark_set(scope, 1, world.clock.now()));
    assert_eq!(found(&world, 1), Some(mark(1)), "a mark can be set again");
}

#[test]
fn marks_past_their_bytes_go_early_oldest_first() {
    // 128 marks of 64 bytes, forgotten two at a time or by checkpoint.
    let mut world = World::with(|settings| settings.marks_bytes = Size(128 * 64));
    let scope = world.scope("s", 0);
    for id in 0..128 {
        world.change(mark_set(scope, id, world.clock.now()));
    }
    let held = |world: &World, ids: std::ops::Range<u128>| {
        ids.filter(|id| world.store().mark(scope, IdHash(*id)).expect("reads").is_some()).count()
    };
    assert_eq!(held(&world, 0..128), 128, "at the limit all are held");
    assert_eq!(world.store().mark_figures(scope).evicted, 0);
    world.change(mark_set(scope, 128, world.clock.now()));
    let figures = world.store().mark_figures(scope);
    assert_eq!((figures.held, figures.evicted), (127, 2));
    assert_eq!(held(&world, 0..2), 0);
    assert_eq!(held(&world, 2..129), 127);
    world.reopen_with(|settings| settings.marks_bytes = Size(128 * 64));
    assert_eq!(held(&world, 0..2), 0, "what was forgotten stays forgotten");
    assert_eq!(held(&world, 2..129), 127);
    assert_eq!(world.store().mark_figures(scope).held, 127);
    world.change(mark_set(scope, 129, world.clock.now()));
    world.changes((200..400).map(|id| mark_set(scope, id, world.clock.now())).collect());
    assert_eq!(held(&world, 0..130), 0);
    assert_eq!(held(&world, 200..400), 200, "a checkpoint's marks are forgotten together");
}

#[test]
fn clearing_forgets_what_it_names_and_nothing_else() {
    let mut world = World::new();
    let (mine, sibling, other) = (world.scope("s", 0), world.scope("s", 1), world.scope("o", 0));
    let fill = |scope| {
        let progress = StoredProgress {
            incarnation: 1,
            epoch: 0,
            epoch_start: Offset(0),
            next: Offset(5),
            finished: vec![],
        };
        vec![
            set(scope, "k", "n", "v", None),
            Change::TimerSet { scope, record: timer(1, 1) },
            Change::ParkedPut {
                scope,
                lane: KeyHash(1),
                record: parked(1, Parked::Timer(timer(2, 2))),
            },
            mark_set(scope, 1, Instant(START)),
            Change::Progress { scope, topic: TopicId(1), progress },
        ]
    };
    for scope in [mine, sibling, other] {
        world.changes(fill(scope));
    }
    let has = |world: &World, scope| {
        let loaded = world.store().load(scope).expect("loads");
        let mark = world.store().mark(scope, IdHash(1)).expect("reads");
        [
            get(world, scope, "k", "n", 0).is_some(),
            !loaded.timers.is_empty(),
            !loaded.parked.is_empty(),
            mark.is_some(),
            !loaded.progress.is_empty(),
        ]
    };
    let clear = |partition, what| Change::SubscriptionClear {
        subscription: mine.subscription,
        partition,
        what,
    };
    let what = Cleared { state: true, marks: true, ..Cleared::default() };
    world.changes(vec![
        set(mine, "k", "m", "before", None),
        clear(Some(PartitionId(0)), what),
        set(mine, "k", "l", "after", None),
    ]);
    for again in [false, true] {
        if again {
            world.reopen();
            world.store().maintain().expect("maintains");
        }
        assert_eq!(has(&world, mine), [false, true, true, false, true]);
        assert_eq!(get(&world, mine, "k", "m", 0), None, "changes before it are cleared");
        assert_eq!(get(&world, mine, "k", "l", 0).as_deref(), Some("after"));
        assert_eq!(has(&world, sibling), [true; 5]);
        assert_eq!(has(&world, other), [true; 5]);
    }
    let all = Cleared { state: true, marks: true, progress: true, timers: true, parked: true };
    world.change(clear(None, all));
    world.store().maintain().expect("maintains");
    assert_eq!(has(&world, mine), [false; 5]);
    assert_eq!(has(&world, sibling), [false; 5]);
    assert_eq!(has(&world, other), [true; 5]);
    world.changes(fill(mine));
    assert_eq!(has(&world, mine), [true; 5]);
}

#[test]
fn subscriptions_keep_their_numbers() {
    let mut world = World::new();
    let numbers = ["b", "a", "b"].map(|name| world.scope(name, 0).subscription);
    assert_eq!(numbers[0], numbers[2]);
    assert_ne!(numbers[0], numbers[1]);
    world.reopen();
    assert_eq!(world.scope("c", 0).subscription.0, 2);
    let names: Vec<_> = world.store().subscriptions();
    let names: Vec<_> = names.iter().map(|(name, number)| (name.as_str(), number.0)).collect();
    assert_eq!(names, [("a", 1), ("b", 0), ("c", 2)]);
}
