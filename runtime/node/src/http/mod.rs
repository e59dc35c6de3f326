//! Serves the HTTP surface: takes events in, streams them out, answers operators. It asks the host
//! for everything it tells and does, and holds no state but its open streams.

mod access;
mod commands;
mod error;
mod event_json;
mod groups;
mod guard;
mod health;
mod incoming;
mod ingest;
mod letters;
mod openapi;
mod operate;
mod outbox;
mod query;
mod rebuild;
mod replay;
mod replication;
mod server;
mod snapshots;
mod state;
mod stream;
mod topics;
mod traced;
mod waiting;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http;
use axum::routing::{MethodRouter, get, post};
use gristmill_config::Role;
use gristmill_kafka::Cluster;
use tokio::sync::{Semaphore, watch};

use self::access::Access;
use self::error::ApiError;
use self::stream::Hubs;
use crate::broker;
use crate::commands::Commands;
use crate::host::Host;

pub(crate) use self::server::Server;

/// What every handler is given.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    host: Host,
    /// One permit per open event stream.
    streams: Arc<Semaphore>,
    streams_max: usize,
    hubs: Arc<Hubs>,
    commands: Arc<Commands>,
    access: Arc<Access>,
    stopping: watch::Receiver<bool>,
}

/// Lets the host answer from now on.
pub(crate) fn answer(server: &Server, host: Host) {
    server.answer(router(Api::new(host, server.closing())));
}

/// Answers for a host that waits for its cluster.
pub(crate) fn answer_waiting(server: &Server, cluster: Cluster) {
    server.answer(waiting::router(cluster));
}

impl Api {
    fn new(host: Host, stopping: watch::Receiver<bool>) -> Self {
        let readers = host.shared().config.http.readers_max;
        let streams_max = usize::try_from(readers).unwrap_or(Semaphore::MAX_PERMITS);
        let streams = Arc::new(Semaphore::new(streams_max));
        let commands = Commands::start(&host, stopping.clone());
        let needs = routes().into_iter().map(|Route { path, methods, .. }| (path, methods));
        let access = Arc::new(Access::new(&host.shared().config, needs));
        let hubs = Arc::default();
        Self { host, streams, streams_max, hubs, commands, access, stopping }
    }

    /// Whether anything new is taken on, which a host that stops does not.
    fn accepting(&self) -> Result<(), ApiError> {
        if self.host.is_stopping() { Err(ApiError::stopping()) } else { Ok(()) }
    }

    /// Runs what reads or writes the store on a thread that may wait.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Host) -> Result<T, broker::Error> + Send + 'static,
    ) -> Result<T, ApiError> {
        let host = self.host.clone();
        let done = tokio::task::spawn_blocking(move || work(&host)).await;
        done.map_err(|_stopped| ApiError::internal())?.map_err(ApiError::from)
    }

    fn show_streams(&self) {
        let open = self.streams_max.saturating_sub(self.streams.available_permits());
        self.host.shared().metrics.set_http_streams(open);
    }
}

