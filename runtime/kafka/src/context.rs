//! Listens to what librdkafka's clients say beside their answers: their log, their errors, their
//! statistics. It sends them on and remembers the last trouble; it decides nothing by them.

use std::{
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytestring::ByteString;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel as Level,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode as Code},
    message::DeliveryResult,
    producer::ProducerContext,
};
use tracing::{debug, info, trace, warn};

use crate::error::{
    Cause, Error, is_authentication, is_authorisation, is_certificate_refused, is_unreachable,
};

/// Takes a client's name and its statistics, as JSON in librdkafka's form (`STATISTICS.md`). It is
/// called on the client's thread and must return at once.
pub type Statistics = Arc<dyn Fn(&str, &[u8]) + Send + Sync>;

/// What all clients of one cluster know of it together: whether it answers, and if not, why.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Whether `known` holds anything: looked at with every answer, so without the lock.
    noted: AtomicBool,
    known: Mutex<Known>,
    /// What logs call the cluster, where there are several.
    label: Option<String>,
}

/// What is known since a broker answered last.
#[derive(Debug, Default)]
struct Known {
    trouble: Option<Trouble>,
    /// A client found all brokers gone. That alone says little: a client that nobody uses loses
    /// its connections after some minutes.
    all_gone: bool,
    /// What of it was said, which is not said again.
    warned: Option<Warned>,
}

/// How much was said of a trouble: the second says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Warned {
    Unreachable,
    Refused,
}

/// Why a cluster does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What the last failed connection said.
    pub text: String,
    /// Whether a broker refused to believe who this is, or this who the broker is: waiting will
    /// not help then.
    pub authentication: bool,
}

impl Trouble {
    /// Code of the error that requests end with which get no answer because of it.
    pub fn code(&self) -> &'static str {
        if self.authentication { "E0604" } else { "E0603" }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code(), self.text)
    }
}

/// The context of a client.
pub(crate) struct Context {
    client: ByteString,
    /// Whether it is listened to all the time, so that what it says is news.
    is_prompt: bool,
    /// Whether a broker refused it a right: requests that need it just get no answer.
    denied: AtomicBool,
    /// Whether a connection of it failed, or a request got no answer.
    failed: AtomicBool,
    health: Arc<Health>,
    statistics: Option<Statistics>,
}

impl Health {
    pub(crate) fn new(label: Option<String>) -> Arc<Self> {
        Arc::new(Self { label, ..Self::default() })
    }

    /// A broker answered. Ends a trouble, and says so if it was said that there is one.
    pub(crate) fn answered(&self) {
        if !self.noted.swap(false, Ordering::Relaxed) {
            return;
        }
        let known = mem::take(&mut *self.lock());
        if known.warned.is_some() {
            let cluster = self.label.as_deref();
            info!(target: "gristmill::kafka", cluster, "brokers answer again");
        }
    }

    /// A connection failed. Others may do: it is a warning when none is left, or when waiting
    /// will not help.
    fn failed(&self, client: &str, text: &str, authentication: bool) {
        debug!(target: "gristmill::kafka", client, "{text}");
        self.note(client, |known| {
            known.trouble = Some(Trouble { text: text.to_owned(), authentication });
        });
    }

    /// A client has no connection left.
    fn gone(&self, client: &str) {
        self.note(client, |known| known.all_gone = true);
    }

    fn note(&self, client: &str, change: impl FnOnce(&mut Known)) {
        let mut known = self.lock();
        change(&mut known);
        self.noted.store(true, Ordering::Relaxed);
        let Some(trouble) = &known.trouble else { return };
        let (code, text) = (trouble.code(), &*trouble.text);
        let cluster = self.label.as_deref();
        let warned = match (trouble.authentication, known.all_gone) {
            (true, _) => Warned::Refused,
            (false, true) => Warned::Unreachable,
            (false, false) => return,
        };
        if known.warned >= Some(warned) {
            return;
        }
        match warned {
            Warned::Refused => warn!(target: "gristmill::kafka", code, cluster, client,
                "a broker does not accept who this is, or is not believed who it is: {text}"),
            Warned::Unreachable => warn!(target: "gristmill::kafka", code, cluster, client,
                "no broker answers: {text}"),
        }
        known.warned = Some(warned);
    }

