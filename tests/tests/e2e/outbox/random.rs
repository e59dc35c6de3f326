//! A random writer, hosts that are killed, sessions that are ended and a database that crashes:
//! what was committed is in its topics, each row once, in the order in which rows could be seen.
//! What must be there is computed from what was committed alone, by other code than the host's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::binary;
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::postgres::{Postgres, Safety};
use gristmill_tests::support::random::Random;
use gristmill_tests::support::wait;

use super::super::both::{Ground, embedded, on_kafka, start};
use super::{PATIENCE, TABLE};

/// Connections that write.
const WRITERS: u64 = 4;
/// Transactions of each.
const TRANSACTIONS: u64 = 400;
/// Aggregates that rows are of.
const AGGREGATES: u64 = 40;
const TOPICS: &str = "[topics.defaults]\npartitions = 4\n[topics.orders]\n[topics.payments]\n";

/// What a writer knows of a row it inserted.
struct Written {
    id: String,
    aggregate: String,
    /// Before it was inserted.
    before: Instant,
    /// After its transaction had committed, where anybody was told.
    after: Option<Instant>,
}

/// A host with its folder.
struct Host {
    home: Home,
    running: Option<(Process, Client)>,
}

impl Host {
    fn start(ground: &Ground, postgres: &Postgres) -> Result<Self> {
        let outbox = format!(
            "[outbox.shop]\nshards = 4\nbatch = 50\npoll = \"50ms\"\n{}\n",
            postgres.parameters()
        );
        let home = Home::new(&binary("debug"), &format!("{}{outbox}", ground.config))?;
        let running = Some(start(&home)?);
        Ok(Self { home, running })
    }

    fn client(&self) -> Result<&Client> {
        self.running.as_ref().map(|(_, client)| client).context("the host does not run")
    }

    /// Kills it once it has published more, and has thus more at hand.
    fn kill_at_work(&mut self) -> Result<()> {
        let client = self.client()?.clone();
        let before = published(&client)?;
        let more = wait::until(PATIENCE, || Ok((published(&client)? > before).then_some(())))?;
        more.context("it publishes nothing")?;
        let (mut process, _) = self.running.take().context("the host does not run")?;
        process.kill().map(drop)
    }

    fn again(&mut self) -> Result<()> {
        self.running = Some(start(&self.home)?);
        Ok(())
    }
}

/// Rows that a host published since it started.
fn published(client: &Client) -> Result<u64> {
    let metrics = client.get("/metrics")?;
    let line = metrics.lines().find(|it| it.starts_with("gristmill_outbox_published_total"));
    Ok(line.and_then(|it| it.rsplit(' ').next()?.parse().ok()).unwrap_or(0))
}

#[test]
fn committed_rows_are_published_once_in_order_whatever_dies() -> Result<()> {
    let ground = embedded("random", TOPICS);
    story(&ground, |postgres, hosts| {
        hosts[0].kill_at_work()?;
        hosts[0].again()?;
        end_session(postgres)?;
        postgres.crash()?;
        postgres.resume()?;
        hosts[0].kill_at_work()?;
        hosts[0].again()
    })
}

#[test]
fn two_hosts_share_a_table_and_one_takes_over_from_the_other() -> Result<()> {
    on_kafka("random", TOPICS, |ground| {
        story(ground, |postgres, hosts| {
            hosts.push(Host::start(ground, postgres)?);
            both_have_shards(hosts)?;
            hosts[0].kill_at_work()?;
            end_session(postgres)?;
            has_all_shards(&hosts[1])?;
            postgres.crash()?;
            postgres.resume()?;
            hosts[0].again()?;
            both_have_shards(hosts)?;
            hosts[1].kill_at_work()?;
            hosts[1].again()
        })
    })
}

/// Ends a session that has a shard, as an operator of the database might.
fn end_session(postgres: &Postgres) -> Result<()> {
    let database = postgres.connect()?;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
               AND mode = 'ExclusiveLock' AND granted LIMIT 1";
    let ended = wait::until(PATIENCE, || Ok(database.rows(end, &[])?.pop()))?;
    ended.map(drop).context("nobody has a shard")
}

fn shards(host: &Host) -> Result<usize> {
    let standing = host.client()?.json("/api/v1/outbox")?;
    Ok(standing["outboxes"][0]["shards"].as_array().map_or(0, Vec::len))
}

fn both_have_shards(hosts: &[Host]) -> Result<()> {
    let even = wait::until(PATIENCE, || {
        let shared: Result<Vec<usize>> = hosts.iter().map(shards).collect();
        Ok((shared? == [2, 2]).then_some(()))
    })?;
    even.context("the shards are not shared out evenly")
}

fn has_all_shards(host: &Host) -> Result<()> {
    let all = wait::until(PATIENCE, || Ok((shards(host)? == 4).then_some(())))?;
    all.context("nobody takes over")
}

