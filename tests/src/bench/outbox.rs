//! Measures how fast rows of a PostgreSQL are published: a backlog that is there when the host
//! starts, each row durable in the database, in the topic and as marked.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::figure::{Figure, Target};
use super::process::Others;
use super::throughput::float;
use super::{Options, Progress, scene};
use crate::support::client::Client;
use crate::support::postgres::{Postgres, Safety};
use crate::support::wait;

/// Rows of a run.
const ROWS: u64 = 100_000;
/// Longest wait for all of them.
const PATIENCE: Duration = Duration::from_mins(5);
const TABLE: &str = "CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
    topic text NOT NULL, key text, payload jsonb, published_at timestamptz, error text); \
    CREATE INDEX ON outbox (id) WHERE published_at IS NULL";

/// Takes the run.
///
/// # Errors
///
/// When the database or the host fails, or the host does not get on.
pub fn measure(options: &Options, progress: Progress<'_>) -> Result<Vec<Figure>> {
    let postgres = Postgres::start(Safety::Machine)?;
    let database = postgres.connect()?;
    database.run(TABLE)?;
    let (data, keys, topic) = (scene::data(0).to_string(), scene::KEYS, scene::INPUT);
    database.run(&format!(
        "INSERT INTO outbox (topic, key, payload) SELECT '{topic}', 'key-' || n % {keys}, \
         '{data}'::jsonb FROM generate_series(1, {ROWS}) AS n; ANALYZE outbox"
    ))?;
    progress(&format!("outbox: {ROWS} rows"));
    let outbox = format!("[outbox.bench]\n{}\n", postgres.parameters());
    let home = scene::home_with(&options.binary, &[topic], &outbox)?;
    let mut process = home.start(&[])?;
    let client = process.listens()?;
    let first = wait::until(PATIENCE, || Ok(Some(published(&client)).filter(|it| *it > 0)))?;
    let (first, began) = (first.with_context(|| process.tail())?, Instant::now());
    let others = Others::beside(&[process.id()])?;
    let all = wait::until(PATIENCE, || Ok((published(&client) >= ROWS).then_some(())))?;
    all.with_context(|| process.tail())?;
    let took = began.elapsed().as_secs_f64();
    let others = others.processors()?;
    let there: u64 = client.ends(topic)?.iter().sum();
    ensure!(there == ROWS, "{there} events of {ROWS} rows");
    process.stop()?;
    let rate = float(ROWS - first) / took;
    let note = format!(
        "{ROWS} rows of 380 bytes over {keys} keys, embedded store; the database is on the same \
         machine and syncs; it and others kept {others:.2} processors busy"
    );
    Ok(vec![
        Figure::new("outbox, rows published", rate, "rows/s")
            .aiming(Target::AtLeast(5_000.0))
            .noting(note),
    ])
}

/// Rows published so far; none while the host does not answer.
fn published(client: &Client) -> u64 {
    let metrics = client.get("/metrics").unwrap_or_default();
    let line = metrics.lines().find(|it| it.starts_with("gristmill_outbox_published_total"));
    line.and_then(|it| it.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}
