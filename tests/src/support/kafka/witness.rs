//! Writes to a cluster and asks it what it holds, through Kafka's own client in a process of its
//! own: what it says, no code of the host has touched. It judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Cluster, libs};
use crate::support::client::Stored;
use crate::support::component;

/// Ten times as often as by default, the broker of frozen hosts looks for transactions that have
/// timed out.
const ABORTS: (&str, &str) =
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000");
/// Time between two looks at a condition. Each costs the broker a few requests.
const LOOK: Duration = Duration::from_millis(50);
/// A transaction that is open for longer than this is not going to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A broker for tests that do not disturb it, and what is asked about it. Tests that run at the
/// same time share one; it ends with the last of them.
#[derive(Debug)]
pub struct Ground {
    cluster: Cluster,
    witness: Mutex<Witness>,
}

#[derive(Debug)]
struct Witness {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A record to be written.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its key.
    pub key: String,
    /// Its payload.
    pub payload: String,
    /// Where it goes; where the client's default partitioner says, if it is not said.
    pub partition: Option<u32>,
}

/// What there is to know of a consumer group.
#[derive(Debug, Clone, Deserialize)]
pub struct GroupView {
    /// Its members.
    pub members: Vec<Member>,
    /// What it has committed.
    pub offsets: Vec<Committed>,
}

/// A member of a group.
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    /// Its id, another one each time it joins.
    pub id: String,
    /// Partition numbers it holds.
    pub numbers: BTreeSet<u32>,
}

/// What a group has committed of one partition.
#[derive(Debug, Clone, Deserialize)]
pub struct Committed {
    /// The topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: u32,
    /// Committed offset.
    pub committed: u64,
}

impl Ground {
    /// The broker that tests share, started if none of them runs.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Ground>> = Mutex::new(Weak::new());
        Self::share(&SHARED, &[])
    }

    /// The same for hosts that are disturbed themselves, with topics that others have as well.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn of_faults() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Ground>> = Mutex::new(Weak::new());
        Self::share(&SHARED, &[ABORTS])
    }

    fn share(among: &Mutex<Weak<Self>>, settings: &[(&str, &str)]) -> Result<Arc<Self>> {
        let mut shared = among.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ground) = shared.upgrade() {
            return Ok(ground);
        }
        let ground = Arc::new(Self::of(Cluster::start_with(1, settings)?)?);
        *shared = Arc::downgrade(&ground);
        Ok(ground)
    }

    /// A broker of one's own.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start() -> Result<Self> {
        Self::of(Cluster::start(1)?)
    }

    /// A broker that was started otherwise.
    ///
    /// # Errors
    ///
    /// When nobody can be asked about it.
    pub fn of(cluster: Cluster) -> Result<Self> {
        let witness = Mutex::new(Witness::start(&cluster.bootstrap())?);
        Ok(Self { cluster, witness })
    }

    /// Ends the broker and leaves its folder where it is.
    pub fn keep(self) -> PathBuf {
        self.cluster.keep()
    }

    /// The broker.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The broker, to be killed and started again.
    pub fn cluster_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// Writes records in their order and returns when all are acknowledged, with the partition
    /// each went to.
    ///
    /// # Errors
    ///
    /// When one is not.
    pub fn write(&self, topic: &str, records: &[Written]) -> Result<Vec<u32>> {
        let record =
            |it: &Written| json!({"key": it.key, "payload": it.payload, "partition": it.partition});
        let records: Vec<Value> = records.iter().map(record).collect();
        let mut answer = self.ask(&json!({"ask": "write", "topic": topic, "records": records}))?;
        Ok(serde_json::from_value(answer["partitions"].take())?)
    }

    /// All records of topics that a reader of committed ones gets: by topic a list per partition,
    /// by offset. Waits for the end of open transactions.
    ///
    /// # Errors
    ///
    /// When there is no such topic, or a transaction stays open.
    pub fn read(&self, topics: &[impl AsRef<str>]) -> Result<BTreeMap<String, Vec<Vec<Stored>>>> {
        let topics: Vec<&str> = topics.iter().map(AsRef::as_ref).collect();
        let mut read = None;
        let is_decided = self.until(PATIENCE, |ground| {
            let mut answer = ground.ask(&json!({"ask": "read", "topics": topics}))?;
            read = Some(serde_json::from_value(answer["topics"].take())?);
            Ok((answer["undecided"] == false).then_some(()))
        })?;
        is_decided.with_context(|| format!("a transaction over {topics:?} stays open"))?;
        read.context("nothing was read")
    }

    /// Makes a topic, unless it is there.
    ///
    /// # Errors
    ///
    /// When the cluster refuses.
    pub fn make(&self, topic: &str, partitions: u32) -> Result<()> {
        self.ask(&json!({"ask": "make", "topic": topic, "partitions": partitions})).map(drop)
    }

    /// Names of all topics but Kafka's own.
    ///
    /// # Errors
    ///
    /// When the cluster does not answer.
    pub fn topics(&self) -> Result<BTreeSet<String>> {
        let mut answer = self.ask(&json!({"ask": "topics"}))?;
        Ok(serde_json::from_value(answer["topics"].take())?)
    }

    /// What there is to know of a group; nothing of one that is not there.
    ///
    /// # Errors
    ///
    /// When the cluster does not answer.
    pub fn group(&self, name: &str) -> Result<GroupView> {
        Ok(serde_json::from_value(self.ask(&json!({"ask": "group", "group": name}))?)?)
    }

    /// Transactional ids that begin with `prefix` and have a transaction that is not ended.
    ///
    /// # Errors
    ///
    /// When the cluster does not answer.
    pub fn open_transactions(&self, prefix: &str) -> Result<BTreeSet<String>> {
        let mut answer = self.ask(&json!({"ask": "transactions", "prefix": prefix}))?;
        Ok(serde_json::from_value(answer["open"].take())?)
    }

    /// Waits until `look` sees something; `None` when it saw nothing `within` the time.
    ///
    /// # Errors
    ///
    /// The first of `look`.
    pub fn until<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let began = Instant::now();
        loop {
            if let Some(seen) = look(self)? {
                return Ok(Some(seen));
            }
            if began.elapsed() > within {
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }

    pub(super) fn ask(&self, question: &Value) -> Result<Value> {
        self.lock().ask(question).with_context(|| format!("ask for {}", question["ask"]))
    }

    fn lock(&self) -> MutexGuard<'_, Witness> {
        // A question that was not answered has ended its test; another would read its answer.
        self.witness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness {
    fn start(servers: &str) -> Result<Self> {
        let mut process = Command::new("java")
            .args(["-Xmx4g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-Dorg.apache.logging.log4j.level=OFF", "-cp"])
            .arg(libs()?.join("*"))
            .arg(component::root().join("tests/kafka/Witness.java"))
            .arg(servers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start java")?;
        let questions = process.stdin.take().context("the witness hears nothing")?;
        let answers = process.stdout.take().context("the witness says nothing")?;
        Ok(Self { process, questions, answers: BufReader::new(answers) })
    }

    fn ask(&mut self, question: &Value) -> Result<Value> {
        writeln!(self.questions, "{question}")?;
        self.questions.flush()?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the witness has ended: {:?}", self.process.try_wait()?);
        }
        let answer: Value = serde_json::from_str(&line)?;
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer),
        }
    }
}