/// Writes while `disturb` disturbs, waits until all is published, and checks what is there.
fn story(
    ground: &Ground,
    disturb: impl Fn(&mut Postgres, &mut Vec<Host>) -> Result<()>,
) -> Result<()> {
    let seed = Random::seed();
    let mut postgres = Postgres::start(Safety::Process)?;
    postgres.connect()?.run(TABLE)?;
    let mut hosts = vec![Host::start(ground, &postgres)?];
    let is_over = AtomicBool::new(false);
    let address = postgres.address();
    let written = thread::scope(|scope| {
        let is_over = &is_over;
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let random = Random::new(seed).fork(number);
                let address = address.clone();
                scope.spawn(move || write(&address, random, is_over))
            })
            .collect();
        let disturbed = disturb(&mut postgres, &mut hosts);
        is_over.store(true, Ordering::Relaxed);
        let ended = writers.into_iter().map(|it| it.join().map_err(|_panic| anyhow!("a panic")));
        let written: Result<Vec<_>> = ended.map(|it| it.and_then(|it| it)).collect();
        disturbed.and(written)
    });
    let written = written.with_context(|| format!("SEED={seed}"))?;
    let written: Vec<Written> = written.into_iter().flatten().collect();
    let database = postgres.connect()?;
    let pending = "SELECT count(*) FROM outbox WHERE published_at IS NULL";
    let done = wait::until(PATIENCE, || Ok((database.number(pending)? == 0).then_some(())))?;
    let tails: Vec<String> =
        hosts.iter().filter_map(|it| Some(it.running.as_ref()?.0.tail())).collect();
    done.with_context(|| format!("rows are left; SEED={seed}\n{}", tails.join("\n---\n")))?;
    let committed = database.rows("SELECT id::text FROM outbox", &[])?;
    let committed: BTreeSet<String> = committed.iter().map(|row| row.get(0)).collect();
    let client = hosts[0].client()?;
    let topics = [client.topic("orders")?, client.topic("payments")?];
    check(&committed, &written, &topics.concat()).with_context(|| format!("SEED={seed}"))?;
    for host in &mut hosts {
        let (process, _) = host.running.take().context("the host does not run")?;
        process.stop()?;
        let log = std::fs::read_to_string(host.home.log())?;
        ensure!(!log.contains("ERROR"), "{log}");
    }
    Ok(())
}

/// Transactions that last and end as chance has it, until there were enough and `is_over`.
fn write(address: &str, mut random: Random, is_over: &AtomicBool) -> Result<Vec<Written>> {
    let mut written = Vec::new();
    let mut connection = None;
    let mut count = 0;
    while count < TRANSACTIONS || !is_over.load(Ordering::Relaxed) {
        count += 1;
        let database = match connection.take() {
            Some(database) => database,
            None => wait::until(PATIENCE, || Ok(Postgres::connect_to(address).ok()))?
                .context("the database does not come back")?,
        };
        // A transaction that the database's crash ends is one that was rolled back, or is not told.
        match transact(&database, &mut random) {
            Ok((rows, is_told)) => {
                written.extend(rows);
                connection = is_told.then_some(database);
            }
            Err(_crashed) => {}
        }
    }
    Ok(written)
}

/// One transaction: its rows, and whether its end was told.
fn transact(
    database: &gristmill_tests::support::postgres::Database,
    random: &mut Random,
) -> Result<(Vec<Written>, bool)> {
    let mut rows = Vec::new();
    database.run("BEGIN")?;
    for _ in 0..random.within(1..=4) {
        let aggregate = random.within(0..=AGGREGATES - 1);
        let topic = if aggregate.is_multiple_of(2) { "orders" } else { "payments" };
        let (aggregate, before) = (format!("a-{aggregate}"), Instant::now());
        let insert = "INSERT INTO outbox (topic, key, payload) VALUES ($1, $2, '{}') \
                      RETURNING id::text";
        let inserted = database.rows(insert, &[&topic, &aggregate])?;
        rows.push(Written { id: inserted[0].get(0), aggregate, before, after: None });
        if random.within(0..=3) == 0 {
            // Others overtake it meanwhile: ids do not commit in their order.
            thread::sleep(Duration::from_millis(random.within(0..=15)));
        }
    }
    if random.within(0..=9) < 3 {
        database.run("ROLLBACK")?;
        return Ok((Vec::new(), true));
    }
    let is_told = database.run("COMMIT").is_ok();
    let after = is_told.then(Instant::now);
    for row in &mut rows {
        row.after = after;
    }
    Ok((rows, is_told))
}

/// Each committed row is there once, and nothing else; and no row before one of its aggregate that
/// was committed before it was inserted.
fn check(
    committed: &BTreeSet<String>,
    written: &[Written],
    partitions: &[Vec<Stored>],
) -> Result<()> {
    let written: BTreeMap<&str, &Written> = written.iter().map(|it| (&*it.id, it)).collect();
    let mut seen = BTreeSet::new();
    let mut lanes: BTreeMap<&str, Vec<&Written>> = BTreeMap::new();
    for event in partitions.iter().flatten() {
        let id = event.header("ce_id").context("an event without id")?;
        ensure!(committed.contains(id), "row {id} was never committed: {event:?}");
        ensure!(seen.insert(id.to_owned()), "row {id} is there twice: {event:?}");
        let row = written.get(id).with_context(|| format!("row {id} was never written"))?;
        ensure!(event.key.as_deref() == Some(&*row.aggregate), "{event:?}");
        lanes.entry(&row.aggregate).or_default().push(row);
    }
    let missing: Vec<&String> = committed.difference(&seen).collect();
    ensure!(
        missing.is_empty(),
        "{} of {} are missing: {missing:?}",
        missing.len(),
        committed.len()
    );
    ensure!(committed.len() > 1_000, "only {} rows", committed.len());
    for (aggregate, lane) in lanes {
        for (place, row) in lane.iter().enumerate() {
            let mut later = lane[place + 1..].iter();
            let wrong = later.find(|it| it.after.is_some_and(|after| after < row.before));
            ensure!(
                wrong.is_none(),
                "{aggregate}: {:?} was committed before {} was inserted, and comes after it",
                wrong.map(|it| &it.id),
                row.id
            );
        }
    }
    Ok(())
}
