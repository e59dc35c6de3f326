//! Kills a process that writes, at any moment and at each step of a commit, and compares what is
//! found with what it was told: nothing acknowledged is lost, nothing is half there.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use bytes::Bytes;
use gristmill_engine::{
    IdHash, Instant, KeyHash, Mark, Offset, PartitionId, Position, StoredProgress, TimerEntry,
    TimerHash, TopicId,
};
use gristmill_store::{
    Append, Batch, Change, Retention, Scope, Settings, Step, Store, TimerRecord, TopicSpec,
};
use tempfile::TempDir;

use crate::world::{Clock, Random, read_all, settings};

const PARTITIONS: u64 = 3;
const CHILD: &str = "GRISTMILL_STORE_CHILD";

/// What a child does.
#[derive(Debug, Clone, Copy, Default)]
struct Plan {
    /// Bytes of each event's payload.
    size: u64,
    /// Kill itself at this step of this commit.
    step: Option<(usize, u64)>,
    /// Only open the store and hold it.
    hold: bool,
    /// Do not sync commits.
    unsynced: bool,
}

const STEPS: [Step; 5] = [Step::Built, Step::Synced, Step::Noted, Step::Published, Step::Told];

fn start(folder: &Path, plan: Plan) -> Child {
    let (step, commit) = plan.step.unwrap_or((STEPS.len(), 0));
    let flags = (u8::from(plan.hold), u8::from(plan.unsynced));
    let plan = format!("{};{};{};{};{}", plan.size, step, commit, flags.0, flags.1);
    Command::new(env::current_exe().expect("a path"))
        .args(["--exact", "crash::child", "--nocapture"])
        .env(CHILD, folder)
        .env("GRISTMILL_STORE_PLAN", plan)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts")
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).expect("the parent listens");
    out.flush().expect("the parent listens");
}

/// Not a test by itself: what the killed processes run.
#[test]
fn child() {
    let Some(folder) = env::var_os(CHILD) else { return };
    let plan = env::var("GRISTMILL_STORE_PLAN").expect("a plan");
    let plan: Vec<u64> = plan.split(';').map(|part| part.parse().expect("a number")).collect();
    let mut settings = settings(Path::new(&folder), &Clock::new());
    die_at(&mut settings, usize::try_from(plan[1]).expect("small"), plan[2]);
    settings.commit_sync = plan[4] == 0;
    let store = Store::open(settings).expect("opens");
    say("open\n");
    if plan[3] == 1 {
        std::thread::park();
    }
    write_on(&store, usize::try_from(plan[0]).expect("small"));
}

fn die_at(settings: &mut Settings, step: usize, commit: u64) {
    let Some(fatal) = STEPS.get(step).copied() else { return };
    let count = AtomicU64::new(0);
    settings.hook = Some(Arc::new(move |step| {
        if step == fatal && count.fetch_add(1, Ordering::SeqCst) == commit {
            std::process::abort();
        }
    }));
}

/// Submits batch after batch, at most 32 unanswered, and says which are acknowledged.
fn write_on(store: &Store, size: usize) {
    let scope = scope(store);
    let topic = store.topic("t").unwrap_or_else(|| {
        let retention = Retention::default();
        let spec = TopicSpec { name: "t".to_owned(), partitions: 3, retention, compacted: false };
        store.create_topic(spec).expect("created")
    });
    let (tell, told) = mpsc::sync_channel::<()>(32);
    let (first, told) = (done(store, topic.id, scope), Arc::new(std::sync::Mutex::new(told)));
    for number in first.. {
        if tell.send(()).is_err() {
            return;
        }
        let told = Arc::clone(&told);
        store.submit(
            batch(topic.id, scope, number, size),
            Box::new(move |answer| {
                let receipt = answer.expect("durable");
                assert_eq!(receipt.offsets[0], Offset(number / PARTITIONS));
                say(&format!("ack {number}\n"));
                told.lock().expect("no panic").recv().expect("one was sent");
            }),
        );
    }
}

fn scope(store: &Store) -> Scope {
    let subscription = store.subscription("s").expect("a number");
    Scope { subscription, partition: PartitionId(0) }
}

