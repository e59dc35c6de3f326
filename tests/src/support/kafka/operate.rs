//! Asks and changes a cluster by Kafka's own tools, as its operator would: groups, transactions,
//! topics.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::{Cluster, tools};

const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

/// What a group has committed of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// Committed offset, where there is one.
    pub committed: Option<u64>,
    /// Where the partition ends.
    pub end: u64,
}

impl Lag {
    /// Offsets that are not committed.
    pub fn events(&self) -> u64 {
        self.end.saturating_sub(self.committed.unwrap_or(0))
    }
}

impl Cluster {
    /// What groups have committed, by group, topic and partition. A group that is not there, or
    /// has committed nothing, has no lines.
    ///
    /// # Errors
    ///
    /// When the tool does not answer.
    pub fn lags(&self, groups: &[&str]) -> Result<BTreeMap<(String, String, u32), Lag>> {
        let servers = self.bootstrap();
        let mut arguments = vec!["--bootstrap-server", &servers, "--describe"];
        for group in groups {
            arguments.extend(["--group", group]);
        }
        let said = match tools::run(GROUPS, &arguments) {
            Ok(said) => said,
            Err(error) if error.to_string().contains("does not exist") => {
                return Ok(BTreeMap::new());
            }
            Err(error) => return Err(error),
        };
        let mut lags = BTreeMap::new();
        for line in said.lines() {
            // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID
            let words: Vec<&str> = line.split_whitespace().collect();
            let [group, topic, partition, committed, end, ..] = words[..] else { continue };
            let (Ok(partition), Ok(end)) = (partition.parse(), end.parse()) else { continue };
            let lag = Lag { committed: committed.parse().ok(), end };
            lags.insert((group.to_owned(), topic.to_owned(), partition), lag);
        }
        Ok(lags)
    }

    /// The broker that coordinates a group, by its `node.id`.
    ///
    /// # Errors
    ///
    /// When the tool does not answer, or there is none.
    pub fn coordinator(&self, group: &str) -> Result<u32> {
        let servers = self.bootstrap();
        let arguments = ["--bootstrap-server", &servers, "--describe", "--state", "--group", group];
        let said = tools::run(GROUPS, &arguments)?;
        // GROUP COORDINATOR (ID) ASSIGNMENT-STRATEGY STATE #MEMBERS
        let line = said.lines().find(|line| line.starts_with(group));
        let id = line.and_then(|line| line.split(['(', ')']).nth(1)?.parse().ok());
        id.with_context(|| format!("a coordinator in {said:?}"))
    }

    /// Has a group begin at the start of `topic` again.
    ///
    /// # Errors
    ///
    /// When the tool refuses, as it does while the group has members.
    pub fn reset_to_earliest(&self, group: &str, topic: &str) -> Result<String> {
        let servers = self.bootstrap();
        let mut arguments = vec!["--bootstrap-server", &servers, "--group", group];
        arguments.extend(["--topic", topic, "--reset-offsets", "--to-earliest", "--execute"]);
        tools::run(GROUPS, &arguments)
    }

    /// State of each transactional id that begins with `prefix`.
    ///
    /// # Errors
    ///
    /// When the tool does not answer.
    pub fn transactions(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        let class = "org.apache.kafka.tools.TransactionsCommand";
        let said = tools::run(class, &["--bootstrap-server", &self.bootstrap(), "list"])?;
        let mut states = BTreeMap::new();
        for line in said.lines().filter(|line| line.starts_with(prefix)) {
            let mut words = line.split_whitespace();
            let id = words.next().context("a transactional id")?;
            let state = words.next_back().context("the state of a transaction")?;
            states.insert(id.to_owned(), state.to_owned());
        }
        Ok(states)
    }

