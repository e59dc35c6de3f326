//! Writes and reads whole records through Kafka's own clients, keys and headers included. What it
//! reads is what a reader of committed records sees; it judges nothing.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use super::{Cluster, libs};
use crate::support::client::{Header, Stored};
use crate::support::component;

/// Between a record's fields, between its headers, after a record: in no record of a test.
const FIELD: char = '\u{1}';
const HEADER: char = '\u{2}';
const RECORD: char = '\u{3}';
/// A null, where a record is told to be written.
const NULL: &str = "\u{4}";

/// A record as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Headers, in order, without colons in their names.
    pub headers: Vec<(String, String)>,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// What it says, without a line end; `None` is a tombstone.
    pub value: Option<String>,
}

impl Written {
    fn line(&self) -> String {
        let Self { topic, partition, timestamp_ms, headers, key, value } = self;
        let headers: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let headers = headers.join(&HEADER.to_string());
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| NULL.to_owned());
        let (key, value) = (text(key), text(value));
        let start = format!("{topic}{FIELD}{partition}{FIELD}{timestamp_ms}{FIELD}{headers}");
        format!("{start}{FIELD}{key}{FIELD}{value}")
    }
}

/// A producer of whole records, which goes on until it is finished. Killed when dropped.
#[derive(Debug)]
pub struct Writer {
    child: Child,
    input: Option<ChildStdin>,
}

