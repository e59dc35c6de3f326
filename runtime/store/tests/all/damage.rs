//! Damaged files: what was acknowledged and cannot be read stops the store with its place; a torn
//! tail of what was not is harmless.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use gristmill_engine::{Offset, TopicId};
use gristmill_store::{Batch, Class, Error, Retention, Store};
use tempfile::TempDir;

use crate::world::{Clock, Random, World, event, offsets, read_all, settings, submit};

const EARLY: u64 = 20;
const LATE: u64 = 40;

/// A directory with `LATE` checkpoints of one event each; its note of the last checkpoint can be
/// set back to where it was after `EARLY`.
struct Written {
    folder: TempDir,
    topic: TopicId,
    /// The note as it was after `EARLY` events.
    note: Vec<u8>,
    /// Bytes of the journal after `EARLY` and after `LATE` events.
    early: u64,
    late: u64,
}

pub(crate) fn journal(folder: &Path) -> PathBuf {
    folder.join("data/0.jnl")
}

pub(crate) fn used(path: &Path) -> u64 {
    let bytes = fs::read(path).expect("reads");
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

fn written() -> Written {
    let world = World::new();
    let topic = world.topic("t", 1, Retention::default()).id;
    let put = |number: u64| {
        let appends = vec![event(topic, 0, "key", &format!("payload {number}"))];
        submit(world.store(), Batch { appends, ..Batch::default() }).expect("durable");
    };
    (0..EARLY).for_each(put);
    let note = fs::read(world.folder.path().join("synced")).expect("reads");
    let early = used(&journal(world.folder.path()));
    (EARLY..LATE).for_each(put);
    let World { folder, store, .. } = world;
    drop(store);
    let late = used(&journal(folder.path()));
    // Without the zeros it was made with, a copy is small.
    let file = OpenOptions::new().write(true).open(journal(folder.path())).expect("opens");
    file.set_len(late).expect("cuts");
    Written { folder, topic, note, early, late }
}

impl Written {
    /// A copy, with `change` done to its journal.
    fn copy(&self, note: bool, change: impl FnOnce(&fs::File)) -> TempDir {
        let copy = tempfile::tempdir().expect("a folder");
        copy_all(self.folder.path(), copy.path());
        if !note {
            fs::write(copy.path().join("synced"), &self.note).expect("writes");
        }
        let file = OpenOptions::new().read(true).write(true).open(journal(copy.path()));
        change(&file.expect("opens"));
        copy
    }

    fn read(&self, store: &Store) -> Vec<u64> {
        offsets(&read_all(store, self.topic, 0))
    }
}

pub(crate) fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("reads") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            fs::create_dir_all(&target).expect("makes");
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}

fn open(folder: &Path) -> Result<Store, Error> {
    Store::open(settings(folder, &Clock::new()))
}

fn flip(file: &fs::File, at: u64, bit: u32) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("reads");
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, at).expect("writes");
}

fn check_damaged(folder: &Path, what: &str) {
    let before = fs::read(journal(folder)).expect("reads");
    let Err(error) = open(folder) else { panic!("{what}: opened") };
    assert_eq!((error.code(), error.class()), ("E0204", Class::Fatal), "{what}: {error}");
    assert!(error.hint().contains("E0204"));
    let kept = folder.join("torn-journal");
    if error.to_string().contains("0.jnl at ") {
        assert_eq!(fs::read(journal(folder)).expect("reads"), before, "{what}: it was changed");
    } else if kept.exists() {
        // Without a single checkpoint, only the engine knows; what it cut is kept.
        assert!(error.to_string().contains("torn-journal"), "{what}: {error}");
        assert_eq!(fs::read(kept).expect("reads"), before, "{what}: the copy differs");
    } else {
        assert_eq!(before, b"", "{what}: {error}");
    }
    assert_eq!(open(folder).expect_err("still damaged").code(), "E0204");
}

#[test]
fn a_cut_below_the_last_synced_checkpoint_stops_the_store() {
    let written = written();
    let mut cut = 0;
    while cut < written.late {
        let copy = written.copy(true, |file| file.set_len(cut).expect("cuts"));
        check_damaged(copy.path(), &format!("cut at {cut} of {}", written.late));
        cut += (written.late / 25).max(1);
    }
    let copy = written.copy(true, |file| file.set_len(written.late - 1).expect("cuts"));
    check_damaged(copy.path(), "the last byte is cut");
    let whole = open(written.folder.path()).expect("whole it opens");
    assert_eq!(written.read(&whole), (0..LATE).collect::<Vec<_>>());
}

