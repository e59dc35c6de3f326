//! Serves one address for the whole life of a host. Who answers there changes, the connections
//! stay: closing one that has just been made would be a reset for whoever made it.

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::error::ApiError;
use crate::Error;

/// The HTTP server of a host.
#[derive(Debug)]
pub(crate) struct Server {
    answering: watch::Sender<Option<Router>>,
    close: watch::Sender<bool>,
    ended: JoinHandle<Result<(), Error>>,
}

impl Server {
    /// Begins to listen. Requests wait until there is something that answers.
    pub(crate) fn start(listener: TcpListener) -> Self {
        let (answering, answers) = watch::channel(None);
        let (close, closing) = watch::channel(false);
        let ended = tokio::spawn(serve(listener, answers, closing));
        Self { answering, close, ended }
    }

    /// Lets `router` answer from the next request on.
    pub(super) fn answer(&self, router: Router) {
        self.answering.send_replace(Some(router));
    }

    /// Told when the server closes.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.close.subscribe()
    }

    /// Waits until the server fails; it does not end by itself otherwise.
    pub(crate) async fn failed(&mut self) -> Error {
        match (&mut self.ended).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => Error::WorkerGone,
        }
    }

    /// Takes no more connections, and lets what is being answered be answered: streams end with a
    /// comment.
    pub(crate) fn close(&self) {
        self.close.send_replace(true);
    }

    /// Closes, and waits until the last request is answered.
    ///
    /// # Errors
    ///
    /// When the listener had failed.
    pub(crate) async fn closed(self) -> Result<(), Error> {
        let Self { answering, close, ended } = self;
        close.send_replace(true);
        // Whoever still waits for somebody to answer is told that nobody will.
        drop(answering);
        ended.await.unwrap_or(Err(Error::WorkerGone))
    }

    /// Ends at once.
    pub(crate) fn abort(&self) {
        self.ended.abort();
    }
}

async fn serve(
    listener: TcpListener,
    answers: watch::Receiver<Option<Router>>,
    mut closing: watch::Receiver<bool>,
) -> Result<(), Error> {
    // Small frames must not wait for the acknowledgement of the one before: with delayed
    // acknowledgements that is 40 ms (source: RFC 896 and RFC 1122, section 4.2.3.2).
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's algorithm");
        }
    });
    let service = Router::new().fallback(move |request| answer(answers.clone(), request));
    axum::serve(listener, service)
        .with_graceful_shutdown(async move {
            // A closed channel means the owner is gone, which is a reason to stop as well.
            drop(closing.wait_for(|close| *close).await);
        })
        .await
        .map_err(Error::Serve)
}

/// The answer of whoever answers now.
async fn answer(mut answers: watch::Receiver<Option<Router>>, request: Request) -> Response {
    let router = answers.wait_for(Option::is_some).await.ok().and_then(|now| Option::clone(&now));
    match router {
        Some(router) => router.oneshot(request).await.into_response(),
        // Nobody began to answer, and nobody will.
        None => ApiError::stopping().into_response(),
    }
}
