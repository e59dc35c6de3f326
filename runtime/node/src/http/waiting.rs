//! Answers for a host that waits for its cluster: it lives, it is not ready, and it says why. It
//! takes nothing in.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gristmill_kafka::Cluster;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

use super::error::ApiError;
use super::health;
use crate::Error;

/// Serves until `work` has ended; gives back the listener and what came of the work.
pub(crate) async fn until<T>(
    listener: TcpListener,
    cluster: Cluster,
    work: JoinHandle<T>,
) -> Result<(TcpListener, Result<T, JoinError>), Error> {
    let listener = listener.into_std().map_err(Error::Serve)?;
    let again = listener.try_clone().map_err(Error::Serve)?;
    let listener = TcpListener::from_std(listener).map_err(Error::Serve)?;
    let (ended, told) = oneshot::channel();
    let serving = axum::serve(listener, router(cluster)).with_graceful_shutdown(async move {
        // Whoever does the work is gone where nobody says that it ended.
        drop(told.await);
    });
    let serving = tokio::spawn(serving.into_future());
    let done = work.await;
    let _told = ended.send(());
    serving.await.map_err(|_panicked| Error::WorkerGone)?.map_err(Error::Serve)?;
    Ok((TcpListener::from_std(again).map_err(Error::Serve)?, done))
}

fn router(cluster: Cluster) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(ready))
        .fallback(refuse)
        .layer(axum::middleware::map_response(part))
        .with_state(cluster)
}

/// Who answers next on this address is another: a connection that is kept would end when its
/// owner asks again.
async fn part(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn ready(State(cluster): State<Cluster>) -> Response {
    let trouble = cluster.trouble().map(|trouble| trouble.to_string());
    let reason = trouble.unwrap_or_else(|| "the cluster has not answered yet".to_owned());
    let checks = json!([{ "name": "broker", "ok": false, "reason": reason }]);
    let body = json!({ "ready": false, "checks": checks });
    (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response()
}

async fn refuse() -> ApiError {
    ApiError::waiting()
}
