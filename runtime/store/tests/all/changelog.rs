//! Changes as entries of a changelog: what goes in comes out, old bytes stay readable, and bytes
//! that mean nothing are told apart.

use std::fmt::Write as _;

use bytes::Bytes;
use gristmill_engine::{
    Bytes as Size, EventRef, IdHash, Instant, KeyHash, Mark, Offset, OffsetRange, ParkedEvent,
    PartitionId, Position, StoredProgress, TimerEntry, TimerHash, TopicId,
};
use gristmill_store::{
    Change, Cleared, Keys, Parked, ParkedRecord, Scope, Settings, Stored, TimerRecord,
    changelog::{Entry, decode, encode, mark_batch, mark_batch_at, mark_batch_key},
};

use crate::world::{Random, START, World, scope};

/// Whose changes are encoded, and whose they are once decoded: entries name neither.
fn mine() -> Scope {
    scope(1, 4)
}

fn others() -> Scope {
    scope(2, 4)
}

/// Checks that two stores hold the same, each in a scope of its own.
pub(crate) fn check_same(direct: (&World, Scope), restored: (&World, Scope), what: &str) {
    let ((one, one_scope), (two, two_scope)) = (direct, restored);
    let (one, two) = (one.store(), two.store());
    for now in [0, START + 1_000, START + 10_000, u64::MAX].map(Instant) {
        let page = Keys { prefix: b"", after: None, limit: u32::MAX };
        let keys = one.state_keys(one_scope, page, now).expect("reads");
        assert_eq!(two.state_keys(two_scope, page, now).expect("reads"), keys, "{what}: keys");
        for (key, name) in keys {
            let value = one.state_get(one_scope, &key, &name, now).expect("reads");
            let found = two.state_get(two_scope, &key, &name, now).expect("reads");
            assert_eq!(found, value, "{what}: {key:?} {name}");
        }
    }
    let loaded = one.load(one_scope).expect("loads");
    assert_eq!(two.load(two_scope).expect("loads"), loaded, "{what}");
    for TimerEntry { timer, .. } in loaded.timers {
        let record = one.timer(one_scope, timer).expect("reads");
        assert_eq!(two.timer(two_scope, timer).expect("reads"), record, "{what}: timer");
    }
    for lane in &loaded.parked {
        for event in &lane.events {
            let record = one.parked(one_scope, lane.key, event.sequence).expect("reads");
            let found = two.parked(two_scope, lane.key, event.sequence).expect("reads");
            assert_eq!(found, record, "{what}: parked");
        }
    }
    for id in (0..50).map(IdHash) {
        let mark = one.mark(one_scope, id).expect("reads");
        assert_eq!(two.mark(two_scope, id).expect("reads"), mark, "{what}: mark {id:?}");
    }
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn state(key: &'static str, name: &str, value: &'static str, expires: Option<u64>) -> Change {
    let (key, value, expires) = (text(key), text(value), expires.map(Instant));
    Change::StateSet { scope: mine(), key, name: name.to_owned(), value, expires }
}

fn state_gone(key: &'static str, name: &str) -> Change {
    Change::StateDelete { scope: mine(), key: text(key), name: name.to_owned() }
}

fn timer_record(number: u128, due: u64) -> TimerRecord {
    let entry = TimerEntry {
        timer: TimerHash(number),
        key: KeyHash(0x66),
        due: Instant(due),
        sequence: 0x77,
    };
    let (key, payload, context) = (text("key"), text("pay"), text("{}"));
    TimerRecord { entry, key, name: "tick".to_owned(), payload, context }
}

fn timer(number: u128, due: u64) -> Change {
    Change::TimerSet { scope: mine(), record: timer_record(number, due) }
}

fn timer_gone(number: u128) -> Change {
    Change::TimerDelete { scope: mine(), timer: TimerHash(number) }
}

fn mark(id: u128, at: u64) -> Change {
    let position = Position { topic: TopicId(7), partition: PartitionId(4), offset: Offset(at) };
    let mark = Mark { position, epoch: 5 };
    Change::MarkSet { scope: mine(), id: IdHash(id), mark, at: Instant(START + at) }
}

fn parked(sequence: u64, source: Parked) -> Change {
    let event = match &source {
        Parked::Event { topic, stored } => EventRef::Record(Position {
            topic: *topic,
            partition: PartitionId(4),
            offset: stored.offset,
        }),
        Parked::Timer(record) => EventRef::Timer {
            partition: PartitionId(4),
            timer: record.entry.timer,
            sequence: record.entry.sequence,
        },
    };
    let event = ParkedEvent {
        sequence,
        event,
        attempts: 3,
        first_failure: Some(Instant(0x55)),
        due: Instant(0x66),
        size: Size(0x77),
        id: Some(IdHash(0x88)),
        redriven: true,
    };
    let record = ParkedRecord { event, source, error: "broke".to_owned() };
    Change::ParkedPut { scope: mine(), lane: KeyHash(0x1a), record }
}

fn full() -> Parked {
    let stored = Stored {
        offset: Offset(0x99),
        timestamp: Instant(0xaa),
        key: Some(text("key")),
        headers: [("h".into(), text("v")), ("h".into(), text(""))].into(),
        payload: Some(text("pay")),
    };
    Parked::Event { topic: TopicId(7), stored }
}

/// An event of nothing, parked behind another.
fn bare(sequence: u64) -> Change {
    let stored = Stored {
        offset: Offset(0),
        timestamp: Instant(0),
        key: None,
        headers: [].into(),
        payload: None,
    };
    let mut change = parked(sequence, Parked::Event { topic: TopicId(0), stored });
    if let Change::ParkedPut { record, .. } = &mut change {
        record.event.attempts = 0;
        record.event.first_failure = None;
        record.event.id = None;
        record.event.redriven = false;
        record.error = String::new();
    }
    change
}

fn figures(sequence: u64, attempts: u32, first_failure: Option<u64>) -> Change {
    Change::ParkedUpdate {
        scope: mine(),
        lane: KeyHash(0x1a),
        sequence,
        attempts,
        first_failure: first_failure.map(Instant),
        due: Instant(0x66),
        error: "again".to_owned(),
    }
}

fn parked_gone(sequence: u64) -> Change {
    Change::ParkedDelete { scope: mine(), lane: KeyHash(0x1a), sequence }
}

fn progress(topic: u32, next: u64, finished: &[(u64, u64)]) -> Change {
    let range = |(from, to): &(u64, u64)| OffsetRange { from: Offset(*from), to: Offset(*to) };
    let progress = StoredProgress {
        incarnation: 0x1b,
        epoch: 0x2b,
        epoch_start: Offset(0x3b),
        next: Offset(next),
        finished: finished.iter().map(range).collect(),
    };
    Change::Progress { scope: mine(), topic: TopicId(topic), progress }
}

fn clear() -> Change {
    let what = Cleared { state: true, ..Cleared::default() };
    Change::SubscriptionClear { subscription: mine().subscription, partition: None, what }
}

fn encoded(changes: &[Change]) -> Vec<Entry> {
    let (mut entries, mut marks) = (Vec::new(), 0);
    encode(changes, &mut marks, &mut entries).expect("encodes");
    entries
}

#[test]
fn a_store_changed_by_entries_is_what_one_changed_directly_is() {
    let document = Change::Document { name: "d".to_owned(), value: Some(text("v")) };
    let again = || Parked::Timer(timer_record(9, 9));
    // Changes, and the entries they become.
    let rows: Vec<(Vec<Change>, usize)> = vec![
        (vec![], 0),
        (vec![state("k", "n", "v", None), state("k", "m", "w", Some(START + 5_000))], 2),
        (vec![state("", "", "", None), state("\0k\0", "\0", "\0", Some(0))], 2),
        (vec![state("k", "n", "v", Some(1)), state("k", "n", "w", None)], 2),
        (vec![state("k", "n", "v", None), state_gone("k", "n"), state_gone("k", "x")], 3),
        (vec![state("kn", "", "v", None), state("k", "n", "w", None), state_gone("k", "n")], 3),
        (vec![timer(1, 10), timer(2, 20), timer(1, 30)], 3),
        (vec![timer(1, 10), timer_gone(1), timer_gone(2), timer(3, u64::MAX)], 4),
        (vec![mark(1, 1)], 1),
        (vec![mark(1, 1), timer(1, 10), mark(2, 2), mark(1, 3)], 2),
        (vec![parked(1, full()), parked(u64::MAX, again()), bare(2)], 3),
        (vec![parked(1, full()), figures(1, 9, None), figures(7, 1, Some(1))], 3),
        (vec![parked(1, full()), figures(1, 9, Some(4)), parked(1, again())], 3),
        (vec![parked(1, full()), bare(2), figures(1, 9, None), parked_gone(1)], 5),
        (vec![parked(1, full()), parked_gone(1), parked(1, again()), parked_gone(3)], 6),
        (vec![progress(7, 1, &[]), progress(8, 2, &[]), progress(7, 3, &[(4, 5), (8, 9)])], 3),
        (vec![clear(), state("k", "n", "v", None), document, mark(1, 1)], 2),
    ];
    for (changes, count) in rows {
        let unsynced = |settings: &mut Settings| settings.commit_sync = false;
        let (direct, restored) = (World::with(unsynced), World::with(unsynced));
        let entries = encoded(&changes);
        assert_eq!(entries.len(), count, "{changes:?}");
        for Entry { key, value } in entries {
            restored.changes(decode(others(), &key, value).expect("decodes"));
        }
        let what = format!("{changes:?}");
        direct.changes(changes);
        check_same((&direct, mine()), (&restored, others()), &what);
        let documents = restored.store().document("d").expect("reads");
        assert_eq!(documents, None, "documents are the host's own");
    }
}

#[test]
fn every_change_says_whose_it_is_or_that_it_is_nobodys() {
    let document = Change::Document { name: "d".to_owned(), value: None };
    for change in [clear(), document] {
        assert_eq!(change.scope(), None, "{change:?}");
    }
    for (change, ..) in samples() {
        assert_eq!(change.scope(), Some(mine()), "{change:?}");
    }
}

/// One change of every kind, with the key and the value of its first entry in hexadecimal, a gap
/// between fields. Such bytes are in topics: where a row fails, a version must rise.
fn samples() -> Vec<(Change, &'static str, Option<&'static str>)> {
    let timer_bytes = "01 00000000000000000000000000000022 00000000000000000000000000000066 \
        0000000000000033 0000000000000077 03 6b6579 04 7469636b 03 706179 02 7b7d";
    let figures_bytes = "01 00000004 01 0000000000000055 0000000000000066 05 616761696e";
    let event_bytes = "01 00 00000007 00000004 0000000000000099 0000000000000077 \
        01 00000000000000000000000000000088 01 \
        00000003 01 0000000000000055 0000000000000066 05 62726f6b65 \
        25 00 00000007 0000000000000099 03 00000000000000aa 03 6b6579 \
        02 01 68 01 76 01 68 00 706179";
    let due_bytes = "01 01 00000004 00000000000000000000000000000022 0000000000000077 \
        0000000000000077 01 00000000000000000000000000000088 01 \
        00000003 01 0000000000000055 0000000000000066 05 62726f6b65 \
        41 01 00000000000000000000000000000022 00000000000000000000000000000066 \
        0000000000000033 0000000000000077 03 6b6579 04 7469636b 03 706179 02 7b7d";
    let mark_bytes = "01 000001a1fb671833 01 \
        00000000000000000000000000000044 00000007 00000004 0000000000000033 00000005";
    let progress_bytes = "01 0000000000000000000000000000001b 0000002b 000000000000003b \
        000000000000004b 01 000000000000005b 000000000000006b";
    let state_key = "73 02 6b00 04 6e616d65";
    let timer_key = "74 00000000000000000000000000000022";
    let parked_key = "70 0000000000000000000000000000001a 000000000000002c";
    let figures_key = "66 0000000000000000000000000000001a 000000000000002c";
    let due = Parked::Timer(timer_record(0x22, 0x33));
    let lasting = "01 00 05 76616c7565";
    let expiring = "01 01 0000000000000011 05 76616c7565";
    vec![
        (state("k\0", "name", "value", None), state_key, Some(lasting)),
        (state("k\0", "name", "value", Some(0x11)), state_key, Some(expiring)),
        (state_gone("k\0", "name"), state_key, None),
        (timer(0x22, 0x33), timer_key, Some(timer_bytes)),
        (timer_gone(0x22), timer_key, None),
        (mark(0x44, 0x33), "6d 0000000000000000", Some(mark_bytes)),
        (parked(0x2c, full()), parked_key, Some(event_bytes)),
        (parked(0x2c, due), parked_key, Some(due_bytes)),
        (figures(0x2c, 4, Some(0x55)), figures_key, Some(figures_bytes)),
        (parked_gone(0x2c), parked_key, None),
        (progress(7, 0x4b, &[(0x5b, 0x6b)]), "6f 00000007", Some(progress_bytes)),
    ]
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("memory is enough");
        out
    })
}

