//! Does random things to a store and to a model of it in plain maps, and compares.

use std::collections::BTreeMap;

use bytes::Bytes;
use gristmill_engine::{
    Bytes as Size, EventRef, IdHash, Instant, KeyHash, Mark, Millis, Offset, ParkedEvent,
    PartitionId, Position, StoredProgress, TimerEntry, TimerHash, TopicId,
};
use gristmill_store::{
    Append, Batch, Change, Cleared, Header, Keys, Parked, ParkedRecord, Retention, Scope, Stored,
    TimerRecord,
};

use crate::world::{Random, World, read_all, scope, submit};

const PARTITIONS: u32 = 2;
const SCOPES: u32 = 3;

#[derive(Default)]
struct Memory {
    state: BTreeMap<(Vec<u8>, String), (Bytes, Option<Instant>)>,
    timers: BTreeMap<TimerHash, TimerRecord>,
    parked: BTreeMap<(KeyHash, u64), ParkedRecord>,
    marks: BTreeMap<IdHash, Mark>,
    progress: BTreeMap<TopicId, StoredProgress>,
}

#[derive(Default)]
struct Model {
    topics: BTreeMap<String, (TopicId, Vec<Vec<Stored>>)>,
    scopes: BTreeMap<Scope, Memory>,
    documents: BTreeMap<String, Bytes>,
}

pub(crate) fn bytes(random: &mut Random, length: u64) -> Bytes {
    (0..random.below(length + 1)).map(|_| [0, 127, 255][index(random, 3)]).collect()
}

fn index(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("small")
}

fn some_scope(random: &mut Random) -> Scope {
    scope(random.small(SCOPES), random.small(2))
}

pub(crate) fn timer(random: &mut Random) -> TimerRecord {
    TimerRecord {
        entry: TimerEntry {
            timer: TimerHash(u128::from(random.below(10))),
            key: KeyHash(u128::from(random.next())),
            due: Instant(random.next()),
            sequence: random.next(),
        },
        key: bytes(random, 9),
        name: format!("timer-{}", random.below(9)),
        payload: bytes(random, 50),
        context: bytes(random, 50),
    }
}

pub(crate) fn parked(random: &mut Random, scope: Scope, sequence: u64) -> ParkedRecord {
    let timer = timer(random);
    let event = EventRef::Timer {
        partition: scope.partition,
        timer: timer.entry.timer,
        sequence: timer.entry.sequence,
    };
    let event = ParkedEvent {
        sequence,
        event,
        attempts: random.small(9),
        first_failure: (random.below(2) == 0).then(|| Instant(random.next())),
        due: Instant(random.next()),
        size: Size(random.next()),
        id: (random.below(2) == 0).then(|| IdHash(u128::from(random.next()))),
        redriven: random.below(2) == 0,
    };
    ParkedRecord { event, source: Parked::Timer(timer), error: format!("{}", random.below(99)) }
}

impl Model {
    fn append(&mut self, random: &mut Random, now: Instant) -> Option<Append> {
        let place = index(random, self.topics.len().max(1));
        let (topic, partitions) = self.topics.values_mut().nth(place)?;
        let partition = random.small(PARTITIONS);
        let events = &mut partitions[partition as usize];
        let key = (random.below(3) > 0).then(|| bytes(random, 8));
        let payload = (random.below(5) > 0).then(|| bytes(random, 600));
        let headers: Vec<Header> =
            (0..random.below(3)).map(|n| (format!("h{n}").into(), bytes(random, 20))).collect();
        events.push(Stored {
            offset: Offset(events.len() as u64),
            timestamp: now,
            key: key.clone(),
            headers: headers.as_slice().into(),
            payload: payload.clone(),
        });
        let partition = PartitionId(partition);
        Some(Append { topic: *topic, partition, timestamp: now, key, headers, payload })
    }

