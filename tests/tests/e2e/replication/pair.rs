//! Owns two clusters, hosts that copy between them, and what was written to them: which is what
//! must be there.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;
use std::{env, fs, process::Command};

use anyhow::{Context, Result, anyhow, bail, ensure};
use gristmill_tests::chaos::complaints::{self, Expected};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::binary;
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::{Cluster, Writer, Written};
use gristmill_tests::support::wait;
use serde_json::Value;

/// What has not happened by then does not happen.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
/// The moment of the first record: topics keep theirs for ever.
const BEGINNING_MS: u64 = 1_700_000_000_000;
/// The header that a copy has.
const PROVENANCE: &str = "gristmill-provenance";

/// Two clusters, "east" and "west".
pub(super) struct Pair {
    pub(super) east: Cluster,
    pub(super) west: Cluster,
}

impl Pair {
    /// Starts both, at once.
    pub(super) fn start() -> Result<Self> {
        let west = thread::spawn(|| Cluster::start(1));
        let east = Cluster::start(1)?;
        let west = west.join().map_err(|_panicked| anyhow!("the start of west panicked"))??;
        Ok(Self { east, west })
    }

    /// The folder of a host of a cluster, with these tables beside its broker.
    pub(super) fn home(here: &Cluster, name: &str, tables: &str) -> Result<Home> {
        let broker = format!(
            "[broker]\nkind = \"kafka\"\nbrokers = [\"{}\"]\nsession_timeout = \"6s\"\n",
            here.bootstrap()
        );
        Home::new(&binary("debug"), &format!("{}{broker}{tables}", common(name)))
    }
}

/// What every host's configuration begins with.
pub(super) fn common(name: &str) -> String {
    format!(
        "name = \"{name}\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\nworkers = 1\n\
         [storage]\nreserve = \"64MiB\"\n[topics.defaults]\nretention = \"forever\"\n"
    )
}

/// A table that copies topics to a cluster, as quick to notice as can be.
pub(super) fn replication(
    name: &str,
    (from, to, there): (&str, &str, &Cluster),
    topics: &str,
) -> String {
    format!(
        "[replication.{name}]\ntopics = {topics}\nbrokers = [\"{}\"]\ncluster = \"{from}\"\n\
         to_cluster = \"{to}\"\nsession_timeout = \"6s\"\ntransaction_timeout = \"2s\"\n",
        there.bootstrap()
    )
}

/// What was written to a topic, by partition.
#[derive(Debug, Default, Clone)]
pub(super) struct Told(pub(super) BTreeMap<String, Vec<Vec<Written>>>);

impl Told {
    /// Writes so many more records to `topic`, with and without keys, headers and values.
    pub(super) fn write(
        &mut self,
        writer: &mut Writer,
        (topic, partitions): (&str, u32),
        count: u64,
    ) -> Result<()> {
        let told = self.0.entry(topic.to_owned()).or_default();
        told.resize_with(partitions as usize, Vec::new);
        let mut records = Vec::new();
        for _ in 0..count {
            let n = told.iter().map(Vec::len).sum::<usize>() as u64;
            let partition = u32::try_from(n % u64::from(partitions))?;
            let headers = match n % 3 {
                0 => Vec::new(),
                1 => vec![("n".to_owned(), n.to_string())],
                _ => vec![("a".to_owned(), "x".to_owned()), ("a".to_owned(), String::new())],
            };
            let record = Written {
                topic: topic.to_owned(),
                partition,
                timestamp_ms: BEGINNING_MS + n,
                headers,
                key: (!n.is_multiple_of(7)).then(|| format!("key-{}", n % 20)),
                value: (n % 11 != 1).then(|| format!("{{\"n\":{n}}}")),
            };
            told[partition as usize].push(record.clone());
            records.push(record);
        }
        writer.write(&records)
    }

