//! Random histories of changes go into a changelog that is compacted at random; whoever reads it,
//! from its start or from where it stood, has what a store has that was changed directly.

use gristmill_engine::{
    IdHash, Instant, KeyHash, Mark, Millis, Offset, OffsetRange, PartitionId, Position,
    StoredProgress, TimerHash, TopicId,
};
use gristmill_store::{
    Batch, Change, Parked, ParkedRecord, Scope, Stored,
    changelog::{Entry, decode, encode},
};

use crate::{
    changelog::check_same,
    model::{bytes, parked, timer},
    world::{Random, World, scope, submit},
};

/// A partition of a compacted topic.
#[derive(Default)]
struct Log {
    /// With their offsets, which rise.
    entries: Vec<(u64, Entry)>,
    next: u64,
}

impl Log {
    fn append(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.entries.push((self.next, entry));
            self.next += 1;
        }
    }

    /// Compacts up to some offset as Kafka does: what has a later entry of its key in that range
    /// goes, and so may a tombstone that nobody who stands at `reader` still has to see.
    fn compact(&mut self, random: &mut Random, reader: u64) {
        let end = random.below(self.next + 1);
        let clean = self.entries.partition_point(|(offset, _)| *offset < end);
        let rest = self.entries.split_off(clean);
        let old = std::mem::take(&mut self.entries);
        for (place, (offset, entry)) in old.iter().enumerate() {
            let superseded = old[place + 1..].iter().any(|(_, later)| later.key == entry.key);
            let seen = entry.value.is_none() && *offset < reader;
            let expired = seen && random.below(2) == 0;
            if !superseded && !expired {
                self.entries.push((*offset, entry.clone()));
            }
        }
        self.entries.extend(rest);
    }

    /// Applies everything from `from` on, in commits of any size.
    fn restore(&self, world: &World, random: &mut Random, scope: Scope, from: u64) {
        let start = self.entries.partition_point(|(offset, _)| *offset < from);
        let mut changes = Vec::new();
        for (_, entry) in &self.entries[start..] {
            changes.extend(decode(scope, &entry.key, entry.value.clone()).expect("decodes"));
            if random.below(9) == 0 {
                world.changes(std::mem::take(&mut changes));
            }
        }
        world.changes(changes);
    }
}

fn parked_event(random: &mut Random, scope: Scope, sequence: u64) -> ParkedRecord {
    let mut record = parked(random, scope, sequence);
    if random.below(2) == 0 {
        let stored = Stored {
            offset: Offset(random.next()),
            timestamp: Instant(random.next()),
            key: (random.below(2) == 0).then(|| bytes(random, 9)),
            headers: (0..random.below(3))
                .map(|n| (n.to_string().into(), bytes(random, 9)))
                .collect(),
            payload: (random.below(2) == 0).then(|| bytes(random, 99)),
        };
        record.source = Parked::Event { topic: TopicId(random.small(9)), stored };
    }
    record
}

fn park(random: &mut Random, scope: Scope) -> Change {
    // Few places, so that each is put, updated, deleted and put again.
    let (lane, sequence) = (KeyHash(u128::from(random.below(2))), random.below(3));
    match random.below(5) {
        0..2 => Change::ParkedPut { scope, lane, record: parked_event(random, scope, sequence) },
        2..4 => Change::ParkedUpdate {
            scope,
            lane,
            sequence,
            attempts: random.small(9),
            first_failure: (random.below(2) == 0).then(|| Instant(random.next())),
            due: Instant(random.next()),
            error: random.below(99).to_string(),
        },
        _ => Change::ParkedDelete { scope, lane, sequence },
    }
}