#[test]
fn bytes_of_entries_are_what_they_were() {
    for (change, key, value) in samples() {
        let entries = encoded(std::slice::from_ref(&change));
        assert_eq!(hexadecimal(&entries[0].key), key.replace(' ', ""), "{change:?}");
        let found = entries[0].value.as_deref().map(hexadecimal);
        assert_eq!(found, value.map(|value| value.replace(' ', "")), "{change:?}");
    }
}

/// Every entry of the samples that is no tombstone.
fn sample_entries() -> Vec<(Bytes, Bytes)> {
    let changes = samples().into_iter().map(|(change, ..)| change);
    let entries = changes.flat_map(|change| encoded(&[change]));
    entries.filter_map(|entry| Some((entry.key, entry.value?))).collect()
}

#[test]
fn bytes_that_are_cut_or_go_on_or_are_newer_are_told() {
    let check = |key: &[u8], value: Option<Bytes>, code: &str| {
        let error = decode(others(), key, value.clone()).expect_err("no entry");
        assert_eq!(error.code(), code, "{key:?} {value:?}: {error}");
        error.to_string()
    };
    for (key, value) in sample_entries() {
        for end in 0..value.len() {
            check(&key, Some(value.slice(..end)), "E0208");
        }
        for end in 0..key.len() {
            check(&key[..end], Some(value.clone()), "E0208");
            if end > 0 && key[0] != b'm' {
                check(&key[..end], None, "E0208");
            }
        }
        check(&key, Some([&value[..], &[0]].concat().into()), "E0208");
        check(&[&key[..], &[0]].concat(), Some(value.clone()), "E0208");
        let newer = [&[2], &value[1..]].concat().into();
        let error = check(&key, Some(newer), "E0217");
        assert!(error.ends_with("version 2 is not known to this version"), "{error}");
        assert!(error.starts_with("decode changelog entry of "), "{error}");
    }
    let error = check(b"x", None, "E0217");
    assert_eq!(error, "decode changelog entry: kind 120 is not known to this version");
    check(b"o\0\0\0\x07", None, "E0208");
    let another = encoded(&[timer_gone(0x23)]).remove(0).key;
    let value = encoded(&[timer(0x22, 0x33)]).remove(0).value;
    let error = check(&another, value, "E0208");
    assert_eq!(error, "decode changelog entry of a timer: its key is that of another");
}

