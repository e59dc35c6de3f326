//! Sends what is in the outbox, on a thread of its own: it tries again where that may help, and
//! tells what became of it. A collector that is away costs spans, never events.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gristmill_outbound::Client;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prometheus::proto::MetricFamily;
use prost::Message;

use crate::metrics::Window;
use crate::outbox::{Batch, Outbox};
use crate::proto::Teller;
use crate::span::now_ns;

/// Spans that wait at most, about a kilobyte each: a few seconds of a busy host.
const SPANS_MAX: usize = 16_384;
/// Spans of one request.
const BATCH_MAX: usize = 512;
/// Longest that spans wait for others to go with.
const PATIENCE: Duration = Duration::from_secs(1);
/// First pause after no answer; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause after no answer.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Longest that the end waits for what is left to be sent.
const ENDING_MAX: Duration = Duration::from_secs(2);

/// How a collector is reached, and who tells it.
#[derive(Clone, PartialEq, Eq)]
pub struct ExporterSettings {
    /// Its address, such as `http://collector:4318`: OTLP over HTTP, in protobuf.
    pub endpoint: String,
    /// Headers sent with every request; they may be secret.
    pub headers: Vec<(String, String)>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Attributes of whoever tells.
    pub resource: Vec<(String, String)>,
    /// Its version.
    pub version: String,
}

/// What became of what was to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Spans arrived.
    Sent(u64),
    /// Spans found no room, because the collector was away or is too slow.
    Dropped(u64),
    /// The collector took neither these spans nor, where they are none, metrics.
    Refused(u64, String),
    /// No answer came, and it is asked again.
    Away(String),
    /// It answers again.
    Back,
}

/// Whoever is told what became of what was to be sent, on the exporter's own thread.
pub type Listener = Box<dyn Fn(News) + Send>;

/// Sends until it is dropped, and then what is left.
#[derive(Debug)]
pub struct Exporter {
    outbox: Arc<Outbox>,
    teller: Arc<Teller>,
    began_ns: u64,
    sending: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the machine gives no thread.
    pub fn start(settings: ExporterSettings, listener: Listener) -> io::Result<Self> {
        let borrowed: Vec<_> = settings.resource.iter().map(|(n, v)| (&**n, &**v)).collect();
        let teller = Arc::new(Teller::new(&borrowed, &settings.version));
        let outbox = Arc::new(Outbox::new(SPANS_MAX, BATCH_MAX));
        let sender = Sender {
            client: Client::new(settings.timeout),
            endpoint: settings.endpoint.trim_end_matches('/').to_owned(),
            headers: settings.headers,
            outbox: Arc::clone(&outbox),
            teller: Arc::clone(&teller),
            listener,
            is_away: false,
            ending: None,
        };
        let thread = std::thread::Builder::new().name("telemetry".to_owned());
        let sending = Some(thread.spawn(move || sender.run())?);
        Ok(Self { outbox, teller, began_ns: now_ns(), sending })
    }

    /// Where spans are put.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Sends metrics as they are now, in place of those that are not sent yet.
    pub fn put_metrics(&self, families: &[MetricFamily]) {
        let window = Window { began_ns: self.began_ns, now_ns: now_ns() };
        self.outbox.put_metrics(self.teller.metrics(families, window));
    }

