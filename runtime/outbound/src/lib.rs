//! Asks servers beside the host: a schema registry, a collector. Every call waits, for a bounded
//! time. It never tries again and never decides what an answer means.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ureq::http::Request;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody};

/// Largest answer read, in bytes: what the host asks for is small.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// Asks by `http` and `https`. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Pause it asks for before the next question, where it says so in seconds.
    pub retry_after: Option<Duration>,
    /// Its body.
    pub body: Vec<u8>,
}

/// No answer came, or not all of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away(
    /// What happened.
    pub String,
);

/// What this machine trusts, read once: its store, or what `SSL_CERT_FILE` names.
static TLS: LazyLock<TlsConfig> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<Certificate<'static>> =
        found.certs.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
});

impl Client {
    /// A client that waits that long for one answer. It follows no redirect.
    pub fn new(timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(TLS.clone())
            .build();
        Self { agent: config.into() }
    }

    /// Asks for what is at `url`.
    ///
    /// # Errors
    ///
    /// [`Away`].
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, Away> {
        self.run("GET", url, headers, ())
    }

    /// Sends `body` to `url`.
    ///
    /// # Errors
    ///
    /// [`Away`].
    pub fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, Away> {
        self.run("POST", url, headers, body)
    }

    fn run(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: impl AsSendBody,
    ) -> Result<Answer, Away> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|error| Away(error.to_string()))?;
        let answer = self.agent.run(request).map_err(|error| Away(error.to_string()))?;
        let status = answer.status().as_u16();
        let pause = answer.headers().get("retry-after").and_then(|it| it.to_str().ok());
        let retry_after = pause.and_then(|it| it.parse().ok()).map(Duration::from_secs);
        let mut body = answer.into_body();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| Away(error.to_string()))?;
        Ok(Answer { status, retry_after, body })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").finish_non_exhaustive()
    }
}

impl fmt::Display for Away {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}
