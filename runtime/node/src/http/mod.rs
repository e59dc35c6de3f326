//! Serves the HTTP surface: takes events in, streams them out, answers operators. It asks the host
//! for everything it tells and does, and holds no state but its open streams.

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
mod query;
mod state;
mod stream;
mod topics;
mod waiting;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use self::error::ApiError;
use crate::host::Host;
use crate::{Error, broker};

pub(crate) use self::waiting::until;

/// What every handler is given.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    host: Host,
    /// One permit per open event stream.
    streams: Arc<Semaphore>,
    streams_max: usize,
    stopping: watch::Receiver<bool>,
}

/// Serves until told to stop; streams then end with a comment, other requests are answered.
///
/// # Errors
///
/// When the listener fails for good.
pub(crate) async fn serve(
    listener: TcpListener,
    host: Host,
    stopping: watch::Receiver<bool>,
) -> Result<(), Error> {
    let mut told = stopping.clone();
    let service = router(Api::new(host, stopping));
    // Small frames must not wait for the acknowledgement of the one before: with delayed
    // acknowledgements that is 40 ms (source: RFC 896 and RFC 1122, section 4.2.3.2).
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's algorithm");
        }
    });
    axum::serve(listener, service)
        .with_graceful_shutdown(async move {
            // A closed channel means the owner is gone, which is a reason to stop as well.
            drop(told.wait_for(|stop| *stop).await);
        })
        .await
        .map_err(Error::Serve)
}

impl Api {
    fn new(host: Host, stopping: watch::Receiver<bool>) -> Self {
        let readers = host.shared().config.http.readers_max;
        let streams_max = usize::try_from(readers).unwrap_or(Semaphore::MAX_PERMITS);
        Self { host, streams: Arc::new(Semaphore::new(streams_max)), streams_max, stopping }
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

/// One path and what answers there. The methods beside it are told to whoever uses another; the
/// description of the surface is compared with them.
struct Route {
    path: &'static str,
    methods: &'static [&'static str],
    handler: MethodRouter<Api>,
}

fn routes() -> Vec<Route> {
    let route = |path, methods, handler| Route { path, methods, handler };
    vec![
        route("/healthz", &["get"], get(health::alive)),
        route("/readyz", &["get"], get(health::ready)),
        route("/metrics", &["get"], get(health::metrics)),
        route("/topics/{topic}", &["post"], post(ingest::publish)),
        route("/topics/{topic}/events", &["get"], get(stream::events)),
        route("/state/{subscription}", &["get"], get(state::list)),
        route("/state/{subscription}/{key}", &["get"], get(state::of_key)),
        route("/api/v1/openapi.json", &["get"], get(openapi::document)),
        route("/api/v1/topics", &["get", "post"], get(topics::list).post(topics::create)),
        route(
            "/api/v1/topics/{topic}",
            &["get", "delete"],
            get(topics::show).delete(topics::delete),
        ),
        route("/api/v1/topics/{topic}/partitions", &["post"], post(topics::grow)),
        route("/api/v1/topics/{topic}/records", &["get"], get(topics::records)),
        route("/api/v1/plugins", &["get"], get(operate::plugins)),
        route("/api/v1/plugins/{plugin}/history", &["get"], get(operate::history)),
        route("/api/v1/plugins/{plugin}/rollback", &["post"], post(operate::rollback)),
        route("/api/v1/subscriptions", &["get"], get(operate::subscriptions)),
        route("/api/v1/subscriptions/{subscription}/pause", &["post"], post(operate::pause)),
        route("/api/v1/subscriptions/{subscription}/resume", &["post"], post(operate::resume)),
        route("/api/v1/groups", &["get"], get(groups::list)),
        route("/api/v1/groups/{group}", &["get"], get(groups::describe)),
        route("/api/v1/groups/{group}/reset", &["post"], post(groups::reset)),
        route("/api/v1/dlq", &["get"], get(letters::list)),
        route("/api/v1/dlq/{subscription}/events", &["get"], get(letters::events)),
        route(
            "/api/v1/dlq/{subscription}/events/{topic}/{partition}/{offset}",
            &["get"],
            get(letters::show),
        ),
        route("/api/v1/dlq/{subscription}/redrive", &["post"], post(letters::redrive)),
    ]
}

fn router(api: Api) -> Router {
    let limit = api.host.shared().config.http.body_bytes_max.0;
    let mut router = Router::new();
    for Route { path, methods, handler } in routes() {
        let refuse = move |method: Method| async move {
            ApiError::wrong_method(method.as_str(), path, methods)
        };
        router = router.route(path, handler.fallback(refuse));
    }
    router
        .fallback(guard::no_route)
        .layer(axum::middleware::from_fn(guard::same_origin))
        .layer(axum::middleware::from_fn_with_state(api.clone(), guard::count))
        .layer(DefaultBodyLimit::max(usize::try_from(limit).unwrap_or(usize::MAX)))
        .with_state(api)
}

#[cfg(test)]
mod tests;
