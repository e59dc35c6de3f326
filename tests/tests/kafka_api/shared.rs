//! Owns the broker that the tests share, and what they ask of it alike. Each test has topics and
//! groups of its own, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::Result;
use gristmill_engine::Millis;
use gristmill_kafka::{
    Cluster, NewTopic, SESSION_TIMEOUT_DEFAULT, Settings, TRANSACTION_TIMEOUT_DEFAULT,
};
use gristmill_tests::support::kafka;

/// What a condition may take to come true on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Held by each test that uses it, and ended with the last: a static would never be dropped, and
/// the broker would outlive the tests.
static SHARED: Mutex<Weak<kafka::Cluster>> = Mutex::new(Weak::new());

/// A broker, and a cluster handle on it.
pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) bootstrap: String,
    _broker: Arc<kafka::Cluster>,
}

/// The shared broker: started by whoever comes first.
pub(crate) fn shared() -> Result<Shared> {
    let mut known = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let broker = match known.upgrade() {
        Some(broker) => broker,
        None => Arc::new(kafka::Cluster::start(1)?),
    };
    *known = Arc::downgrade(&broker);
    drop(known);
    let bootstrap = broker.bootstrap();
    let cluster = Cluster::connect(settings(&bootstrap))?;
    Ok(Shared { cluster, bootstrap, _broker: broker })
}

/// Settings as a host has them.
pub(crate) fn settings(bootstrap: &str) -> Settings {
    Settings {
        brokers: vec![bootstrap.to_owned()],
        properties: BTreeMap::new(),
        client_id: "gristmill".to_owned(),
        own_topic: "__registry.gristmill".to_owned(),
        host_id: "host-1".to_owned(),
        session_timeout: SESSION_TIMEOUT_DEFAULT,
        transaction_timeout: TRANSACTION_TIMEOUT_DEFAULT,
        group_instance_id: None,
        statistics_interval: Millis(0),
        label: None,
    }
}

/// A topic to be made, with settings.
pub(crate) fn new_topic(name: &str, partitions: u32, configs: &[(&str, &str)]) -> NewTopic {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    NewTopic {
        name: name.into(),
        partitions,
        replication: None,
        configs: configs.iter().map(owned).collect(),
    }
}