fn batch(topic: TopicId, scope: Scope, number: u64, size: usize) -> Batch {
    let text = Bytes::from(number.to_string());
    let partition = PartitionId(u32::try_from(number % PARTITIONS).expect("small"));
    let mut payload = text.to_vec();
    let mut random = Random::new(number);
    payload.resize_with(payload.len() + size, || random.byte());
    let append = Append {
        topic,
        partition,
        timestamp: Instant(number),
        key: Some(text.clone()),
        headers: vec![],
        payload: Some(payload.into()),
    };
    let position = Position { topic, partition, offset: Offset(number / PARTITIONS) };
    let progress = StoredProgress {
        incarnation: 1,
        epoch: 0,
        epoch_start: Offset(0),
        next: Offset(number + 1),
        finished: vec![],
    };
    let entry = TimerEntry {
        timer: TimerHash(u128::from(number)),
        key: KeyHash(1),
        due: Instant(number),
        sequence: number,
    };
    let timer = TimerRecord {
        entry,
        key: text.clone(),
        name: "t".to_owned(),
        payload: Bytes::new(),
        context: Bytes::new(),
    };
    let mark = Mark { position, epoch: 0 };
    let mut changes = vec![
        Change::StateSet {
            scope,
            key: Bytes::from_static(b"k"),
            name: "last".to_owned(),
            value: text,
            expires: None,
        },
        Change::MarkSet { scope, id: IdHash(u128::from(number)), mark, at: Instant(number) },
        Change::Progress { scope, topic, progress },
        Change::TimerSet { scope, record: timer },
    ];
    if let Some(last) = number.checked_sub(1) {
        changes.push(Change::TimerDelete { scope, timer: TimerHash(u128::from(last)) });
    }
    Batch { ingest: false, appends: vec![append], changes }
}

/// How many batches are there, by the progress one of them wrote.
fn done(store: &Store, topic: TopicId, scope: Scope) -> u64 {
    let progress = store.load(scope).expect("loads").progress;
    progress.iter().find(|(one, _)| *one == topic).map_or(0, |(_, progress)| progress.next.0)
}

/// Opens what a child left and checks that it is the whole of the first batches, `acked` of them
/// at least; gives their number.
fn check(folder: &Path, acked: u64, what: &str) -> u64 {
    let store = Store::open(settings(folder, &Clock::new()))
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let Some(topic) = store.topic("t").map(|topic| topic.id) else {
        assert_eq!(acked, 0, "{what}");
        return 0;
    };
    let scope = scope(&store);
    let count = done(&store, topic, scope);
    assert!(count >= acked, "{what}: {acked} were acknowledged, {count} are there");
    let mut found = 0;
    for partition in 0..PARTITIONS {
        let number = u32::try_from(partition).expect("small");
        for (place, event) in (0..).zip(read_all(&store, topic, number)) {
            assert_eq!(event.offset, Offset(place), "{what}");
            assert_eq!(event.timestamp, Instant(place * PARTITIONS + partition), "{what}");
            let text = event.timestamp.0.to_string();
            assert!(event.payload.expect("a payload").starts_with(text.as_bytes()), "{what}");
            found += 1;
        }
    }
    assert_eq!(found, count, "{what}: as many events as progress");
    let last = store.state_get(scope, b"k", "last", Instant(0)).expect("reads");
    let last = last.map(|text| String::from_utf8(text.to_vec()).expect("text"));
    assert_eq!(last, count.checked_sub(1).map(|last| last.to_string()), "{what}: state");
    let timers = store.load(scope).expect("loads").timers;
    let timers: Vec<u64> = timers.iter().map(|timer| timer.sequence).collect();
    assert_eq!(timers, count.checked_sub(1).into_iter().collect::<Vec<_>>(), "{what}: timers");
    for number in 0..count + 3 {
        let mark = store.mark(scope, IdHash(u128::from(number))).expect("reads");
        assert_eq!(mark.is_some(), number < count, "{what}: mark {number} of {count}");
    }
    count
}

