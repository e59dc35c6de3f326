//! Commits that are not synced: what a kill or a power loss leaves is the first of them, whole.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use bytes::Bytes;
use gristmill_engine::{
    Bytes as Size, IdHash, Instant, Mark, Millis, Offset, PartitionId, Position, TopicId,
};
use gristmill_store::{Batch, Change, Cleared, Retention, Scope, Settings, Store};
use tempfile::TempDir;

use crate::{
    damage::{copy_all, journal, used},
    world::{Clock, World, event, offsets, read_all, settings, submit},
};

const COMMITS: u64 = 40;

fn unsynced(settings: &mut Settings) {
    settings.commit_sync = false;
}

/// One commit: an event, a state value and a mark that belong together.
fn batch(topic: TopicId, scope: Scope, number: u64) -> Batch {
    let position = Position { topic, partition: PartitionId(0), offset: Offset(number) };
    let changes = vec![
        Change::StateSet {
            scope,
            key: Bytes::from_static(b"k"),
            name: "last".to_owned(),
            value: Bytes::from(number.to_string()),
            expires: None,
        },
        Change::MarkSet {
            scope,
            id: IdHash(u128::from(number)),
            mark: Mark { position, epoch: 0 },
            at: Instant(number),
        },
    ];
    let appends = vec![event(topic, 0, "k", &format!("payload {number}"))];
    Batch { appends, changes, ..Batch::default() }
}

/// A world with `COMMITS` commits that nobody synced.
fn written() -> (World, TopicId, Scope) {
    let world = World::with(unsynced);
    let topic = world.topic("t", 1, Retention::default()).id;
    let scope = world.scope("s", 0);
    for number in 0..COMMITS {
        submit(world.store(), batch(topic, scope, number)).expect("written");
    }
    (world, topic, scope)
}

/// What a kill would leave: the files of a store that is still open.
fn killed(world: &World) -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    copy_all(world.folder.path(), copy.path());
    copy
}

fn open(folder: &Path) -> Store {
    let mut settings = settings(folder, &Clock::new());
    unsynced(&mut settings);
    Store::open(settings).expect("opens")
}

/// Checks that the store holds the first commits and nothing of the others; gives their number.
fn check_whole(store: &Store, topic: TopicId, scope: Scope, what: &str) -> u64 {
    let count = if store.topic("t").is_none() {
        0
    } else {
        let found = offsets(&read_all(store, topic, 0));
        assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>(), "{what}");
        found.len() as u64
    };
    let last = store.state_get(scope, b"k", "last", Instant(0)).expect("reads");
    let last = last.map(|last| String::from_utf8(last.to_vec()).expect("text"));
    assert_eq!(last, count.checked_sub(1).map(|last| last.to_string()), "{what}");
    for number in 0..COMMITS {
        let mark = store.mark(scope, IdHash(u128::from(number))).expect("reads");
        assert_eq!(mark.is_some(), number < count, "{what}: mark {number} of {count}");
    }
    count
}

#[test]
fn no_commit_is_synced_or_noted_until_the_store_closes() {
    let (mut world, topic, scope) = written();
    let figures = world.store().figures();
    assert!(figures.checkpoints >= COMMITS, "{figures:?}");
    assert_eq!(figures.sync.count, 0);
    let note = world.folder.path().join("synced");
    assert!(!note.exists());
    world.reopen_with(unsynced);
    assert_eq!(check_whole(world.store(), topic, scope, "closed and opened"), COMMITS);
    assert!(!note.exists());
    world.reopen();
    assert_eq!(check_whole(world.store(), topic, scope, "opened with syncs"), COMMITS);
    assert!(note.exists());
    let before = world.store().figures().sync.count;
    submit(world.store(), batch(topic, scope, COMMITS)).expect("durable");
    assert_eq!(world.store().figures().sync.count, before + 1);
}

