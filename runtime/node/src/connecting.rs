//! Brings a host together with its cluster: who it is there, what it may use, and waiting until
//! there is an answer. It decides nothing about events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use gristmill_config::{HostConfig, Kafka as KafkaConfig, Problem};
use gristmill_engine::transaction::Guarantee;
use gristmill_kafka::{Cluster, Committer, Hook, Settings, Statistics};
use gristmill_store::{Batch, Change, Store};
use tokio::sync::watch;

use crate::Error;
use crate::broker::{Kafka, registry_name};
use crate::shared::write_now;

/// Document with the name of this data directory among all hosts of one name.
const HOST_ID: &str = "host/id";
/// Document with the most workers this host ever had.
const WORKERS: &str = "host/workers";
/// Pause between two tries to reach the cluster.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for one answer while trying.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Who this host is in its cluster.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Name of the data directory: no two hosts that live have the same.
    host_id: String,
    prefix: String,
    guarantee: Guarantee,
}

impl Identity {
    /// Transactional id of a worker.
    fn transactional(&self, worker: u32) -> String {
        format!("{}.{}.{worker}", self.prefix, self.host_id)
    }
}

/// The cluster as configured, and who this host is there. Waits for no broker.
pub(crate) fn cluster(
    config: &HostConfig,
    kafka: &KafkaConfig,
    store: &Store,
    statistics: Statistics,
) -> Result<(Cluster, Identity), Error> {
    let host_id = host_id(store)?;
    let settings = Settings {
        group_instance_id: kafka.static_membership.then(|| host_id.clone()),
        ..settings(config, kafka, &host_id).map_err(Error::Secret)?
    };
    gristmill_kafka::check(&settings).map_err(Error::Kafka)?;
    let cluster = Cluster::connect_observed(settings, Some(statistics)).map_err(Error::Kafka)?;
    let guarantee = match kafka.guarantee {
        gristmill_config::Guarantee::ExactlyOnce => Guarantee::ExactlyOnce,
        gristmill_config::Guarantee::AtLeastOnce => Guarantee::AtLeastOnce,
    };
    Ok((cluster, Identity { host_id, prefix: kafka.transactional_id_prefix.clone(), guarantee }))
}

/// How the cluster is reached, with secrets read, by clients named after `host_id`.
pub(crate) fn settings(
    config: &HostConfig,
    kafka: &KafkaConfig,
    host_id: &str,
) -> Result<Settings, Problem> {
    let mut properties = BTreeMap::new();
    for (name, secret) in &kafka.properties {
        properties.insert(name.clone(), gristmill_config::read::secret(secret)?);
    }
    Ok(Settings {
        brokers: kafka.brokers.clone(),
        properties,
        client_id: config.name.clone(),
        own_topic: registry_name(&config.name),
        host_id: host_id.to_owned(),
        session_timeout: kafka.session_timeout,
        transaction_timeout: kafka.transaction_timeout,
        group_instance_id: None,
        statistics_interval: kafka.statistics_interval,
        label: None,
    })
}

/// The name of this data directory, made at its first start.
pub(crate) fn host_id(store: &Store) -> Result<String, Error> {
    if let Some(kept) = store.document(HOST_ID)? {
        return Ok(String::from_utf8_lossy(&kept).into_owned());
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    let id = id.get(..12).unwrap_or(&id).to_owned();
    write_document(store, HOST_ID, Bytes::from(id.clone()))?;
    Ok(id)
}

fn write_document(store: &Store, name: &str, value: Bytes) -> Result<(), Error> {
    let change = Change::Document { name: name.to_owned(), value: Some(value) };
    write_now(store, Batch { changes: vec![change], ..Batch::default() })?;
    Ok(())
}

/// Looks at the cluster for the first time, however long it takes to answer; waits on this thread.
/// `None` when the host stops before.
pub(crate) fn connect(
    config: &HostConfig,
    cluster: &Cluster,
    stopping: &watch::Receiver<bool>,
) -> Result<Option<Kafka>, Error> {
    let open = || Kafka::open(config, cluster.within(ANSWER_MAX)).map_err(Error::Kafka);
    patiently(stopping, open)
}

/// Tries until the cluster answers; waits on this thread. `None` when the host stops before.
pub(crate) fn patiently<T>(
    stopping: &watch::Receiver<bool>,
    mut attempt: impl FnMut() -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let mut told = Vec::new();
    while !*stopping.borrow() {
        match attempt() {
            Ok(done) => return Ok(Some(done)),
            Err(Error::Kafka(error)) if error.is_retriable() => {
                let code = error.code();
                if !told.contains(&code) {
                    tracing::warn!(
                        code,
                        error = crate::error::chain(&error),
                        "the cluster does not answer; trying again until it does"
                    );
                    told.push(code);
                }
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The producers of all workers. Those of workers that this host had once are initialised too:
/// what they left open would keep others from reading on.
pub(crate) fn committers(
    cluster: &Cluster,
    identity: &Identity,
    (store, hook): (&Store, &Hook),
    workers: u32,
) -> Result<Vec<Committer>, Error> {
    let start = |worker, guarantee| {
        let id = identity.transactional(worker);
        Committer::start(cluster, &id, guarantee, Arc::clone(hook)).map_err(Error::Kafka)
    };
    let before = store.document(WORKERS)?.and_then(|text| <[u8; 4]>::try_from(&text[..]).ok());
    let before = before.map_or(0, u32::from_be_bytes);
    for former in workers..before {
        drop(start(former, Guarantee::ExactlyOnce)?);
    }
    let most = Bytes::copy_from_slice(&workers.max(before).to_be_bytes());
    write_document(store, WORKERS, most)?;
    (0..workers).map(|worker| start(worker, identity.guarantee)).collect()
}

#[cfg(test)]
mod tests {
    use gristmill_kafka::Error as KafkaError;

    use super::*;

    fn away() -> Error {
        Error::Kafka(KafkaError::Full { doing: "look".to_owned() })
    }

    #[test]
    fn a_cluster_that_is_away_is_asked_again_until_it_answers() {
        let (_stop, stopping) = watch::channel(false);
        let mut answers = vec![Ok(7), Err(away()), Err(away())];
        let done = patiently(&stopping, || answers.pop().unwrap());
        assert_eq!(done.unwrap(), Some(7));
        let broken = || Err::<(), _>(Error::broken("for good"));
        assert!(patiently(&stopping, broken).is_err(), "what does not pass is not tried again");
    }

    #[test]
    fn a_host_that_stops_asks_no_more() {
        let (stop, stopping) = watch::channel(false);
        let done = patiently(&stopping, || {
            stop.send(true).unwrap();
            Err::<(), _>(away())
        });
        assert_eq!(done.unwrap(), None);
    }
}
