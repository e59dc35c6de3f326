//! Decides which HTTP requests of a guest leave the host, and sends those: to granted origins, at
//! public addresses unless private ones are granted, so many in an attempt. What a request is
//! answered with is the guest's own business.

mod address;
mod calls;
mod send;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gristmill_telemetry::{Span, TraceContext};
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Response};
use sha2::{Digest, Sha256};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use self::address::Target;
use self::calls::Calls;
use crate::RunnerSettings;
use crate::attempt::Attempt;
use crate::log::Level;

/// Header that tells the other side that two requests are one (source:
/// draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Header of the W3C trace context.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Lines kept for the log between two looks: a guest that asks without end fills no more.
const LINES_MAX: usize = 64;
/// Bytes of a body that are taken from the guest at once, and wait to be sent.
const CHUNK_BYTES: usize = 64 << 10;

/// What a subscription may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrants {
    /// Where.
    pub origins: Vec<HttpOrigin>,
    /// Whether names may stand for private addresses.
    pub private: bool,
    /// Requests of one attempt.
    pub requests: u32,
    /// Longest wait for the answer to one: its status and headers.
    pub timeout: Duration,
    /// Whether nothing is sent at all: an attempt that asks for a request then fails, whatever its
    /// handler makes of that.
    pub withheld: bool,
}

/// Addresses that may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOrigin {
    /// Whether `https` is meant, and not `http`.
    pub https: bool,
    /// A host in lower case; one that begins with a dot stands for all that end like it, `*` for
    /// all.
    pub host: String,
    /// The port; `None` for any.
    pub port: Option<u16>,
}

impl Default for HttpGrants {
    /// Nothing may be called.
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            private: false,
            requests: 16,
            timeout: Duration::from_secs(3),
            withheld: false,
        }
    }
}

/// Requests of one instance.
pub(crate) struct Outgoing {
    settings: Arc<RunnerSettings>,
    /// Begins the idempotency keys of the attempt: the same at every attempt of one event.
    seed: Sha256,
    /// Trace context of the event, for requests of an attempt that no span is made of.
    trace_parent: Option<String>,
    /// The span of the attempt, where traces are known of.
    span: Option<TraceContext>,
    sent: u32,
    told: Arc<Mutex<Told>>,
}

/// What became of the requests of an attempt.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Lines for the log.
    pub(crate) lines: Vec<(Level, String)>,
    /// The first that could not be sent, or was not answered.
    pub(crate) unavailable: Option<String>,
    /// The first that was withheld.
    pub(crate) withheld: Option<String>,
    /// Spans of those that were answered, or not.
    pub(crate) calls: Vec<Span>,
    open: Calls,
}

impl Told {
    fn warn(&mut self, line: String) {
        if self.lines.len() < LINES_MAX {
            self.lines.push((Level::Warn, line));
        }
    }
}

/// How a request is let out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pass {
    /// Whether it may go to a private address.
    private: bool,
    timeout: Duration,
}

impl Outgoing {
    pub(crate) fn new(settings: &Arc<RunnerSettings>, attempt: Option<&Attempt>) -> Self {
        let mut new = Self {
            settings: Arc::clone(settings),
            seed: Sha256::new(),
            trace_parent: None,
            span: None,
            sent: 0,
            told: Arc::default(),
        };
        if let Some(attempt) = attempt {
            new.begin_attempt(attempt);
        }
        new
    }

    pub(crate) fn begin_attempt(&mut self, attempt: &Attempt) {
        // Other subscriptions of the event call for themselves.
        self.seed = attempt
            .seed()
            .hashed(b"gristmill idempotency 1")
            .chain_update(self.settings.subscription.as_bytes());
        self.trace_parent = attempt.handled.trace_parent().map(ToString::to_string);
        self.span = attempt.span;
        self.sent = 0;
        // What an earlier attempt still hears of is not this one's.
        self.told = Arc::default();
    }