#[test]
fn what_is_taken_off_the_disk_is_given_up_in_a_synced_commit() {
    let world = World::with(|settings| {
        unsynced(settings);
        settings.marks_bytes = Size(64 * 64);
    });
    let syncs = || world.store().figures().sync.count;
    let retention = Retention { age: Some(Millis(1_000)), bytes: None };
    let topic = world.topic("t", 1, retention).id;
    let scope = world.scope("s", 0);
    world.fill(topic, 0, 3, 100);
    let position = Position { topic, partition: PartitionId(0), offset: Offset(0) };
    let mark = |id| {
        let (id, mark) = (IdHash(id), Mark { position, epoch: 0 });
        world.change(Change::MarkSet { scope, id, mark, at: world.clock.now() });
    };
    (0..64).for_each(mark);
    assert_eq!(syncs(), 0);
    mark(64);
    assert_eq!(syncs(), 1, "marks past their bytes are forgotten");
    world.clock.pass(Millis(1_001));
    world.store().maintain().expect("maintains");
    assert_eq!(syncs(), 2, "retention removes events");
    world.clock.pass(Millis::seconds(24 * 3_600));
    world.store().maintain().expect("maintains");
    assert_eq!(syncs(), 3, "old marks are forgotten");
    let what = Cleared { state: true, ..Cleared::default() };
    let subscription = scope.subscription;
    world.change(Change::SubscriptionClear { subscription, partition: None, what });
    assert_eq!(syncs(), 4, "a subscription is cleared");
    world.store().delete_topic("t").expect("deleted");
    assert_eq!(syncs(), 5, "a topic is deleted");
    world.fill(world.topic("u", 1, Retention::default()).id, 0, 1, 1);
    world.store().maintain().expect("maintains");
    assert_eq!(syncs(), 5);
}

#[test]
fn a_kill_loses_nothing() {
    let (world, topic, scope) = written();
    let copy = killed(&world);
    assert_eq!(check_whole(&open(copy.path()), topic, scope, "killed"), COMMITS);
}

#[test]
fn a_power_loss_leaves_the_first_commits_whole() {
    let (world, topic, scope) = written();
    let whole = killed(&world);
    let end = used(&journal(whole.path()));
    let file = |folder: &Path| {
        let file = OpenOptions::new().write(true).open(journal(folder));
        file.expect("opens")
    };
    file(whole.path()).set_len(end).expect("cuts");
    let check = |what: &str, change: &dyn Fn(fs::File)| {
        let copy = tempfile::tempdir().expect("a folder");
        copy_all(whole.path(), copy.path());
        change(file(copy.path()));
        let store = open(copy.path());
        let count = check_whole(&store, topic, scope, what);
        if (1..COMMITS).contains(&count) {
            // What is written next follows, and stays.
            submit(&store, batch(topic, scope, count)).expect("written");
            drop(store);
            assert_eq!(check_whole(&open(copy.path()), topic, scope, what), count + 1);
        }
        count
    };
    // The end never reached the disk.
    let cuts = (0..end).step_by(311).chain([end - 1]);
    let cut = |at| check(&format!("{at} of {end}"), &|file| file.set_len(at).expect("cuts"));
    let counts: Vec<u64> = cuts.map(cut).collect();
    assert!(counts.is_sorted(), "{counts:?}");
    assert_eq!((counts[0], counts[counts.len() - 1]), (0, COMMITS - 1));
    // What came later reached the disk, and a sector or page before it did not.
    for (sector, size) in [(512, 512), (4_096, 4_096)] {
        for at in (0..end - size).step_by(sector) {
            let zeros = vec![0; usize::try_from(size).expect("small")];
            let count = check(&format!("{size} zeros at {at} of {end}"), &|file| {
                file.write_all_at(&zeros, at).expect("writes");
            });
            assert!(count < COMMITS, "{size} zeros at {at} of {end}");
        }
    }
}

#[test]
fn a_note_of_an_earlier_life_is_not_looked_at() {
    let mut world = World::new();
    let topic = world.topic("t", 1, Retention::default()).id;
    let scope = world.scope("s", 0);
    submit(world.store(), batch(topic, scope, 0)).expect("durable");
    let note = world.folder.path().join("synced");
    let noted = fs::read(&note).expect("reads");
    world.reopen_with(unsynced);
    submit(world.store(), batch(topic, scope, 1)).expect("written");
    assert_eq!(fs::read(&note).expect("reads"), noted);
    let copy = killed(&world);
    let path = journal(copy.path());
    let end = used(&path) - 1;
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    file.set_len(end / 2).expect("cuts");
    assert!(check_whole(&open(copy.path()), topic, scope, "cut below the note") < 2);
}
