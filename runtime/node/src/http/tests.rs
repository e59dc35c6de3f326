//! Tests of the HTTP surface: a real router over a real store in a temporary folder.

mod access;
mod events;
mod operators;
mod server;
mod sockets;
mod streams;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use gristmill_engine::Bytes as Size;
use gristmill_engine::{Offset, PartitionId};
use gristmill_plugin_host::{Runtime, RuntimeSettings};
use gristmill_store::{ReadLimit, Store, Stored};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use super::{Api, router};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::host::Host;
use crate::metrics::Metrics;
use crate::plugins::{Ledgers, Supervisor};
use crate::schemas::Schemas;
use crate::shared::{Parts, share};
use crate::telemetry::Telemetry;
use crate::topics;

/// Topics every test has.
const TOPICS: &str = r#"
[topics.orders]
partitions = 4
[topics.seats]
partitions = 3
key = "/seatId"
[topics.small]
partitions = 1
max_event_bytes = "1KiB"
"#;

/// A host without workers, and its router.
pub(super) struct World {
    pub(super) router: Router,
    pub(super) host: Host,
    pub(super) stop: watch::Sender<bool>,
    _home: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// Status and error code, such as `404 E0414`.
    pub(super) fn failure(&self) -> String {
        let code = self.json()["error"]["code"].as_str().unwrap_or("no code").to_owned();
        format!("{} {code}", self.status.as_u16())
    }

    pub(super) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }
}

impl World {
    pub(super) fn new(config: &str) -> Self {
        Self::with_reserve(config, None)
    }

    pub(super) fn with_reserve(config: &str, reserve: Option<Size>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let text = format!("{config}\n{TOPICS}");
        let source = gristmill_config::Source { name: "gristmill.toml", text: &text };
        let config = gristmill_config::host(&source, &|_| None).unwrap();
        let mut settings = gristmill_store::Settings::new(home.path().join("store"));
        settings.reserve = reserve;
        let store = Store::open(settings).unwrap();
        let runtime = RuntimeSettings { instances_max: 1, ..RuntimeSettings::default() };
        let plugins = Runtime::new(runtime).unwrap();
        let (clock, metrics) = (Clock::default(), Metrics::new());
        let broker = Broker::Embedded(store.clone());
        let telemetry = Telemetry::start(&config, &metrics).unwrap();
        let encryption = crate::encryption::load(&config).unwrap();
        let parts = Parts {
            config,
            store,
            broker,
            schemas: Schemas::default(),
            encryption,
            plugins,
            clock,
            metrics,
            telemetry,
        };
        let shared = share(parts).unwrap();
        topics::declare(&shared).unwrap();
        let (inbox, received) = mpsc::unbounded_channel();
        let ledgers = Ledgers::new(home.path().join("versions"), shared.store.clone());
        let channel = (inbox.clone(), received);
        let supervisor = Supervisor::new(Arc::clone(&shared), Vec::new(), ledgers, channel);
        // As the host does: it waits for the store now and then.
        let handle = tokio::runtime::Handle::current();
        std::thread::spawn(move || handle.block_on(supervisor.run()));
        let (stop, stopping) = watch::channel(false);
        let host = Host::new(shared, inbox, (Vec::new(), None, Arc::default()), &stopping);
        let router = router(Api::new(host.clone(), stopping));
        Self { router, host, stop, _home: home }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, &[], "")).await
    }

    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send(request("POST", path, headers, body)).await
    }

    /// Every record of a topic, by partition and offset.
    pub(super) fn records(&self, topic: &str) -> Vec<(u32, Stored)> {
        let store = self.host.store();
        let topic = store.topic(topic).unwrap();
        let limit = ReadLimit { events: 10_000, bytes: Size::mib(64) };
        let read = |partition: u32| {
            let records = store.read(topic.id, PartitionId(partition), Offset(0), limit).unwrap();
            records.into_iter().map(move |stored| (partition, stored))
        };
        (0..topic.partitions).flat_map(read).collect()
    }
}

pub(super) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned()));
    for (name, value) in headers {
        let name = axum::http::HeaderName::try_from(*name).unwrap();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.as_mut().unwrap().headers_mut().append(name, value);
    }
    request.unwrap()
}