    /// Takes what was told since the last call; with `all`, spans of requests too that nothing was
    /// heard of.
    pub(crate) fn take_told(&mut self, all: bool) -> Told {
        let mut told = lock(&self.told);
        Told {
            lines: std::mem::take(&mut told.lines),
            unavailable: told.unavailable.take(),
            withheld: told.withheld.take(),
            calls: told.open.take(all),
            open: Calls::default(),
        }
    }

    /// Whether a request may leave; else what its sender is told, and what the log is.
    fn admit(&mut self, target: &Target) -> Result<Pass, (Error, String)> {
        let grants = &self.settings.http;
        let named = |origin: &&HttpOrigin| target.is_within(origin);
        let Some(origin) = grants.origins.iter().find(named) else {
            let reason = format!(
                "{target} is not granted; write in [subscription.grants]: http = [\"{target}\"]"
            );
            return Err((Error::HttpRequestDenied, reason));
        };
        if self.sent >= grants.requests {
            let reason = format!(
                "{target} is not called: {} requests are all of an attempt; raise `http_requests` \
                 in [subscription.limits]",
                grants.requests
            );
            return Err((Error::ConnectionLimitReached, reason));
        }
        self.sent = self.sent.saturating_add(1);
        let private = grants.private || target.is_explicit(origin);
        Ok(Pass { private, timeout: grants.timeout })
    }

    /// Adds what the host says with every request, unless the guest has said it.
    fn mark(&self, request: &mut Request<WasiBody>, span: Option<TraceContext>) {
        let is_safe = matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
        );
        let headers = request.headers_mut();
        if !is_safe && !headers.contains_key(IDEMPOTENCY_KEY) {
            let key = self.seed.clone().chain_update(self.sent.to_be_bytes()).finalize();
            let mut key = format!("{key:x}");
            key.truncate(32);
            if let Ok(key) = HeaderValue::from_str(&key) {
                headers.insert(IDEMPOTENCY_KEY, key);
            }
        }
        if headers.contains_key(TRACE_PARENT) {
            return;
        }
        let parent = match span {
            Some(span) => HeaderValue::from_str(&span.to_string()).ok(),
            None => self.trace_parent.as_deref().and_then(|it| HeaderValue::from_str(it).ok()),
        };
        headers.extend(parent.map(|parent| (TRACE_PARENT, parent)));
    }
}

/// An answer, and what goes on until its body has come.
type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Outgoing {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let Some(target) = Target::of(request.uri()) else {
            return Box::new(async { Err(Error::HttpRequestUriInvalid) });
        };
        if self.settings.http.withheld {
            let what = format!("{} {target}", request.method());
            lock(&self.told).withheld.get_or_insert(what);
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let pass = match self.admit(&target) {
            Ok(pass) => pass,
            Err((error, reason)) => {
                lock(&self.told).warn(format!("request denied: {reason}"));
                return Box::new(async { Err(error) });
            }
        };
        let within = (self.span, self.sent);
        let (call, span) =
            lock(&self.told).open.begin(within, request.method(), (&target, request.uri()));
        self.mark(&mut request, span);
        let told = Arc::clone(&self.told);
        Box::new(async move {
            // A guest may be less patient than it must.
            let own = options.and_then(|options| options.first_byte_timeout);
            let patience = own.map_or(pass.timeout, |own| own.min(pass.timeout));
            let sent = tokio::time::timeout(patience, send::send(request, &target, pass));
            let sent = sent.await.unwrap_or(Err(Error::ConnectionTimeout));
            lock(&told).open.end(call, sent.as_ref().map(|(answer, _)| answer.status().as_u16()));
            if let Err(error) = &sent {
                tell(&told, &target, error);
            }
            sent
        })
    }
}

/// Notes why a request was not answered.
fn tell(told: &Mutex<Told>, target: &Target, error: &Error) {
    let mut told = lock(told);
    if matches!(error, Error::DestinationIpProhibited) {
        told.warn(format!(
            "request denied: {target} is at a private address; write in [subscription.grants]: \
             http_private = true"
        ));
        return;
    }
    let why = format!("{target} is not answering: {error}");
    told.warn(why.clone());
    told.unavailable.get_or_insert(why);
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
