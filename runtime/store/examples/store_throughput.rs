//! Measures what the store does in a second: appends with state, marks and progress by batch size,
//! look-ups, sequential reading, opening. It asserts nothing.
//!
//! `cargo run --release -p gristmill-store --example store_throughput -- [folder] [events]`

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program that prints and may fail")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    sync::mpsc,
    time::{Duration, Instant as Moment},
};

use bytes::Bytes;
use gristmill_engine::{
    Bytes as Size, IdHash, Instant, Mark, Offset, PartitionId, Position, StoredProgress, TopicId,
};
use gristmill_store::{
    Append, Batch, Change, ReadLimit, Retention, Scope, Settings, Store, TopicSpec,
};

const PARTITIONS: u64 = 4;

fn main() {
    let folder = env::args().nth(1).unwrap_or_else(|| "target/store-throughput".to_owned());
    let events: u64 = env::args().nth(2).map_or(1_000_000, |text| text.parse().expect("a number"));
    for batch in [1_000, 10_000, 20] {
        fs::remove_dir_all(&folder).unwrap_or_default();
        let events = if batch == 20 { events / 4 } else { events };
        measure(Path::new(&folder), events, batch);
    }
}

fn measure(folder: &Path, events: u64, batch: u64) {
    let store = Store::open(Settings::new(folder)).expect("opens");
    println!("batches of {batch}: {} MiB in memory when open", resident());
    let spec = TopicSpec {
        name: "t".to_owned(),
        partitions: 4,
        retention: Retention::default(),
        compacted: false,
    };
    let topic = store.create_topic(spec).expect("created").id;
    let subscription = store.subscription("s").expect("a number");
    let scope = Scope { subscription, partition: PartitionId(0) };
    write(&store, topic, scope, Run { events, batch });
    let sync = store.figures().sync;
    println!("  write and sync: {} times, {:.2} s", sync.count, sync.sum);
    look_up(&store, scope, events);
    read(&store, topic);
    println!("  {} MiB in memory, {} MiB on disk", resident(), store.figures().disk.0 >> 20);
    store.close().expect("closes");
    drop(store);
    let began = Moment::now();
    drop(Store::open(Settings::new(folder)).expect("opens"));
    println!("  opened again and closed in {:.2} s", began.elapsed().as_secs_f64());
}

#[derive(Clone, Copy)]
struct Run {
    events: u64,
    batch: u64,
}

fn write(store: &Store, topic: TopicId, scope: Scope, run: Run) {
    // Two batches under way: one syncs while the next is made.
    let (tell, told) = mpsc::channel();
    let (began, before) = (Moment::now(), processor_times());
    let now = (Settings::new("").clock)();
    let mut under_way = 0;
    for first in (0..run.events).step_by(usize::try_from(run.batch).expect("small")) {
        let numbers = first..(first + run.batch).min(run.events);
        let tell = tell.clone();
        let done = Box::new(move |answer| tell.send(answer).expect("waits"));
        store.submit(batch(topic, scope, numbers, now), done);
        under_way += 1;
        if under_way == 2 {
            drop(told.recv().expect("an answer").expect("durable"));
            under_way -= 1;
        }
    }
    while under_way > 0 {
        drop(told.recv().expect("an answer").expect("durable"));
        under_way -= 1;
    }
    report("appended with state, mark, progress", run.events, began.elapsed());
    for (name, time) in processor_times() {
        let used = time.saturating_sub(before.get(&name).copied().unwrap_or_default());
        println!("  processor time of {name}: {:.2} s", used.as_secs_f64());
    }
}

fn batch(topic: TopicId, scope: Scope, numbers: std::ops::Range<u64>, now: Instant) -> Batch {
    let mut batch = Batch::default();
    let next = numbers.end;
    for number in numbers {
        let partition = PartitionId(u32::try_from(number % PARTITIONS).expect("small"));
        let random = scatter(number);
        let key = Bytes::from(format!("customer-{:06}", random % 100_000));
        batch.appends.push(Append {
            topic,
            partition,
            timestamp: now,
            key: Some(key.clone()),
            headers: vec![("ce_type".into(), Bytes::from_static(b"order.placed"))],
            payload: Some(payload(random)),
        });
        let (name, expires) = ("total".to_owned(), None);
        let value = Bytes::from(random.to_string());
        batch.changes.push(Change::StateSet { scope, key, name, value, expires });
        let position = Position { topic, partition, offset: Offset(number / PARTITIONS) };
        let (id, mark) = (IdHash(wide(random)), Mark { position, epoch: 0 });
        batch.changes.push(Change::MarkSet { scope, id, mark, at: now });
    }
    let progress = StoredProgress {
        incarnation: 1,
        epoch: 0,
        epoch_start: Offset(0),
        next: Offset(next),
        finished: vec![],
    };
    batch.changes.push(Change::Progress { scope, topic, progress });
    batch
}

/// About 310 bytes that look like JSON and compress about as well.
fn payload(random: u64) -> Bytes {
    let text = format!(
        "{{\"order\":\"{:016x}\",\"customer\":\"{:016x}\",\"amount\":{},\"currency\":\"EUR\"",
        random,
        scatter(random),
        random % 100_000
    );
    let mut text = text.into_bytes();
    let mut more = random;
    while text.len() < 310 {
        more = scatter(more);
        text.extend_from_slice(format!(",\"item\":\"{more:016x}\"").as_bytes());
    }
    Bytes::from(text)
}

fn look_up(store: &Store, scope: Scope, events: u64) {
    // Those that were set last: of the first ones a long run has forgotten some.
    let (count, first) = (200_000.min(events), events.saturating_sub(200_000));
    for (what, offset) in [("absent marks looked up", u64::MAX / 2), ("present marks looked up", 0)]
    {
        let began = Moment::now();
        let ids =
            (first..first + count).map(|number| IdHash(wide(scatter(number.wrapping_add(offset)))));
        let found = ids.filter(|id| store.mark(scope, *id).expect("reads").is_some()).count();
        report(what, count, began.elapsed());
        assert_eq!(found > 0, offset == 0, "marks are found where they were set");
    }
}

fn read(store: &Store, topic: TopicId) {
    let limit = ReadLimit { events: 1_000, bytes: Size::mib(1) };
    for round in ["first", "second"] {
        let (began, mut count) = (Moment::now(), 0);
        for partition in 0..4 {
            let mut from = Offset(0);
            loop {
                let events = store.read(topic, PartitionId(partition), from, limit).expect("reads");
                let Some(last) = events.last() else { break };
                from = last.offset.next();
                count += events.len() as u64;
            }
        }
        report(&format!("read in order, {round} time"), count, began.elapsed());
    }
}

fn scatter(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31).wrapping_add(0x9e37_79b9_7f4a_7c15)
}

fn wide(number: u64) -> u128 {
    u128::from(number) << 64 | u128::from(scatter(number))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(what: &str, count: u64, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    println!("  {what}: {rate:.0} a second ({count} in {:.2} s)", took.as_secs_f64());
}

/// Resident memory in MiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) / 1_024
}

/// Processor time of each thread by its name, at the usual hundred ticks a second.
fn processor_times() -> BTreeMap<String, Duration> {
    let mut times = BTreeMap::new();
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let Some((name, fields)) = stat.rsplit_once(") ") else { continue };
        let ticks = fields.split(' ').skip(11).take(2).filter_map(|text| text.parse::<u64>().ok());
        let name = name.split_once('(').map_or("", |(_, name)| name).to_owned();
        *times.entry(name).or_default() += Duration::from_millis(ticks.sum::<u64>() * 10);
    }
    times
}