    /// The last failed connection, if none has answered since.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.lock().trouble.clone()
    }

    /// `error`, which `code` became, with what is known of the connections: a request that gets
    /// no answer only says that it got none.
    pub(crate) fn explain(&self, error: Error, code: Option<Code>) -> Error {
        if !code.is_some_and(is_unreachable) {
            return error;
        }
        let Error::Unavailable { doing, source } = error else { return error };
        match self.trouble() {
            Some(trouble) if trouble.authentication => {
                Error::Authentication { source: Cause::new(trouble.text) }
            }
            Some(trouble) => {
                let text = format!("{}: {}", source.text(), trouble.text);
                Error::Unavailable { doing, source: Cause::new(text) }
            }
            None => Error::Unavailable { doing, source },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    pub(crate) fn new(
        client: impl Into<ByteString>,
        health: &Arc<Health>,
        statistics: Option<&Statistics>,
    ) -> Self {
        let (health, statistics) = (Arc::clone(health), statistics.cloned());
        let (denied, failed) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { client: client.into(), is_prompt: true, denied, failed, health, statistics }
    }

    /// Whether a connection of this client failed, or a request got no answer, since it was made.
    /// The library tells of that before it tells how a call ended; of the same failure of the same
    /// broker it tells once in 30 s.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether a broker refused this client a right.
    pub(crate) fn is_denied(&self) -> bool {
        self.denied.load(Ordering::Relaxed)
    }

    /// The context of a client that is only listened to while it is used: what it says of its
    /// connections may be long over, so it is no trouble.
    pub(crate) fn belated(self) -> Self {
        Self { is_prompt: false, ..self }
    }

    /// What all clients of the cluster know together.
    pub(crate) fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

/// Has a context of another kind pass on what its client says to the [`Context`] in one of its
/// fields.
macro_rules! heard_by {
    ($kind:ident, $field:ident) => {
        impl ::rdkafka::ClientContext for $kind {
            fn log(&self, level: ::rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
                self.$field.log(level, facility, text);
            }

            fn stats_raw(&self, statistics: &[u8]) {
                self.$field.stats_raw(statistics);
            }

            fn error(&self, error: ::rdkafka::error::KafkaError, reason: &str) {
                self.$field.error(error, reason);
            }
        }
    };
}
pub(crate) use heard_by;

impl ClientContext for Context {
    /// One level below what librdkafka thinks of it: what is a warning to a client library heals
    /// by itself, and what does not heal comes back as an error of a call.
    fn log(&self, level: Level, facility: &str, text: &str) {
        let client = &*self.client;
        // A connection that is closed is no error to the library, but a line of its log.
        if matches!(facility, "FAIL" | "REQTMOUT") {
            self.failed.store(true, Ordering::Release);
        }
        // Failed connections come as errors too, and are remembered there. A property of
        // producers does no harm in a consumer, and the operator has one list for both.
        let repeated = matches!(facility, "FAIL" | "ERROR");
        let misplaced = facility == "CONFWARN" && text.contains("will be ignored by this");
        match level {
            _ if repeated || misplaced => {
                trace!(target: "gristmill::kafka", client, facility, "{text}");
            }
            // Whose transaction it was is told as well, and says what that means: most are only
            // aborted, because hosts or brokers come and go.
            Level::Emerg | Level::Alert | Level::Critical | Level::Error
                if is_of_transaction(facility) =>
            {
                info!(target: "gristmill::kafka", client, facility, "{text}");
            }
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                warn!(target: "gristmill::kafka", client, facility, "{text}");
            }
            Level::Warning => info!(target: "gristmill::kafka", client, facility, "{text}"),
            Level::Notice | Level::Info => {
                debug!(target: "gristmill::kafka", client, facility, "{text}");
            }
            Level::Debug => trace!(target: "gristmill::kafka", client, facility, "{text}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(sink) = &self.statistics {
            sink(&self.client, statistics);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let client = &*self.client;
        if error.rdkafka_error_code().is_some_and(is_authorisation) {
            self.denied.store(true, Ordering::Relaxed);
        }
        if error.rdkafka_error_code().is_some_and(is_unreachable) {
            self.failed.store(true, Ordering::Release);
        }
        match error.rdkafka_error_code() {
            _ if !self.is_prompt => debug!(target: "gristmill::kafka", client, "{reason}"),
            Some(code) if is_authentication(code) || is_certificate_refused(reason) => {
                self.health.failed(client, reason, true);
            }
            Some(Code::AllBrokersDown) => self.health.gone(client),
            Some(code) if is_unreachable(code) => self.health.failed(client, reason, false),
            // The end of a partition is an answer.
            Some(Code::PartitionEOF) => {}
            _ => debug!(target: "gristmill::kafka", client, "{error}: {reason}"),
        }
    }
}

/// What the library logs of a transaction that fails, and of a client that ends with it: every call
/// that is under way or comes after ends in the same error.
fn is_of_transaction(facility: &str) -> bool {
    matches!(facility, "TXNERR" | "ADDPARTS" | "ADDOFFSETS" | "FATAL")
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("client", &self.client).finish_non_exhaustive()
    }
}
