//! The data directory: its lock, its format, its room.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, mpsc},
};

use bytes::Bytes;
use gristmill_engine::Bytes as Size;
use gristmill_store::{Batch, Change, Class, Failed, Retention, Step, Store};

use crate::world::{Clock, World, event, settings, submit};

fn open(path: &Path) -> Result<Store, gristmill_store::Error> {
    Store::open(settings(path, &Clock::new()))
}

#[test]
fn a_second_store_is_told_who_has_the_directory() {
    let mut world = World::new();
    let error = open(world.folder.path()).expect_err("locked");
    assert_eq!((error.code(), error.class()), ("E0201", Class::Fatal));
    let pid = format!("in use by process {}", std::process::id());
    assert!(error.to_string().contains(&pid), "{error}");
    world.store = None;
    open(world.folder.path()).expect("it is free again");
}

#[test]
fn a_lock_file_left_behind_stops_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("lock"), "1\n").expect("writes");
    open(folder.path()).expect("nobody holds it");
}

#[test]
fn an_unknown_format_is_refused_and_named() {
    let rows = [
        ("gristmill-store 2\n", "\"gristmill-store 2\""),
        ("gristmill-store", "\"gristmill-store\""),
        ("", "\"\""),
        ("gristmill-store 1x", "\"gristmill-store 1x\""),
    ];
    for (text, named) in rows {
        let mut world = World::new();
        world.store = None;
        fs::write(world.folder.path().join("format"), text).expect("writes");
        let error = open(world.folder.path()).expect_err("refused");
        assert_eq!((error.code(), error.class()), ("E0203", Class::Fatal));
        assert!(error.to_string().contains(named), "{error}");
        fs::write(world.folder.path().join("format"), "gristmill-store 1\n").expect("writes");
        open(world.folder.path()).expect("the refusal changed nothing");
    }
    let mut world = World::new();
    world.store = None;
    fs::remove_file(world.folder.path().join("format")).expect("removes");
    assert_eq!(open(world.folder.path()).expect_err("refused").code(), "E0203");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("writes");
    for path in [file.clone(), file.join("below")] {
        let error = open(&path).expect_err("no directory");
        assert_eq!(error.code(), "E0202");
        assert!(error.to_string().contains("file"), "{error}");
    }
}

#[test]
fn a_directory_half_made_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("keyspaces")).expect("makes");
    fs::write(data.join("0.jnl"), [0; 100]).expect("writes");
    fs::write(folder.path().join("format"), "gristmill-store 1\n").expect("writes");
    let store = open(folder.path()).expect("opens");
    assert_eq!(store.topics(), vec![]);
}

#[test]
fn little_room_refuses_ingest_first_and_everything_last() {
    let mut world = World::new();
    let topic = world.topic("t", 1, Retention::default()).id;
    let space = world.store().space();
    assert!(space.free.0 > 0 && space.total.0 >= space.free.0 && !space.low);
    let batch =
        |ingest| Batch { ingest, appends: vec![event(topic, 0, "k", "p")], changes: vec![] };
    // Reserve as a multiple of what is free: ingest taken, checkpoint taken.
    for (halves, ingest, checkpoint) in [(1, true, true), (4, false, true), (16, false, false)] {
        world.reopen_with(|settings| settings.reserve = Some(Size(space.free.0 / 2 * halves)));
        assert_eq!(world.store().space().low, !ingest);
        for (kind, taken) in [(true, ingest), (false, checkpoint)] {
            let answer = submit(world.store(), batch(kind));
            assert_eq!(answer.is_ok(), taken, "{halves} halves, ingest {kind}");
            if let Err(failed) = answer {
                assert!(matches!(failed, Failed::Low(_)));
                assert_eq!(failed.error().code(), "E0209");
                assert_eq!(failed.error().class(), Class::Retry);
            }
        }
    }
    world.reopen();
    assert!(submit(world.store(), batch(true)).is_ok(), "with room again it is taken again");
}

#[test]
fn a_full_queue_refuses_ingest_and_takes_checkpoints() {
    // The writer stands still before its first write until the test lets it go.
    let (go, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let world = World::with(|settings| {
        let gate = Arc::clone(&gate);
        settings.queue_bytes = Size(0);
        settings.hook = Some(Arc::new(move |step| {
            if step == Step::Built {
                gate.lock().expect("no panic").recv().unwrap_or_default();
            }
        }));
    });
    let big = |ingest| Batch {
        ingest,
        changes: vec![Change::Document {
            name: "d".to_owned(),
            value: Some(Bytes::from_static(b"v")),
        }],
        ..Batch::default()
    };
    let told = Arc::new(Mutex::new((0, 0)));
    // The writer may have taken the first; the second waits for sure.
    for ingest in [false, false, true] {
        let told = Arc::clone(&told);
        let done = Box::new(move |answer: Result<_, Failed>| {
            let mut told = told.lock().expect("no panic");
            match answer {
                Ok(_) => told.0 += 1,
                Err(failed) => {
                    assert_eq!(failed.error().code(), "E0210");
                    told.1 += 1;
                }
            }
        });
        world.store().submit(big(ingest), done);
    }
    assert_eq!(told.lock().expect("no panic").1, 1, "refused at once");
    drop(go);
    world.store().close().expect("closes");
    assert_eq!(*told.lock().expect("no panic"), (2, 1));
}

#[test]
fn a_closed_store_answers_reads_and_refuses_writes() {
    let mut world = World::new();
    let topic = world.topic("t", 1, Retention::default()).id;
    let (tell, told) = mpsc::channel();
    let batch = Batch { appends: vec![event(topic, 0, "k", "p")], ..Batch::default() };
    world.store().submit(batch.clone(), Box::new(move |answer| tell.send(answer).expect("waits")));
    world.store().close().expect("closes");
    told.recv().expect("an answer").expect("what was queued is committed");
    assert!(matches!(submit(world.store(), batch), Err(Failed::Closed)));
    assert_eq!(world.store().delete_topic("t").expect_err("closed").code(), "E0211");
    assert_eq!(crate::world::read_all(world.store(), topic, 0).len(), 1);
    world.store().close().expect("closing twice is closing once");
    world.reopen();
    assert_eq!(crate::world::read_all(world.store(), topic, 0).len(), 1);
}

#[test]
fn every_code_has_its_page() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for number in 201..=217 {
        let page = pages.join(format!("E0{number}.md"));
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{page:?}: {error}"));
        assert!(text.starts_with(&format!("# E0{number}: ")), "{page:?}");
    }
}