    /// Waits until a topic holds exactly what was written, as copied from `from`.
    pub(super) fn hold(
        &self,
        there: &Cluster,
        (topic, to): (&str, &str),
        from: &str,
    ) -> Result<()> {
        let expected = self.0.get(topic).context("something was written")?;
        let expected: Vec<Vec<String>> = expected
            .iter()
            .map(|partition| partition.iter().map(|record| copy(record, from)).collect())
            .collect();
        let count = expected.iter().map(Vec::len).sum::<usize>();
        let mut last = String::new();
        let held = wait::until(PATIENCE, || {
            let mut found = there.topic(to)?;
            found.resize_with(found.len().max(expected.len()), Vec::new);
            let found: Vec<Vec<String>> =
                found.iter().map(|partition| partition.iter().map(shown).collect()).collect();
            for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let wrong = found.iter().zip(expected).position(|(found, wanted)| found != wanted);
                if let Some(at) = wrong {
                    bail!("{to}/{number}: record {at} is {}, not {}", found[at], expected[at]);
                }
                ensure!(found.len() <= expected.len(), "{to}/{number} has records twice");
            }
            last = format!("{} of {count} records", found.iter().map(Vec::len).sum::<usize>());
            Ok((found == expected).then_some(()))
        })?;
        held.with_context(|| format!("topic {to} holds {last}"))
    }
}

/// A record as it must be over there.
fn copy(record: &Written, from: &str) -> String {
    let mut headers = record.headers.clone();
    headers.push((PROVENANCE.to_owned(), from.to_owned()));
    let value = record.value.clone().unwrap_or_else(|| "null".to_owned());
    format!("{} {headers:?} {:?} {value}", record.timestamp_ms, record.key)
}

/// A record as it is.
pub(super) fn shown(record: &Stored) -> String {
    let headers: Vec<(&str, &str)> =
        record.headers.iter().map(|header| (&*header.name, &*header.value)).collect();
    format!("{} {headers:?} {:?} {}", record.timestamp_ms, record.key, record.payload)
}

/// What a host says of a replication.
pub(super) fn report(client: &Client, name: &str) -> Result<Value> {
    let answer = client.json("/api/v1/replication")?;
    let found = answer["replications"].as_array().into_iter().flatten();
    let found = found.into_iter().find(|report| report["name"] == name);
    found.cloned().with_context(|| format!("no replication {name} in {answer}"))
}

/// Waits until what a host says of a replication is as wanted.
pub(super) fn until(client: &Client, name: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    let found = wait::until(PATIENCE, || {
        let report = report(client, name)?;
        Ok(is_so(&report).then_some(report))
    })?;
    found.map_or_else(|| bail!("it never was: {}", report(client, name)?), Ok)
}

/// A topic in a report.
pub(super) fn of<'a>(report: &'a Value, topic: &str) -> &'a Value {
    let topics = report["topics"].as_array().map(Vec::as_slice).unwrap_or_default();
    topics.iter().find(|it| it["topic"] == topic).unwrap_or(&Value::Null)
}

/// A figure of a host's metrics, by its name and labels as they are exported.
pub(super) fn metric(client: &Client, line: &str) -> Result<u64> {
    let metrics = client.get("/metrics")?;
    let found = metrics.lines().find_map(|it| it.strip_prefix(line)?.trim().parse().ok());
    Ok(found.unwrap_or(0))
}

/// The line of a host's metrics that counts what is not copied for a reason.
pub(super) fn skipped(reason: &str, name: &str, topic: &str) -> String {
    format!(
        "gristmill_replication_skipped_total{{reason=\"{reason}\",replication=\"{name}\",\
         topic=\"{topic}\"}}"
    )
}

/// What `gristmill replication list` prints.
pub(super) fn listed(client: &Client, options: &[&str]) -> Result<String> {
    let program = env::var_os("GRISTMILL").unwrap_or_else(|| binary("debug").into());
    let output = Command::new(program)
        .args(["replication", "list", "--url", client.url()])
        .args(options)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Ends a host kindly. Lines by which it asks for somebody must be expected.
pub(super) fn end(home: &Home, host: Process, expected: &[Expected]) -> Result<()> {
    host.stop()?;
    let log = fs::read_to_string(home.log())?;
    let complaints = complaints::of(&log, expected);
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}