impl Writer {
    /// Hands over records; they are written soon after, those of a partition in this order.
    ///
    /// # Errors
    ///
    /// When the tool has ended.
    pub fn write<'a>(&mut self, records: impl IntoIterator<Item = &'a Written>) -> Result<()> {
        let input = self.input.as_mut().context("the writer is finished")?;
        for record in records {
            writeln!(input, "{}", record.line()).context("hand a record over")?;
        }
        Ok(input.flush()?)
    }

    /// Waits until everything is acknowledged.
    ///
    /// # Errors
    ///
    /// When something was not.
    pub fn finish(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { bail!("the writer ended with {status}") }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A console producer of one topic that goes on until it is finished. Nothing it took is given
/// up, however long brokers are away. Killed when dropped.
#[derive(Debug)]
pub struct Producer {
    child: Child,
    input: Option<ChildStdin>,
}

impl Producer {
    /// Hands over one record; it is written soon after.
    ///
    /// # Errors
    ///
    /// When the tool has ended.
    pub fn send(&mut self, key: &str, value: &str) -> Result<()> {
        let input = self.input.as_mut().context("the producer is finished")?;
        writeln!(input, "{key}{FIELD}{value}").context("hand a record to the console producer")?;
        Ok(input.flush()?)
    }

    /// Waits until everything is acknowledged.
    ///
    /// # Errors
    ///
    /// When something was not.
    pub fn finish(&mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { bail!("the console producer ended with {status}") }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Cluster {
    /// Starts a console producer of keyed records.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn producer(&self, topic: &str) -> Result<Producer> {
        let (servers, separator) = (self.bootstrap(), format!("key.separator={FIELD}"));
        let mut arguments = vec!["--bootstrap-server", &servers, "--topic", topic];
        // Without bound, where the tool itself gives up after three times and a second and a half.
        arguments.extend(["--message-send-max-retries", "2147483647", "--timeout", "5"]);
        arguments.extend(["--request-timeout-ms", "10000"]);
        arguments.extend(["--producer-property", "delivery.timeout.ms=300000"]);
        arguments.extend(["--property", "parse.key=true", "--property", &separator]);
        let mut command = java("org.apache.kafka.tools.ConsoleProducer", &arguments)?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = child.spawn().context("start java")?;
        let input = child.stdin.take();
        Ok(Producer { child, input })
    }

    /// Starts a producer of whole records.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn writer(&self) -> Result<Writer> {
        let program = component::root().join("tests/kafka/Write.java").display().to_string();
        let mut command = java(&program, &[&self.bootstrap()])?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = child.spawn().context("start java")?;
        let input = child.stdin.take();
        Ok(Writer { child, input })
    }

    /// Writes keyed records, in their order, all acknowledged when it returns.
    ///
    /// # Errors
    ///
    /// When they are not written.
    pub fn produce<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<()> {
        let mut producer = self.producer(topic)?;
        for (key, value) in records {
            producer.send(key, &value)?;
        }
        producer.finish()
    }

    /// Committed records of each topic whose name is `pattern`, a regular expression: a list per
    /// partition, by offset, up to where they ended at some time during the call.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or not be understood.
    pub fn records(&self, pattern: &str) -> Result<BTreeMap<String, Vec<Vec<Stored>>>> {
        let program = component::root().join("tests/kafka/Read.java").display().to_string();
        let mut command = java(&program, &[&self.bootstrap(), pattern])?;
        let output = command.stdin(Stdio::null()).output().context("start java")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let (records, count) = said.rsplit_once(RECORD).unwrap_or(("", &said));
        if !output.status.success() {
            let complaints = String::from_utf8_lossy(&output.stderr);
            bail!("read {pattern}: {}:\n{complaints}", output.status);
        }
        let mut topics = BTreeMap::<String, Vec<Vec<Stored>>>::new();
        let mut read = 0_u64;
        for line in records.split(RECORD).filter(|line| !line.is_empty()) {
            let found = record(line).with_context(|| format!("understand record {line:?}"))?;
            let (topic, record) = found;
            let partition = usize::try_from(record.partition)?;
            let partitions = topics.entry(topic).or_default();
            if partitions.len() <= partition {
                partitions.resize_with(partition + 1, Vec::new);
            }
            partitions[partition].push(record);
            read += 1;
        }
        ensure!(count == read.to_string(), "read {pattern}: {read} records of {count}");
        Ok(topics)
    }

    /// Committed records of one topic.
    ///
    /// # Errors
    ///
    /// As [`Cluster::records`].
    pub fn topic(&self, name: &str) -> Result<Vec<Vec<Stored>>> {
        let mut topics = self.records(&name.replace('.', "[.]"))?;
        Ok(topics.remove(name).unwrap_or_default())
    }
}

/// A tool of Kafka's that logs nothing where it prints.
pub(super) fn java(class: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new("java");
    command
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(["-Dorg.apache.logging.log4j.level=OFF", "-cp"])
        .arg(libs()?.join("*"))
        .arg(class)
        .args(arguments);
    Ok(command)
}

/// Topic, partition, offset, timestamp, headers, key and value.
fn record(line: &str) -> Result<(String, Stored)> {
    let mut fields = line.splitn(7, FIELD);
    let mut field = || fields.next().ok_or_else(|| anyhow!("a field is missing"));
    let topic = field()?.to_owned();
    let (partition, offset) = (field()?.parse()?, field()?.parse()?);
    let timestamp_ms = field()?.parse()?;
    let headers = field()?.split(HEADER).filter_map(|header| header.split_once(':'));
    let header = |(name, value): (&str, &str)| Header { name: name.into(), value: value.into() };
    let headers = headers.map(header).collect();
    let key = Some(field()?).filter(|key| *key != "null").map(str::to_owned);
    let value = field()?;
    let payload = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
    let payload_base64 = None;
    Ok((topic, Stored { partition, offset, timestamp_ms, key, headers, payload, payload_base64 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_record_is_read() -> Result<()> {
        let (topic, read) = record("t\u{1}2\u{1}7\u{1}5\u{1}a:b:c\u{2}d:\u{1}k\u{1}{\"x\":1}")?;
        assert_eq!((&*topic, read.timestamp_ms, read.partition, read.offset), ("t", 5, 2, 7));
        assert_eq!((read.header("a"), read.header("d")), (Some("b:c"), Some("")));
        assert_eq!((read.key.as_deref(), &read.payload["x"]), (Some("k"), &1.into()));
        let (_, bare) = record("t\u{1}2\u{1}7\u{1}5\u{1}\u{1}null\u{1}z")?;
        assert_eq!((bare.key, bare.headers.len(), bare.payload), (None, 0, "z".into()));
        Ok(())
    }
}