/// Runs a child until `acks` answers came, or it ended, and kills it; gives the acknowledged.
fn run(folder: &Path, plan: Plan, acks: u64) -> u64 {
    let mut child = start(folder, plan);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let (mut acked, mut seen) = (0, 0);
    while seen < acks {
        let Some(Ok(line)) = lines.next() else { break };
        // The test harness of the child writes into the same pipe.
        if let Some(number) = line.rsplit_once("ack ").and_then(|(_, n)| n.parse::<u64>().ok()) {
            acked = number + 1;
            seen += 1;
        }
    }
    child.kill().expect("killed");
    // What it said before it died counts too.
    for line in lines.map_while(Result::ok) {
        if let Some(number) = line.rsplit_once("ack ").and_then(|(_, n)| n.parse::<u64>().ok()) {
            acked = number + 1;
        }
    }
    child.wait().expect("ended");
    acked
}

#[test]
fn killed_at_any_moment_it_keeps_what_it_acknowledged() {
    let seed = env::var("SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut random = Random::new(seed);
    let folder = TempDir::new().expect("a folder");
    let mut last = 0;
    for round in 0..25 {
        let acks = random.below(300);
        let size = if round % 5 == 4 { 20_000 } else { random.below(500) };
        let acked = run(folder.path(), Plan { size, ..Plan::default() }, acks);
        let what = format!("SEED={seed} round {round}");
        let count = check(folder.path(), acked.max(last), &what);
        last = count;
    }
    assert!(last > 100, "{last} batches in all");
}

#[test]
fn killed_without_syncs_it_keeps_whole_batches_in_their_order() {
    let mut random = Random::new(7);
    let folder = TempDir::new().expect("a folder");
    let mut last = 0;
    for round in 0..8 {
        let size = if round % 4 == 3 { 50_000 } else { random.below(500) };
        let plan = Plan { size, unsynced: true, ..Plan::default() };
        let acked = run(folder.path(), plan, random.below(600));
        // Looking opens it with syncs: the next child's commits are beyond a note nobody keeps.
        last = check(folder.path(), acked.max(last), &format!("round {round}"));
    }
    assert!(last > 100, "{last} batches in all");
}

#[test]
fn killed_while_tables_and_journals_turn_over_it_keeps_what_it_acknowledged() {
    let folder = TempDir::new().expect("a folder");
    let mut last = 0;
    for round in 0..3 {
        let acked = run(folder.path(), Plan { size: 200_000, ..Plan::default() }, 250);
        last = check(folder.path(), acked.max(last), &format!("round {round}"));
    }
    assert!(last >= 600, "{last} batches of 200 kB");
    let journal = |number: u64| folder.path().join(format!("data/{number}.jnl"));
    assert!((1..9).any(|number| journal(number).exists()), "journals turned over");
}

#[test]
fn killed_at_each_step_of_a_commit_it_keeps_what_it_acknowledged() {
    for (place, step) in STEPS.iter().enumerate() {
        let folder = TempDir::new().expect("a folder");
        let mut last = 0;
        // The first commits name the subscription and the topic; later ones hold many batches.
        for commit in [0, 1, 2, 3, 7] {
            let plan = Plan { size: 100, step: Some((place, commit)), ..Plan::default() };
            let acked = run(folder.path(), plan, u64::MAX);
            let what = format!("{step:?} of commit {commit}");
            last = check(folder.path(), acked.max(last), &what);
        }
        assert!(last > 0, "{step:?}: something was written");
    }
}

#[test]
fn a_process_that_holds_the_directory_is_named_and_killed_it_holds_nothing() {
    let folder = TempDir::new().expect("a folder");
    let mut child = start(folder.path(), Plan { hold: true, ..Plan::default() });
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let opened = lines.find(|line| line.as_ref().is_ok_and(|line| line.ends_with("open")));
    assert!(opened.is_some());
    let error = Store::open(settings(folder.path(), &Clock::new())).expect_err("locked");
    assert_eq!(error.code(), "E0201");
    assert!(error.to_string().contains(&format!("process {}", child.id())), "{error}");
    child.kill().expect("killed");
    child.wait().expect("ended");
    Store::open(settings(folder.path(), &Clock::new())).expect("free");
}