    /// Sends what is left, for two seconds at most, and ends.
    pub fn finish(&mut self) {
        self.outbox.close();
        if let Some(sending) = self.sending.take() {
            // One that panicked sends nothing any more.
            drop(sending.join());
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Sender {
    client: Client,
    endpoint: String,
    headers: Vec<(String, String)>,
    outbox: Arc<Outbox>,
    teller: Arc<Teller>,
    listener: Listener,
    is_away: bool,
    /// Until when what is left is tried, once the end has come.
    ending: Option<Instant>,
}

/// What a request is about: the path it goes to, and how its answer says that not all was taken.
struct Signal {
    path: &'static str,
    refused: fn(&[u8]) -> Option<(u64, String)>,
}

const TRACES: Signal = Signal { path: "/v1/traces", refused: refused_spans };
const METRICS: Signal = Signal { path: "/v1/metrics", refused: refused_points };

impl Sender {
    fn run(mut self) {
        loop {
            let Batch { spans, dropped, metrics, is_last } = self.outbox.take(PATIENCE);
            if dropped > 0 {
                (self.listener)(News::Dropped(dropped));
            }
            if !spans.is_empty() {
                let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
                self.send(&TRACES, count, &self.teller.traces(spans));
            }
            if let Some(metrics) = metrics {
                self.send(&METRICS, 0, &metrics);
            }
            if is_last {
                return;
            }
        }
    }

    /// Sends until it is taken, refused, or the end is over.
    fn send(&mut self, signal: &Signal, count: u64, body: &[u8]) {
        let mut pause = PAUSE;
        loop {
            match self.try_once(signal, count, body) {
                Ok(()) => return,
                Err((why, wanted)) => {
                    if !std::mem::replace(&mut self.is_away, true) {
                        (self.listener)(News::Away(why));
                    }
                    let is_ending = self.outbox.rest(wanted.unwrap_or(pause).min(PAUSE_MAX));
                    if is_ending && self.is_over() {
                        return (self.listener)(News::Dropped(count));
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Whether the end has taken long enough. At the end nothing rests between two tries, so they
    /// are few.
    fn is_over(&mut self) -> bool {
        let until = *self.ending.get_or_insert_with(|| Instant::now() + ENDING_MAX);
        std::thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
        Instant::now() >= until
    }

    /// Sends once; why to try again otherwise, and after which pause where the answer says one.
    fn try_once(
        &mut self,
        signal: &Signal,
        count: u64,
        body: &[u8],
    ) -> Result<(), (String, Option<Duration>)> {
        let url = format!("{}{}", self.endpoint, signal.path);
        let own = [("content-type", "application/x-protobuf")];
        let further = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: Vec<_> = own.into_iter().chain(further).collect();
        let answer = self.client.post(&url, &headers, body).map_err(|away| (away.0, None))?;
        // Source: OTLP specification, "Retryable response codes".
        if matches!(answer.status, 429 | 502 | 503 | 504) {
            return Err((format!("{url} answered {}", answer.status), answer.retry_after));
        }
        if std::mem::take(&mut self.is_away) {
            (self.listener)(News::Back);
        }
        if !(200..300).contains(&answer.status) {
            let text = String::from_utf8_lossy(&answer.body);
            let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
            let why = format!("{url} answered {}: {text}", answer.status);
            (self.listener)(News::Refused(count, why));
            return Ok(());
        }
        let refused = (signal.refused)(&answer.body);
        let sent = count.saturating_sub(refused.as_ref().map_or(0, |(refused, _)| *refused));
        (self.listener)(News::Sent(sent));
        if let Some((refused, why)) = refused {
            let why = format!("{url} took not all: {why}");
            (self.listener)(News::Refused(refused.min(count), why));
        }
        Ok(())
    }
}

/// Spans that a collector that took the others did not take, and why.
fn refused_spans(body: &[u8]) -> Option<(u64, String)> {
    let partial = ExportTraceServiceResponse::decode(body).ok()?.partial_success?;
    let refused = u64::try_from(partial.rejected_spans).unwrap_or(0);
    (refused > 0).then_some((refused, partial.error_message))
}

/// The same for metrics, which are not counted.
fn refused_points(body: &[u8]) -> Option<(u64, String)> {
    let partial = ExportMetricsServiceResponse::decode(body).ok()?.partial_success?;
    (partial.rejected_data_points > 0).then_some((0, partial.error_message))
}

impl fmt::Debug for ExporterSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, headers, timeout, resource, version } = self;
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        out.debug_struct("ExporterSettings")
            .field("endpoint", endpoint)
            .field("headers", &names)
            .field("timeout", timeout)
            .field("resource", resource)
            .field("version", version)
            .finish()
    }
}