#[test]
fn bytes_of_any_kind_never_panic() {
    let mut random = Random::new(5);
    let samples = sample_entries();
    let mut understood = 0;
    for round in 0..100_000 {
        let place = usize::try_from(random.below(samples.len() as u64)).expect("small");
        let (mut key, mut value) = (samples[place].0.to_vec(), samples[place].1.to_vec());
        for _ in 0..=random.below(4) {
            let bytes = if round % 8 == 0 { &mut key } else { &mut value };
            let at = usize::try_from(random.below(bytes.len() as u64)).expect("small");
            bytes[at] = random.byte();
        }
        if round % 3 == 0 {
            let length = random.below(64);
            value.truncate(1);
            value.extend((0..length).map(|_| random.byte()));
        }
        match decode(others(), &key, Some(value.into())) {
            Ok(_) => understood += 1,
            Err(error) => assert!(["E0208", "E0217"].contains(&error.code()), "{error}"),
        }
    }
    assert!(understood > 1_000, "{understood} of them meant something");
}

#[test]
fn marks_of_a_call_are_one_batch_and_batches_are_numbered() {
    let mut entries = Vec::new();
    let mut next = 41;
    encode(&[mark(1, 30), timer(1, 1), mark(2, 10)], &mut next, &mut entries).expect("encodes");
    assert_eq!(next, 42);
    encode(&[timer(1, 1)], &mut next, &mut entries).expect("encodes");
    assert_eq!(next, 42, "without marks there is no batch");
    encode(&[mark(3, 40)], &mut next, &mut entries).expect("encodes");
    assert_eq!(next, 43);
    let batches: Vec<_> = entries.iter().map(|entry| mark_batch(&entry.key)).collect();
    assert_eq!(batches, [None, Some(41), None, Some(42)]);
    assert_eq!(entries[1].key, mark_batch_key(41));
    for (place, at) in [(1, START + 30), (3, START + 40)] {
        let value = entries[place].value.as_ref().expect("a value");
        assert_eq!(mark_batch_at(value).expect("reads"), Instant(at), "the youngest");
        for end in 0..9 {
            assert_eq!(mark_batch_at(&value[..end]).expect_err("cut").code(), "E0208");
        }
    }
    assert_eq!(mark_batch_at(&[9; 50]).expect_err("newer").code(), "E0217");
    let forgotten = decode(others(), &mark_batch_key(41), None).expect("decodes");
    assert!(forgotten.is_empty(), "{forgotten:?}");
    let no_batch: [&[u8]; 4] = [b"", b"m", b"m1234567", b"m123456789"];
    for key in no_batch {
        assert_eq!(mark_batch(key), None);
    }
}

#[test]
fn what_the_store_would_refuse_is_not_encoded() {
    let (mut entries, mut marks) = (encoded(&[timer(1, 1)]), 5);
    let key = Bytes::from(vec![0; 29_999]);
    for (name, taken) in [("12", true), ("123", false)] {
        let (scope, name) = (mine(), name.to_owned());
        let long = Change::StateDelete { scope, key: key.clone(), name };
        let before = (entries.clone(), marks);
        let answer = encode(&[mark(1, 1), timer(2, 2), long], &mut marks, &mut entries);
        if taken {
            assert!(answer.is_ok());
            assert_eq!((entries.len(), marks), (4, 6));
        } else {
            assert_eq!(answer.expect_err("too long").code(), "E0216");
            assert_eq!((entries.clone(), marks), before);
        }
    }
}

#[test]
#[should_panic(expected = "changes of two scopes belong into two changelogs")]
fn changes_of_two_scopes_are_refused() {
    let other = Change::TimerDelete { scope: others(), timer: TimerHash(1) };
    encoded(&[timer(1, 1), other]);
}