    fn change(&mut self, random: &mut Random, now: Instant) -> Change {
        let scope = some_scope(random);
        let memory = self.scopes.entry(scope).or_default();
        match random.below(10) {
            0..3 => {
                let (key, name) = (bytes(random, 4), format!("n{}", random.below(4)));
                let value = bytes(random, 40);
                let life = Millis(random.below(3_000));
                let expires = (random.below(2) == 0).then(|| now.after(life));
                memory.state.insert((key.to_vec(), name.clone()), (value.clone(), expires));
                Change::StateSet { scope, key, name, value, expires }
            }
            3 => {
                let (key, name) = (bytes(random, 4), format!("n{}", random.below(4)));
                memory.state.remove(&(key.to_vec(), name.clone()));
                Change::StateDelete { scope, key, name }
            }
            4 => {
                let record = timer(random);
                memory.timers.insert(record.entry.timer, record.clone());
                Change::TimerSet { scope, record }
            }
            5 => {
                let timer = TimerHash(u128::from(random.below(10)));
                memory.timers.remove(&timer);
                Change::TimerDelete { scope, timer }
            }
            6 => self.park(random, scope),
            7 => {
                let id = IdHash(u128::from(random.below(50)));
                let offset = Offset(random.next());
                let position = Position { topic: TopicId(1), partition: PartitionId(1), offset };
                let mark = Mark { position, epoch: random.small(9) };
                memory.marks.insert(id, mark);
                Change::MarkSet { scope, id, mark, at: now }
            }
            8 => {
                let progress = StoredProgress {
                    incarnation: u128::from(random.next()),
                    epoch: random.small(9),
                    epoch_start: Offset(random.next()),
                    next: Offset(random.next()),
                    finished: vec![],
                };
                let topic = TopicId(random.small(5));
                memory.progress.insert(topic, progress.clone());
                Change::Progress { scope, topic, progress }
            }
            _ => self.rare(random, scope),
        }
    }

    fn park(&mut self, random: &mut Random, scope: Scope) -> Change {
        let memory = self.scopes.entry(scope).or_default();
        let (lane, sequence) = (KeyHash(u128::from(random.below(3))), random.below(4));
        match random.below(3) {
            0 => {
                let record = parked(random, scope, sequence);
                memory.parked.insert((lane, sequence), record.clone());
                Change::ParkedPut { scope, lane, record }
            }
            1 => {
                let attempts = random.small(9);
                let (due, error) = (Instant(random.next()), random.below(9).to_string());
                if let Some(record) = memory.parked.get_mut(&(lane, sequence)) {
                    record.event.attempts = attempts;
                    record.event.first_failure = None;
                    record.event.due = due;
                    record.error.clone_from(&error);
                }
                let first_failure = None;
                Change::ParkedUpdate { scope, lane, sequence, attempts, first_failure, due, error }
            }
            _ => {
                memory.parked.remove(&(lane, sequence));
                Change::ParkedDelete { scope, lane, sequence }
            }
        }
    }

    fn rare(&mut self, random: &mut Random, scope: Scope) -> Change {
        if random.below(3) > 0 {
            let name = format!("d{}", random.below(3));
            let value = (random.below(3) > 0).then(|| bytes(random, 90));
            match &value {
                Some(value) => drop(self.documents.insert(name.clone(), value.clone())),
                None => drop(self.documents.remove(&name)),
            }
            return Change::Document { name, value };
        }
        let partition = (random.below(2) == 0).then_some(scope.partition);
        let mut coin = || random.below(2) == 0;
        let what = Cleared {
            state: coin(),
            marks: coin(),
            progress: coin(),
            timers: coin(),
            parked: coin(),
        };
        for (other, memory) in &mut self.scopes {
            let named = other.subscription == scope.subscription
                && partition.is_none_or(|partition| other.partition == partition);
            if named {
                memory.clear(what);
            }
        }
        Change::SubscriptionClear { subscription: scope.subscription, partition, what }
    }

    fn check(&self, world: &World, what: &str) {
        let store = world.store();
        let names: Vec<String> =
            store.topics().into_iter().map(|topic| topic.name.to_string()).collect();
        assert_eq!(names, self.topics.keys().cloned().collect::<Vec<_>>(), "{what}");
        for (id, partitions) in self.topics.values() {
            for (number, events) in (0..).zip(partitions) {
                assert_eq!(read_all(store, *id, number), *events, "{what}: {id:?} {number}");
            }
        }
        for (scope, memory) in &self.scopes {
            memory.check(world, *scope, &format!("{what}: {scope:?}"));
        }
        for number in 0..3 {
            let name = format!("d{number}");
            let found = store.document(&name).expect("reads");
            assert_eq!(found.as_ref(), self.documents.get(&name), "{what}: document {name}");
        }
    }
}

