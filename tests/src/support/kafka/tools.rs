//! Runs Kafka's own command-line tools: what a test sees through them, no code of ours has touched.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Cluster, libs};

/// Runs a tool's class and returns what it prints.
///
/// # Errors
///
/// When it does not end well, with what it said.
pub(super) fn run(class: &str, arguments: &[&str]) -> Result<String> {
    said(class, arguments).map(|(said, _)| said)
}

/// What a tool prints, and what it complains of.
fn said(class: &str, arguments: &[&str]) -> Result<(String, String)> {
    let output = Command::new("java")
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(libs()?.join("*"))
        .arg(class)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("start java")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("{class} {arguments:?} ended with {}:\n{said}{complaints}", output.status);
    }
    Ok((said, complaints))
}

impl Cluster {
    /// Creates a topic, with `settings` such as `cleanup.policy=compact`.
    ///
    /// # Errors
    ///
    /// When the cluster refuses.
    pub fn create_topic(&self, name: &str, partitions: u32, settings: &[&str]) -> Result<()> {
        let (bootstrap, partitions) = (self.bootstrap(), partitions.to_string());
        let mut arguments = vec!["--bootstrap-server", &bootstrap, "--create", "--topic", name];
        arguments.extend(["--partitions", &partitions]);
        for setting in settings {
            arguments.extend(["--config", setting]);
        }
        run("org.apache.kafka.tools.TopicCommand", &arguments).map(drop)
    }

    /// What the cluster says of a topic: a line for it and one per partition.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn describe_topic(&self, name: &str) -> Result<String> {
        let bootstrap = self.bootstrap();
        let arguments = ["--bootstrap-server", &bootstrap, "--describe", "--topic", name];
        run("org.apache.kafka.tools.TopicCommand", &arguments)
    }

    /// Writes `count` records of `size` bytes without keys, every one acknowledged by all replicas
    /// in sync.
    ///
    /// # Errors
    ///
    /// When they are not written.
    pub fn write(&self, topic: &str, count: u64, size: u64) -> Result<()> {
        let (count, size) = (count.to_string(), size.to_string());
        let servers = format!("bootstrap.servers={}", self.bootstrap());
        let mut arguments = vec!["--topic", topic, "--num-records", &count, "--record-size", &size];
        arguments.extend(["--throughput", "-1", "--producer-props", &servers, "acks=all"]);
        let class = "org.apache.kafka.tools.ProducerPerformance";
        let (said, complaints) = said(class, &arguments)?;
        // Refused records do not keep the tool from ending well.
        if complaints.contains("Exception") {
            bail!("write {count} records to {topic}:\n{said}{complaints}");
        }
        Ok(())
    }

    /// What the cluster says of a group: a line per partition it has committed offsets of.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn describe_group(&self, name: &str) -> Result<String> {
        let bootstrap = self.bootstrap();
        let arguments = ["--bootstrap-server", &bootstrap, "--describe", "--group", name];
        run("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &arguments)
    }

    /// Records of a topic over all partitions: the sum of their end offsets.
    ///
    /// # Errors
    ///
    /// When the tool does not answer as expected.
    pub fn count(&self, topic: &str) -> Result<u64> {
        let bootstrap = self.bootstrap();
        let arguments = ["--bootstrap-server", &bootstrap, "--topic", topic];
        let ends = run("org.apache.kafka.tools.GetOffsetShell", &arguments)?;
        let end = |line: &str| -> Result<u64> {
            let offset = line.rsplit(':').next().and_then(|it| it.trim().parse().ok());
            offset.with_context(|| format!("an end offset in {line:?}"))
        };
        ends.lines().map(end).sum()
    }
}