#[test]
fn a_tail_torn_beyond_the_last_synced_checkpoint_is_harmless() {
    let written = written();
    let span = written.late - written.early;
    let cuts = (0..30).map(|step| written.early + span * step / 30);
    let mut lengths = Vec::new();
    for cut in cuts.chain([written.late - 1]) {
        let copy = written.copy(false, |file| file.set_len(cut).expect("cuts"));
        let store = open(copy.path()).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let read = written.read(&store);
        let count = read.len() as u64;
        assert_eq!(read, (0..count).collect::<Vec<_>>(), "cut at {cut}: a prefix");
        assert!((EARLY..LATE).contains(&count), "cut at {cut}: {count} events");
        // What is written now follows, and stays.
        let appends = vec![event(written.topic, 0, "key", "after")];
        let receipt = submit(&store, Batch { appends, ..Batch::default() }).expect("durable");
        assert_eq!(receipt.offsets, [Offset(count)]);
        drop(store);
        let store = open(copy.path()).expect("opens again");
        assert_eq!(written.read(&store).len() as u64, count + 1);
        lengths.push(count);
    }
    assert!(lengths.is_sorted());
    assert_eq!((lengths[0], lengths[lengths.len() - 1]), (EARLY, LATE - 1));
}

#[test]
fn garbage_after_the_last_checkpoint_is_harmless() {
    let written = written();
    let tails: [&[u8]; 5] = [&[1], &[1, 0, 0, 0, 9], &[3; 40], &[2; 4_000], &[255; 100]];
    for tail in tails {
        let copy =
            written.copy(true, |file| file.write_all_at(tail, written.late).expect("writes"));
        let store = open(copy.path()).unwrap_or_else(|error| panic!("{tail:?}: {error}"));
        assert_eq!(written.read(&store).len() as u64, LATE);
    }
}

#[test]
fn a_flipped_bit_below_the_last_synced_checkpoint_stops_the_store() {
    let written = written();
    for step in 0..40_u64 {
        // Bytes of every kind: a prime step meets lengths, keys, values, sums and trailers.
        let at = step * 211 % written.early;
        let bit = u32::try_from(step % 8).expect("small");
        let copy = written.copy(true, |file| flip(file, at, bit));
        check_damaged(copy.path(), &format!("bit {bit} of byte {at}"));
    }
}

#[test]
fn a_flipped_bit_beyond_the_last_synced_checkpoint_costs_only_what_nobody_was_told() {
    let written = written();
    let span = written.late - written.early;
    for step in 0..40_u64 {
        let at = written.early + step * 97 % span;
        let bit = u32::try_from(step % 8).expect("small");
        let copy = written.copy(false, |file| flip(file, at, bit));
        match open(copy.path()) {
            Ok(store) => {
                let read = written.read(&store);
                let count = read.len() as u64;
                assert_eq!(read, (0..count).collect::<Vec<_>>(), "bit {bit} of byte {at}");
                assert!((EARLY..=LATE).contains(&count), "bit {bit} of byte {at}: {count}");
            }
            // Batches that follow an unreadable order are no torn tail.
            Err(error) => assert_eq!(error.code(), "E0204", "bit {bit} of byte {at}: {error}"),
        }
    }
}

#[test]
fn a_lost_journal_stops_the_store() {
    let written = written();
    let copy = written.copy(true, |_| {});
    fs::remove_file(journal(copy.path())).expect("removes");
    for _ in 0..2 {
        let error = open(copy.path()).expect_err("lost");
        assert_eq!(error.code(), "E0204");
        assert!(error.to_string().contains("no journal"), "{error}");
    }
}

#[test]
fn a_lost_note_is_made_again() {
    let written = written();
    let copy = written.copy(true, |_| {});
    let note = copy.path().join("synced");
    fs::remove_file(&note).expect("removes");
    drop(open(copy.path()).expect("opens"));
    assert!(note.exists());
    let file = OpenOptions::new().write(true).open(journal(copy.path())).expect("opens");
    file.set_len(written.early).expect("cuts");
    check_damaged(copy.path(), "cut below the new note");
}

#[test]
fn damage_in_a_journal_that_is_not_the_last_stops_the_store() {
    let mut world = World::new();
    let topic = world.topic("t", 1, Retention::default()).id;
    let path = journal(world.folder.path());
    let next = path.with_file_name("1.jnl");
    let (mut events, mut random) = (0, Random::new(1));
    while !next.exists() {
        assert!(events < 3_000, "no second journal after {events} events of 100 kB");
        let payload: Vec<u8> = (0..100_000).map(|_| random.byte()).collect();
        let append =
            gristmill_store::Append { payload: Some(payload.into()), ..event(topic, 0, "key", "") };
        submit(world.store(), Batch { appends: vec![append], ..Batch::default() })
            .expect("durable");
        events += 1;
    }
    assert_eq!(read_all(world.store(), topic, 0).len(), events);
    world.store = None;
    assert!(path.exists(), "the first journal is still needed");
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("opens");
    flip(&file, 30_000_000, 3);
    check_damaged(world.folder.path(), "bit 3 of byte 30000000");
}
