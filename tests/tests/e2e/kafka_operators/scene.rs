//! Owns what the stories of operators share: a host with the plugin `tally`, its command line, and
//! what came of its input. It decides nothing about what is right.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored, Subscription};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::wait;
use serde_json::{Value, json};

/// What is waited for comes within this time, or not at all.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// Rows of a group by topic and partition: committed, end, lag, member.
pub(super) type Rows = BTreeMap<(String, u32), [String; 4]>;

/// Hosts of one name on the broker that tests share. Their subscription `tally` reads the topics
/// `{name}-in` and `{name}-more`, of four partitions, and publishes to `{name}-out`.
pub(super) struct Scene {
    pub(super) ground: Arc<Ground>,
    name: &'static str,
}

/// What a command ended with.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    pub(super) fn done(&self) -> Result<&str> {
        ensure!(self.code == Some(0), "{self:?}");
        Ok(&self.out)
    }

    pub(super) fn json(&self) -> Result<Value> {
        serde_json::from_str(self.done()?).with_context(|| format!("read {self:?}"))
    }

    /// The command was refused for this reason.
    pub(super) fn refused(&self, exit: i32, code: &str) -> Result<()> {
        ensure!(self.code == Some(exit), "{self:?}");
        ensure!(self.err.starts_with(&format!("error[{code}]: ")), "{self:?}");
        Ok(())
    }
}

impl Scene {
    pub(super) fn new(name: &'static str) -> Result<Self> {
        Ok(Self::on(Ground::shared()?, name))
    }

    pub(super) fn on(ground: Arc<Ground>, name: &'static str) -> Self {
        Self { ground, name }
    }

    /// The subscription's group.
    pub(super) fn group(&self) -> String {
        format!("{}-tally", self.name)
    }

    pub(super) fn topic(&self, end: &str) -> String {
        format!("{}-{end}", self.name)
    }

    /// The folder of one more host.
    pub(super) fn home(&self) -> Result<Home> {
        let [into, more, out] = ["in", "more", "out"].map(|end| self.topic(end));
        let config = format!(
            "name = \"{}\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\nworkers = 2\n\
             [broker]\nkind = \"kafka\"\nbrokers = [\"{}\"]\nsession_timeout = \"6s\"\n\
             properties = {{ \"heartbeat.interval.ms\" = 500 }}\n\
             [storage]\nreserve = \"64MiB\"\n[topics.defaults]\npartitions = 4\n\
             [topics.{into}]\n[topics.{more}]\n[topics.{out}]\n",
            self.name,
            self.ground.cluster().bootstrap()
        );
        let manifest = format!(
            "[[subscription]]\nname = \"tally\"\ntopics = [\"{into}\", \"{more}\"]\n\
             envelope = \"json\"\n[subscription.fields]\nid = \"/id\"\n[subscription.grants]\n\
             emit = [\"{out}\"]\nstate = true\ntimers = true\nconfig = {{ to = \"{out}\" }}\n"
        );
        let home = Home::new(&binary("debug"), &config)?;
        home.put("tally.toml", manifest.as_bytes())?;
        home.put("tally.wasm", &guest("tally")?)?;
        Ok(home)
    }

    /// Publishes events `PREFIX-0` and so on, of more keys than there are partitions.
    pub(super) fn publish(
        &self,
        client: &Client,
        (topic, prefix): (&str, &str),
        count: u32,
    ) -> Result<()> {
        for number in 0..count {
            let path = format!("/topics/{}?key=k{}", self.topic(topic), number % 9);
            client.send(&path, &json!({ "id": format!("{prefix}-{number}") }))?;
        }
        Ok(())
    }

    /// Records of a topic as a reader of committed ones gets them.
    pub(super) fn records(&self, topic: &str) -> Result<Vec<Vec<Stored>>> {
        let topic = self.topic(topic);
        self.ground.read(&[&topic])?.remove(&topic).context("a topic")
    }

    /// How often each id came out.
    pub(super) fn times(&self) -> Result<BTreeMap<String, u32>> {
        let mut times = BTreeMap::new();
        for record in self.records("out")?.iter().flatten() {
            *times
                .entry(record.payload["id"].as_str().context("an id")?.to_owned())
                .or_default() += 1;
        }
        Ok(times)
    }

    /// The numbers that each key's events were given, sorted.
    pub(super) fn numbers(&self) -> Result<BTreeMap<String, Vec<u64>>> {
        let mut numbers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for record in self.records("out")?.iter().flatten() {
            let number = record.payload["number"].as_u64().context("a number")?;
            numbers.entry(record.key.clone().context("a key")?).or_default().push(number);
        }
        for numbers in numbers.values_mut() {
            numbers.sort_unstable();
        }
        Ok(numbers)
    }

    /// Every id came out so often.
    pub(super) fn all_times(&self, expected: u32, ids: usize) -> Result<()> {
        let times = self.times()?;
        let wrong: Vec<_> = times.iter().filter(|(_, times)| **times != expected).collect();
        ensure!(wrong.is_empty(), "not {expected} times: {wrong:?}");
        ensure!(times.len() == ids, "{} of {ids} ids came out", times.len());
        Ok(())
    }
}

/// What the host says of a group.
pub(super) fn report(client: &Client, group: &str) -> Result<Value> {
    client.json(&format!("/api/v1/groups/{group}"))
}

/// Waits until every event is finished and `group` has committed so; returns its report.
pub(super) fn settle(client: &Client, group: &str) -> Result<Value> {
    let mut last = Value::Null;
    let settled = wait::until(PATIENCE, || {
        let open: u64 = client.subscriptions()?.iter().map(Subscription::unsettled).sum();
        last = report(client, group)?;
        let is_settled = open == 0 && last["state"] == "Stable" && last["lag"] == 0;
        Ok(is_settled.then_some(()))
    })?;
    settled.with_context(|| format!("the host does not come to rest: {last}"))?;
    Ok(last)
}

/// What Kafka's own tool says of a group.
pub(super) fn by_kafka(scene: &Scene) -> Result<Rows> {
    let group = scene.group();
    let said = scene.ground.cluster().describe_group(&group)?;
    let mut rows = BTreeMap::new();
    for line in said.lines() {
        let cells: Vec<&str> = line.split_whitespace().collect();
        if let [of, topic, partition, committed, end, lag, member, ..] = cells[..]
            && of == group
        {
            let partition = partition.parse().with_context(|| format!("read {line:?}"))?;
            let row = [committed, end, lag, member].map(str::to_owned);
            rows.insert((topic.to_owned(), partition), row);
        }
    }
    Ok(rows)
}

pub(super) fn start(home: &Home) -> Result<(Process, Client)> {
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    Ok((host, client))
}

/// Runs a command in a host's folder, without a terminal.
pub(super) fn gristmill(home: &Home, line: &str) -> Result<Ran> {
    let output = Command::new(binary("debug"))
        .args(line.split_whitespace())
        .current_dir(home.path())
        .env_remove("GRISTMILL_URL")
        .stdin(Stdio::null())
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
}

/// The rows of a report in the form of Kafka's tool.
pub(super) fn rows(report: &Value) -> Result<Rows> {
    let cell = |row: &Value, name: &str| {
        let text = row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
        if text == "null" { "-".to_owned() } else { text }
    };
    let rows = report["offsets"].as_array().context("offsets")?;
    rows.iter()
        .map(|row| {
            let partition = u32::try_from(row["partition"].as_u64().context("a partition")?)?;
            let cells = ["committed", "end", "lag", "member"].map(|name| cell(row, name));
            Ok(((cell(row, "topic"), partition), cells))
        })
        .collect()
}
