//! Talks with the cluster about itself: brokers, topics, offsets, groups. Every call blocks until
//! it is answered or its time is over; it reads and writes no records, and joins no group.

mod groups;
mod listener;
mod offsets;
mod topics;
mod wait;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext,
    admin::{AdminClient, AdminOptions},
    client::Client,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode as Code},
    metadata::Metadata,
};

use self::{groups::Bystanders, listener::Listener};
pub use self::{
    groups::{CommittedOffset, GroupDescription, MemberDescription},
    offsets::Sought,
    topics::{NewTopic, TopicDescription},
};
use crate::{
    context::{Context, Health, Statistics, Trouble},
    error::{About, Error, code_of},
    limits::Limits,
    properties::Settings,
};

/// How long a call waits where nothing else is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How long one try may take of what may be tried again.
const SLICE: Duration = Duration::from_secs(3);

/// Longest wait for what a topic is now.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// The least time a request gets that comes after another.
const LEAST: Duration = Duration::from_millis(100);

/// A cluster of brokers. Cheap to clone; its clients end with the last clone.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    timeout: Duration,
}

/// What a cluster says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The id that the cluster was given when it was made; `None` when brokers are too old to say.
    pub cluster_id: Option<String>,
    /// The brokers that are up, by id.
    pub brokers: Vec<Node>,
}

/// A broker as its cluster names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its `node.id`.
    pub id: i32,
    /// The `host:port` at which it wants to be called.
    pub address: String,
}

struct Inner {
    settings: Settings,
    health: Arc<Health>,
    statistics: Option<Statistics>,
    admin: AdminClient<Context>,
    /// Sees offsets as readers of committed records do; asks for topics and groups too.
    committed: Arc<BaseConsumer<Context>>,
    /// Sees the offsets of open transactions too.
    uncommitted: Arc<BaseConsumer<Context>>,
    bystanders: Arc<Bystanders>,
    limits: Limits,
    /// It has the clients it listens to as well, so they end with it.
    _listener: Listener,
}

impl Cluster {
    /// Makes the clients and waits for no broker: whether one answers, [`Cluster::probe`] says.
    ///
    /// # Errors
    ///
    /// As [`check`](crate::check) gives, which names a wrong property better.
    pub fn connect(settings: Settings) -> Result<Self, Error> {
        Self::connect_observed(settings, None)
    }

    /// The same, and sends the statistics of all its clients, and of those that are made from it,
    /// to `statistics`, every `statistics_interval` of the settings.
    ///
    /// # Errors
    ///
    /// As [`Cluster::connect`].
    pub fn connect_observed(
        settings: Settings,
        statistics: Option<Statistics>,
    ) -> Result<Self, Error> {
        let health = Health::new(settings.label.clone());
        let context = |client: &str| Context::new(client.to_owned(), &health, statistics.as_ref());
        let admin = client(&settings.admin(), context("admin"))?;
        let watcher = |isolation| -> Result<_, Error> {
            Ok(Arc::new(client(&settings.watcher(isolation), context("watcher"))?))
        };
        let committed = watcher("read_committed")?;
        let uncommitted = watcher("read_uncommitted")?;
        let bystanders = Arc::new(Bystanders::default());
        let watchers = [Arc::clone(&committed), Arc::clone(&uncommitted)];
        let listener = Listener::start(watchers, Arc::clone(&bystanders))?;
        let inner = Inner {
            settings,
            health,
            statistics,
            admin,
            committed,
            uncommitted,
            bystanders,
            limits: Limits::default(),
            _listener: listener,
        };
        Ok(Self { inner: Arc::new(inner), timeout: TIMEOUT_DEFAULT })
    }