    /// Deletes a topic.
    ///
    /// # Errors
    ///
    /// When the cluster refuses.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let servers = self.bootstrap();
        tools::run(TOPICS, &["--bootstrap-server", &servers, "--delete", "--topic", name]).map(drop)
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    ///
    /// When the cluster refuses.
    pub fn grow_topic(&self, name: &str, partitions: u32) -> Result<()> {
        let (servers, partitions) = (self.bootstrap(), partitions.to_string());
        let mut arguments = vec!["--bootstrap-server", &servers, "--alter", "--topic", name];
        arguments.extend(["--partitions", &partitions]);
        tools::run(TOPICS, &arguments).map(drop)
    }

    /// Removes the records of a partition that lie before an offset, as retention would.
    ///
    /// # Errors
    ///
    /// When the cluster refuses.
    pub fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<()> {
        let wanted = serde_json::json!({
            "version": 1,
            "partitions": [{ "topic": topic, "partition": partition, "offset": before }],
        });
        let file = self.folder().join(format!("trim-{topic}-{partition}.json"));
        std::fs::write(&file, wanted.to_string())?;
        let (servers, file) = (self.bootstrap(), file.display().to_string());
        let arguments = ["--bootstrap-server", &servers, "--offset-json-file", &file];
        tools::run("org.apache.kafka.tools.DeleteRecordsCommand", &arguments).map(drop)
    }

    /// Changes a setting of a topic, such as `max.message.bytes=2000`.
    ///
    /// # Errors
    ///
    /// When the cluster refuses.
    pub fn set_topic(&self, name: &str, setting: &str) -> Result<()> {
        let servers = self.bootstrap();
        let mut arguments = vec!["--bootstrap-server", &servers, "--alter"];
        arguments.extend(["--entity-type", "topics", "--entity-name", name]);
        arguments.extend(["--add-config", setting]);
        tools::run(CONFIGS, &arguments).map(drop)
    }

    /// Lets clients of each `client.id` read so many bytes per second from now on, and as many as
    /// they like for `None`.
    ///
    /// # Errors
    ///
    /// When the cluster refuses.
    pub fn limit_reads(&self, bytes: Option<u32>) -> Result<()> {
        let servers = self.bootstrap();
        let mut arguments = vec!["--bootstrap-server", &servers, "--alter"];
        arguments.extend(["--entity-type", "clients", "--entity-default"]);
        let quota = bytes.map(|bytes| format!("consumer_byte_rate={bytes}"));
        arguments.extend(match &quota {
            Some(quota) => ["--add-config", quota],
            None => ["--delete-config", "consumer_byte_rate"],
        });
        tools::run(CONFIGS, &arguments).map(drop)
    }

    /// The end offset of every partition of topics whose name is `pattern`, those that only ends
    /// of transactions are in included.
    ///
    /// # Errors
    ///
    /// When the tool does not answer as expected.
    pub fn ends(&self, pattern: &str) -> Result<BTreeMap<(String, u32), u64>> {
        self.offsets(pattern, "latest")
    }

    /// The first offset of every partition of topics whose name is `pattern`.
    ///
    /// # Errors
    ///
    /// When the tool does not answer as expected.
    pub fn starts(&self, pattern: &str) -> Result<BTreeMap<(String, u32), u64>> {
        self.offsets(pattern, "earliest")
    }

    fn offsets(&self, pattern: &str, time: &str) -> Result<BTreeMap<(String, u32), u64>> {
        let servers = self.bootstrap();
        let arguments = ["--bootstrap-server", &servers, "--topic", pattern, "--time", time];
        let said = tools::run("org.apache.kafka.tools.GetOffsetShell", &arguments)?;
        let end = |line: &str| -> Option<((String, u32), u64)> {
            let mut words = line.rsplitn(3, ':');
            let (end, partition, topic) = (words.next()?, words.next()?, words.next()?);
            Some(((topic.to_owned(), partition.parse().ok()?), end.trim().parse().ok()?))
        };
        said.lines().map(|line| end(line).with_context(|| format!("an end in {line:?}"))).collect()
    }
}
