//! Owns the broker of a run and the topics on it. It creates, finds and deletes; what is in a
//! topic is not its concern.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::work;
use crate::support::kafka::Cluster;
use crate::support::random::Random;

/// An operation that takes longer will not end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A broker, and this run's names on it.
pub struct Field {
    brokers: String,
    run: String,
    next: AtomicU32,
    admin: AdminClient<DefaultClientContext>,
    /// The broker started for this run; none where it was there before.
    cluster: Option<Cluster>,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Field").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl Field {
    /// The brokers given, or one that is started here and ends with this. Every request to that
    /// one takes `delay` longer.
    ///
    /// # Errors
    ///
    /// When a broker does not start.
    pub fn open(brokers: Option<&str>, delay: Duration) -> Result<Self> {
        let cluster = if brokers.is_none() { Some(Cluster::steady(delay)?) } else { None };
        let started = cluster.as_ref().map(Cluster::bootstrap);
        let brokers =
            started.or_else(|| brokers.map(str::to_owned)).context("there are brokers")?;
        let admin = ClientConfig::new().set("bootstrap.servers", &brokers).create()?;
        let run = format!("bench-{:06x}", Random::seed() & 0x00ff_ffff);
        Ok(Self { brokers, run, next: AtomicU32::new(0), admin, cluster })
    }

    /// `bootstrap.servers` of every client.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Process of the broker, where it was started here.
    pub fn process(&self) -> Option<u32> {
        self.cluster.as_ref().and_then(|cluster| cluster.processes().next())
    }

    /// A name that nothing on the brokers has.
    pub fn name(&self) -> String {
        format!("{}-{}", self.run, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Creates the two source topics of `name`, and returns what they are called.
    ///
    /// # Errors
    ///
    /// When the brokers refuse.
    pub fn create_sources(&self, name: &str) -> Result<Vec<String>> {
        let topics = work::TOPICS.map(|topic| format!("{name}-{topic}")).to_vec();
        for topic in &topics {
            self.create(topic, work::PARTITIONS)?;
        }
        Ok(topics)
    }

    /// Creates a topic. The broker stamps its records when it appends them.
    ///
    /// # Errors
    ///
    /// When the brokers refuse.
    pub fn create(&self, topic: &str, partitions: i32) -> Result<()> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let results = block_on(self.admin.create_topics([&new], &options))?;
        results.into_iter().try_for_each(|result| {
            let refused = |(topic, code)| anyhow!("create topic {topic}: {code}");
            result.map(drop).map_err(refused)
        })
    }

    /// Deletes every topic whose name begins with `name`, also those that a runner made.
    ///
    /// # Errors
    ///
    /// When the brokers do not answer.
    pub fn clear(&self, name: &str) -> Result<()> {
        let all = self.admin.inner().fetch_metadata(None, PATIENCE)?;
        // Those of a host begin with what they are for.
        let marks = [format!("{name}-"), format!(".{name}."), format!(".{name}")];
        let [own, inner, last] = &marks;
        let is_its = |topic: &&str| {
            let is_internal = topic.starts_with("__") && !topic.starts_with("__consumer");
            topic.starts_with(own)
                || is_internal && (topic.contains(inner) || topic.ends_with(last))
        };
        let names = all.topics().iter().map(rdkafka::metadata::MetadataTopic::name);
        let doomed: Vec<_> = names.filter(is_its).collect();
        if !doomed.is_empty() {
            let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
            block_on(self.admin.delete_topics(&doomed, &options))?;
        }
        Ok(())
    }
}

/// Waits for what an administrative call promises. The client completes it from its own thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), TaskContext::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