/// A method, and the role that a token needs for it; none where nobody needs a token.
type Method = (&'static str, Option<Role>);

const ANYBODY: Method = ("get", None);
const READ: Method = ("get", Some(Role::Read));
const PUBLISH: Method = ("post", Some(Role::Publish));
const OPERATE: Method = ("post", Some(Role::Operate));
const DELETE: Method = ("delete", Some(Role::Operate));

/// One path and what answers there. The methods beside it are told to whoever uses another; the
/// description of the surface is compared with them.
struct Route {
    path: &'static str,
    methods: &'static [Method],
    handler: MethodRouter<Api>,
}

fn routes() -> Vec<Route> {
    let route = |path, methods, handler| Route { path, methods, handler };
    vec![
        route("/healthz", &[ANYBODY], get(health::alive)),
        route("/readyz", &[ANYBODY], get(health::ready)),
        route("/metrics", &[READ], get(health::metrics)),
        route("/topics/{topic}", &[PUBLISH], post(ingest::publish)),
        route("/topics/{topic}/events", &[READ], get(stream::events)),
        route("/commands/{command}", &[PUBLISH], post(commands::send)),
        route("/state/{subscription}", &[READ], get(state::list)),
        route("/state/{subscription}/{key}", &[READ], get(state::of_key)),
        route("/api/v1/openapi.json", &[READ], get(openapi::document)),
        route("/api/v1/topics", &[READ, OPERATE], get(topics::list).post(topics::create)),
        route("/api/v1/topics/{topic}", &[READ, DELETE], get(topics::show).delete(topics::delete)),
        route("/api/v1/topics/{topic}/partitions", &[OPERATE], post(topics::grow)),
        route("/api/v1/topics/{topic}/records", &[READ], get(topics::records)),
        route("/api/v1/plugins", &[READ], get(operate::plugins)),
        route("/api/v1/plugins/{plugin}/history", &[READ], get(operate::history)),
        route("/api/v1/plugins/{plugin}/rollback", &[OPERATE], post(operate::rollback)),
        route("/api/v1/subscriptions", &[READ], get(operate::subscriptions)),
        route("/api/v1/subscriptions/{subscription}/pause", &[OPERATE], post(operate::pause)),
        route("/api/v1/subscriptions/{subscription}/resume", &[OPERATE], post(operate::resume)),
        route(
            "/api/v1/subscriptions/{subscription}/replay",
            &[READ, OPERATE, DELETE],
            get(replay::show).post(replay::start).delete(replay::cancel),
        ),
        route(
            "/api/v1/subscriptions/{subscription}/rebuild",
            &[READ, OPERATE, DELETE],
            get(rebuild::show).post(rebuild::start).delete(rebuild::cancel),
        ),
        route("/api/v1/snapshots", &[READ], get(snapshots::list)),
        route(
            "/api/v1/subscriptions/{subscription}/snapshots",
            &[READ, OPERATE],
            get(snapshots::list_of).post(snapshots::take),
        ),
        route(
            "/api/v1/subscriptions/{subscription}/snapshots/{snapshot}",
            &[DELETE],
            axum::routing::delete(snapshots::delete),
        ),
        route("/api/v1/groups", &[READ], get(groups::list)),
        route("/api/v1/groups/{group}", &[READ], get(groups::describe)),
        route("/api/v1/groups/{group}/reset", &[OPERATE], post(groups::reset)),
        route("/api/v1/replication", &[READ], get(replication::list)),
        route("/api/v1/dlq", &[READ], get(letters::list)),
        route("/api/v1/dlq/{subscription}/events", &[READ], get(letters::events)),
        route(
            "/api/v1/dlq/{subscription}/events/{topic}/{partition}/{offset}",
            &[READ],
            get(letters::show),
        ),
        route("/api/v1/dlq/{subscription}/redrive", &[OPERATE], post(letters::redrive)),
        route("/api/v1/outbox", &[READ], get(outbox::list)),
        route("/api/v1/outbox/{outbox}/rows", &[READ], get(outbox::rows)),
        route("/api/v1/outbox/{outbox}/rows/{row}", &[READ], get(outbox::show)),
        route("/api/v1/outbox/{outbox}/retry", &[OPERATE], post(outbox::retry)),
        route("/api/v1/outbox/{outbox}/discard", &[OPERATE], post(outbox::discard)),
    ]
}

fn router(api: Api) -> Router {
    let limit = api.host.shared().config.http.body_bytes_max.0;
    let mut router = Router::new();
    for Route { path, methods, handler } in routes() {
        let refuse = move |method: http::Method| async move {
            ApiError::wrong_method(method.as_str(), path, methods.iter().map(|(name, _)| *name))
        };
        router = router.route(path, handler.fallback(refuse));
    }
    router
        .fallback(guard::no_route)
        .layer(axum::middleware::from_fn_with_state(api.clone(), access::admit))
        .layer(axum::middleware::from_fn_with_state(api.clone(), guard::pages))
        .layer(axum::middleware::from_fn_with_state(api.clone(), traced::request))
        .layer(axum::middleware::from_fn_with_state(api.clone(), guard::count))
        .layer(DefaultBodyLimit::max(usize::try_from(limit).unwrap_or(usize::MAX)))
        .with_state(api)
}

#[cfg(test)]
mod tests;