impl Memory {
    fn clear(&mut self, what: Cleared) {
        if what.state {
            self.state.clear();
        }
        if what.marks {
            self.marks.clear();
        }
        if what.progress {
            self.progress.clear();
        }
        if what.timers {
            self.timers.clear();
        }
        if what.parked {
            self.parked.clear();
        }
    }

    fn check(&self, world: &World, scope: Scope, what: &str) {
        let (store, now) = (world.store(), world.clock.now());
        let page = Keys { prefix: b"", after: None, limit: u32::MAX };
        let found = store.state_keys(scope, page, now).expect("reads");
        let found: Vec<_> = found.into_iter().map(|(key, name)| (key.to_vec(), name)).collect();
        let live = |expires: &Option<Instant>| expires.is_none_or(|at| at > now);
        let state = self.state.iter().filter(|(_, (_, expires))| live(expires));
        assert_eq!(found, state.map(|(at, _)| at.clone()).collect::<Vec<_>>(), "{what}: state");
        for ((key, name), (value, expires)) in &self.state {
            let found = store.state_get(scope, key, name, now).expect("reads");
            assert_eq!(found.as_ref(), Some(value).filter(|_| live(expires)), "{what}: {name}");
        }
        let loaded = store.load(scope).expect("loads");
        let timers: Vec<_> = self.timers.values().map(|timer| timer.entry).collect();
        assert_eq!(loaded.timers, timers, "{what}: timers");
        for (number, timer) in &self.timers {
            let found = store.timer(scope, *number).expect("reads");
            assert_eq!(found.as_ref(), Some(timer), "{what}: timer");
        }
        let found: Vec<_> = loaded.parked.iter().flat_map(|lane| lane.events.clone()).collect();
        let events: Vec<_> = self.parked.values().map(|record| record.event.clone()).collect();
        assert_eq!(found, events, "{what}: parked");
        for ((lane, sequence), record) in &self.parked {
            let found = store.parked(scope, *lane, *sequence).expect("reads");
            assert_eq!(found.as_ref(), Some(record), "{what}: parked");
        }
        for number in 0..50 {
            let id = IdHash(number);
            let found = store.mark(scope, id).expect("reads");
            assert_eq!(found.as_ref(), self.marks.get(&id), "{what}: mark {number}");
        }
        let progress: Vec<_> = self.progress.clone().into_iter().collect();
        assert_eq!(loaded.progress, progress, "{what}: progress");
    }
}

#[test]
fn a_store_is_what_its_model_is() {
    let first = std::env::var("SEED").map_or(1, |seed| seed.parse().expect("a number"));
    for seed in first..first + 12 {
        history(seed);
    }
}

fn history(seed: u64) {
    let mut random = Random::new(seed);
    let mut world = World::new();
    let mut model = Model::default();
    // The store numbers subscriptions in the order they come.
    for number in 0..SCOPES {
        assert_eq!(world.scope(&number.to_string(), 0).subscription.0, number);
    }
    for step in 0..120 {
        let what = format!("SEED={seed} step {step}");
        match random.below(20) {
            0 => {
                let name = format!("t{}", random.below(4));
                if model.topics.remove(&name).is_some() {
                    world.store().delete_topic(&name).expect("deleted");
                } else {
                    let topic = world.topic(&name, PARTITIONS, Retention::default()).id;
                    model.topics.insert(name, (topic, vec![vec![], vec![]]));
                }
            }
            1 => world.store().maintain().expect("maintains"),
            2 => world.reopen(),
            3 => world.clock.pass(Millis(random.below(1_500))),
            _ => {
                let now = world.clock.now();
                let count = random.below(20);
                let appends = (0..count).filter_map(|_| model.append(&mut random, now)).collect();
                let count = random.below(20);
                let changes = (0..count).map(|_| model.change(&mut random, now)).collect();
                let batch = Batch { ingest: false, appends, changes };
                submit(world.store(), batch).unwrap_or_else(|error| panic!("{what}: {error}"));
            }
        }
        if step % 10 == 0 {
            model.check(&world, &what);
        }
    }
    world.reopen();
    model.check(&world, &format!("SEED={seed} at the end"));
}