    /// The same cluster, with `timeout` for every call; 10 s unless set.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self { inner: Arc::clone(&self.inner), timeout }
    }

    /// How it is reached.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Why brokers do not answer: what the last failed connection said, if none of any client of
    /// this cluster has answered since. Asks nobody.
    pub fn trouble(&self) -> Option<Trouble> {
        self.inner.health.trouble()
    }

    /// The most bytes that key, headers and payload of a record for `topic` may have together, as
    /// far as a refusal made it known in the last minute; what the protocol adds is not counted.
    /// `None` where records are compressed: what they will be is not known before. Asks nobody.
    pub fn record_limit(&self, topic: &str) -> Option<u64> {
        let limit = self.inner.limits.of(topic)?;
        (!self.inner.settings.compresses()).then_some(limit)
    }

    /// Whether this user may not write to `topic`, as far as a refusal made it known in the last
    /// ten seconds. Asks nobody.
    pub fn is_denied(&self, topic: &str) -> bool {
        self.inner.limits.is_denied(topic)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Asks for the cluster's id and the brokers that are up.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no broker answers in time, [`Error::Authentication`] when one
    /// refuses to.
    pub fn probe(&self) -> Result<Probe, Error> {
        let metadata = self.look(self.inner.committed.client(), self.timeout)?;
        // The library knows it from the same answer.
        let cluster_id = self.inner.committed.client().fetch_cluster_id(Duration::ZERO);
        let node = |broker: &rdkafka::metadata::MetadataBroker| Node {
            id: broker.id(),
            address: format!("{}:{}", broker.host(), broker.port()),
        };
        let mut brokers: Vec<Node> = metadata.brokers().iter().map(node).collect();
        brokers.sort_by_key(|broker| broker.id);
        Ok(Probe { cluster_id, brokers })
    }

    /// A context for another client of this cluster, called `client` in the log.
    pub(crate) fn context(&self, client: &str) -> Context {
        let statistics = self.inner.statistics.as_ref();
        Context::new(client.to_owned(), &self.inner.health, statistics)
    }

    pub(crate) fn health(&self) -> &Arc<Health> {
        &self.inner.health
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Notes whether brokers answer, and says what it means when they do not.
    fn answer<T>(
        &self,
        doing: impl Into<String>,
        asked: Result<T, KafkaError>,
        about: About<'_>,
    ) -> Result<T, Error> {
        match asked {
            Ok(answer) => {
                self.inner.health.answered();
                Ok(answer)
            }
            Err(error) => {
                let code = code_of(&error);
                Err(self.inner.health.explain(Error::of(doing, &error, about), code))
            }
        }
    }

    /// The same for requests that end in a code.
    pub(crate) fn refused(&self, doing: impl Into<String>, code: Code, about: About<'_>) -> Error {
        self.inner.health.explain(Error::of_code(doing, code, about), Some(code))
    }

    /// Asks what changes nothing, or the same twice, as often as helps. Each try gets a slice of
    /// the time: the library waits for the broker it thinks right, and only finds out that it is
    /// gone or that another took over when it is made to look.
    fn persistently<T>(
        &self,
        client: &Client<Context>,
        mut ask: impl FnMut(Duration) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut tried = false;
        wait::patiently(self.timeout, |left| {
            if tried {
                self.look(client, left)?;
            }
            tried = true;
            ask(left.min(SLICE)).inspect(|_| self.inner.health.answered())
        })
    }

    /// Makes a client look which brokers there are and which of them is the controller, by asking
    /// for one topic: that is asking for little.
    fn look(&self, client: &Client<Context>, timeout: Duration) -> Result<Metadata, Error> {
        let asked = client.fetch_metadata(Some(&self.inner.settings.own_topic), timeout);
        self.answer("ask for the brokers", asked, About::Cluster)
    }

    fn options(timeout: Duration) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
    }

    /// Options of a request that changes something and is sent once. Looks first.
    fn change_options(&self) -> Result<AdminOptions, Error> {
        let began = Instant::now();
        self.look(self.inner.admin.inner(), self.timeout)?;
        Ok(Self::options(self.timeout.saturating_sub(began.elapsed()).max(LEAST)))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("settings", &self.inner.settings)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Makes a client look at a topic, which the library does every five minutes: it may have grown
/// since. Whether it has, the next try shows.
pub(crate) fn look_at<C: ClientContext>(client: &Client<C>, topic: &str) {
    drop(client.fetch_metadata(Some(topic), LOOK_MAX));
}

/// Makes a client of any kind.
pub(crate) fn client<T, C>(config: &ClientConfig, context: C) -> Result<T, Error>
where
    C: ClientContext,
    T: FromClientConfigAndContext<C>,
{
    config
        .create_with_context(context)
        .map_err(|error| Error::of("create Kafka client", &error, About::Cluster))
}