fn change(random: &mut Random, scope: Scope, now: Instant) -> Change {
    let key = |random: &mut Random| (bytes(random, 2), format!("n{}", random.below(2)));
    match random.below(12) {
        0..2 => {
            let ((key, name), value) = (key(random), bytes(random, 40));
            let life = Millis(random.below(3_000));
            let expires = (random.below(2) == 0).then(|| now.after(life));
            Change::StateSet { scope, key, name, value, expires }
        }
        2 => {
            let (key, name) = key(random);
            Change::StateDelete { scope, key, name }
        }
        3..5 => Change::TimerSet { scope, record: timer(random) },
        5 => Change::TimerDelete { scope, timer: TimerHash(u128::from(random.below(10))) },
        6..10 => park(random, scope),
        10 => {
            let topic = TopicId(random.small(9));
            let offset = Offset(random.next());
            let position = Position { topic, partition: PartitionId(random.small(9)), offset };
            let mark = Mark { position, epoch: random.small(9) };
            Change::MarkSet { scope, id: IdHash(u128::from(random.below(50))), mark, at: now }
        }
        _ => {
            let ranges =
                (0..random.below(3)).map(|n| OffsetRange { from: Offset(n), to: Offset(9) });
            let progress = StoredProgress {
                incarnation: u128::from(random.next()),
                epoch: random.small(9),
                epoch_start: Offset(random.next()),
                next: Offset(random.next()),
                finished: ranges.collect(),
            };
            Change::Progress { scope, topic: TopicId(random.small(3)), progress }
        }
    }
}

fn cache() -> World {
    World::with(|settings| settings.commit_sync = false)
}

#[test]
fn whatever_was_compacted_the_same_comes_back() {
    let first = std::env::var("SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let (direct, reader) = (cache(), cache());
    for (number, seed) in (0..20).zip(first..) {
        history(&direct, &reader, number, seed);
    }
}

fn history(direct: &World, reader: &World, number: u32, seed: u64) {
    let mut random = Random::new(seed);
    // Numbers of subscriptions are each host's own.
    let mine = scope(number, 5);
    let read_by = |round| scope(1_000 + number * 8 + round, 5);
    let others = read_by(0);
    let (mut log, mut stands, mut marks) = (Log::default(), 0, 0);
    for step in 0..80 {
        let what = format!("SEED={seed} step {step}");
        match random.below(10) {
            0 => log.compact(&mut random, stands),
            1 => {
                // It may have died before it noted how far it came, and reads some again.
                let from = stands - random.below(stands.min(20) + 1);
                log.restore(reader, &mut random, others, from);
                stands = log.next;
                check_same((direct, mine), (reader, others), &what);
            }
            2 => direct.clock.pass(Millis(random.below(900))),
            _ => {
                let now = direct.clock.now();
                let count = random.below(12);
                let changes: Vec<Change> =
                    (0..count).map(|_| change(&mut random, mine, now)).collect();
                let mut entries = Vec::new();
                encode(&changes, &mut marks, &mut entries).expect("encodes");
                log.append(entries);
                let batch = Batch { changes, ..Batch::default() };
                submit(direct.store(), batch).unwrap_or_else(|error| panic!("{what}: {error}"));
            }
        }
    }
    for round in 1..5 {
        let what = format!("SEED={seed} from the start, time {round}");
        log.restore(reader, &mut random, read_by(round), 0);
        check_same((direct, mine), (reader, read_by(round)), &what);
        log.compact(&mut random, u64::MAX);
    }
}

#[test]
fn figures_never_outlive_what_they_belong_to() {
    let mut random = Random::new(1);
    let of = scope(0, 0);
    let (lane, sequence) = (KeyHash(1), 2);
    let record = parked_event(&mut random, of, sequence);
    let update = Change::ParkedUpdate {
        scope: of,
        lane,
        sequence,
        attempts: 9,
        first_failure: None,
        due: Instant(1),
        error: "older".to_owned(),
    };
    let put = Change::ParkedPut { scope: of, lane, record: record.clone() };
    let delete = Change::ParkedDelete { scope: of, lane, sequence };
    let (mut entries, mut marks) = (Vec::new(), 0);
    encode([&put, &update, &delete, &put], &mut marks, &mut entries).expect("encodes");
    let [event, figures, event_gone, figures_gone, again] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(event.key, event_gone.key);
    assert_eq!(figures.key, figures_gone.key);
    let rows: [(&[&Entry], bool); 6] = [
        (&[event, figures, event_gone, figures_gone, again], true),
        (&[figures, figures_gone, again], true),
        (&[figures, again], true),
        (&[again], true),
        (&[figures, event_gone, figures_gone], false),
        (&[figures, figures_gone], false),
    ];
    for (kept, there) in rows {
        let world = cache();
        for entry in kept {
            world.changes(decode(of, &entry.key, entry.value.clone()).expect("decodes"));
        }
        let found = world.store().parked(of, lane, sequence).expect("reads");
        assert_eq!(found.as_ref(), there.then_some(&record), "{kept:?}");
    }
}
