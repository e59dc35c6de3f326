//! Owns what a host tells a collector: which traces, and what its spans and metrics say. It decides
//! nothing about events, and none waits for it.

mod metrics;
mod spans;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use gristmill_config::{Broker, HostConfig, Otlp};
use gristmill_telemetry::{
    Exporter, ExporterSettings, News, Outbox, Sampler, Span, SpanIds, TraceContext,
};
use prometheus::proto::MetricFamily;
use uuid::Uuid;

use crate::Error;
use crate::envelope::OriginBuf;
use crate::metrics::Metrics;
use crate::shared::Shared;

pub(crate) use self::metrics::tell as tell_metrics;
pub(crate) use self::spans::{Attempted, Sent, answered, attempt, emitted, passed_on, send};

/// What is told to a collector, where there is one.
#[derive(Debug)]
pub(crate) struct Telemetry {
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    /// Gone once the host has ended.
    exporter: Mutex<Option<Exporter>>,
    outbox: Arc<Outbox>,
    sampler: Sampler,
    system: &'static str,
    /// Why the collector has what it should not lack.
    trouble: Arc<Mutex<String>>,
}

/// Where the broker's events are, as the conventions call it; the embedded store has no name there.
fn system(config: &HostConfig) -> &'static str {
    match config.broker {
        Broker::Kafka(_) => "kafka",
        Broker::Embedded => "gristmill",
    }
}

impl Telemetry {
    /// Begins to tell, where the configuration names a collector.
    pub(crate) fn start(config: &HostConfig, metrics: &Metrics) -> Result<Self, Error> {
        let Some(otlp) = &config.telemetry.otlp else { return Ok(Self { told: None }) };
        let trouble = Arc::default();
        let listener = {
            let (spans, trouble) = (metrics.spans(), Arc::clone(&trouble));
            Box::new(move |news| hear(&news, &spans, &trouble))
        };
        let settings = settings(config, otlp)?;
        let exporter = Exporter::start(settings, listener).map_err(Error::Thread)?;
        Ok(Self {
            told: Some(Told {
                outbox: Arc::clone(exporter.outbox()),
                exporter: Mutex::new(Some(exporter)),
                sampler: Sampler::thousandths(otlp.sample_thousandths),
                system: system(config),
                trouble,
            }),
        })
    }

    /// Whether traces are told of.
    pub(crate) fn is_on(&self) -> bool {
        self.told.is_some()
    }

    /// The broker, as spans name it.
    pub(crate) fn system(&self) -> &'static str {
        self.told.as_ref().map_or("gristmill", |told| told.system)
    }

    /// Hands spans over and leaves `spans` empty.
    pub(crate) fn put(&self, spans: &mut Vec<Span>) {
        match &self.told {
            Some(told) => told.outbox.put(spans),
            None => spans.clear(),
        }
    }

    /// Hands metrics over, as they are now.
    pub(crate) fn put_metrics(&self, families: &[MetricFamily]) {
        let Some(told) = &self.told else { return };
        let exporter = told.exporter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(exporter) = &*exporter {
            exporter.put_metrics(families);
        }
    }

    /// Why nothing arrives at the collector; empty where it does, and `None` without one.
    pub(crate) fn trouble(&self) -> Option<String> {
        let told = self.told.as_ref()?;
        Some(told.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Where a request stands that came with that `traceparent`, and the span it came from.
    pub(crate) fn received(&self, parent: Option<&str>) -> Option<Received> {
        let told = self.told.as_ref()?;
        let parent = parent.and_then(TraceContext::parse);
        let context = match parent {
            Some(parent) => parent.at(SpanIds::new().next_id()),
            None => TraceContext::begin(told.sampler),
        };
        let is_told = Arc::new(AtomicBool::new(parent.is_some_and(TraceContext::is_sampled)));
        Some(Received { context, parent, sampler: told.sampler, is_told })
    }

    /// Sends what is left. Waits, for a bounded time.
    pub(crate) fn finish(&self) {
        let Some(told) = &self.told else { return };
        let exporter = told.exporter.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(exporter);
    }
}

/// Where a request stands.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Its own span.
    pub(crate) context: TraceContext,
    /// What it came from.
    pub(crate) parent: Option<TraceContext>,
    /// Chooses which of its events are told of, where it came from nothing.
    pub(crate) sampler: Sampler,
    /// Whether it is told of: it came from what is, or an event of it is.
    pub(crate) is_told: Arc<AtomicBool>,
}

impl Shared {
    /// The trace of an event that was read, and that brought `given`. One that brings none, or no
    /// sound one, begins one that every subscription and every attempt finds again, if what it
    /// belongs to is told of.
    pub(crate) fn trace_of(
        &self,
        (origin, correlation_id): (&OriginBuf, &str),
        given: Option<ByteString>,
    ) -> Option<ByteString> {
        let Some(told) = &self.telemetry.told else { return given };
        let is_sound = given.as_deref().is_some_and(|it| TraceContext::parse(it).is_some());
        if is_sound {
            return given;
        }
        if !told.sampler.chooses(correlation_id) {
            return None;
        }
        let trace = self.hasher.trace(&origin.topic, origin.partition, origin.offset);
        Some(TraceContext::before(trace).to_text())
    }
}

fn settings(config: &HostConfig, otlp: &Otlp) -> Result<ExporterSettings, Error> {
    let mut headers = Vec::with_capacity(otlp.headers.len());
    for (name, secret) in &otlp.headers {
        let value = gristmill_config::read::secret(secret).map_err(Error::Secret)?;
        headers.push((name.clone(), value));
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Ok(ExporterSettings {
        endpoint: otlp.endpoint.clone(),
        headers,
        timeout: Duration::from_millis(otlp.timeout.0),
        resource: vec![
            attribute("service.name", &config.name),
            attribute("service.version", &version),
            attribute("service.instance.id", &Uuid::new_v4().to_string()),
        ],
        version,
    })
}

/// Counts what became of spans, and tells the log what an operator should know.
fn hear(news: &News, spans: &prometheus::IntCounterVec, trouble: &Mutex<String>) {
    let count = |result: &str, by: u64| spans.with_label_values(&[result]).inc_by(by);
    let note = |text: &str| {
        text.clone_into(&mut trouble.lock().unwrap_or_else(PoisonError::into_inner));
    };
    match news {
        News::Sent(number) => count("sent", *number),
        News::Dropped(number) => count("dropped", *number),
        News::Refused(number, why) => {
            count("refused", *number);
            tracing::warn!(code = "E0473", spans = number, why, "the collector refuses telemetry");
        }
        News::Away(why) => {
            note(why);
            tracing::warn!(
                code = "E0472",
                why,
                "the collector does not answer: traces wait for it, and are dropped when they are \
                 too many; no event waits"
            );
        }
        News::Back => {
            note("");
            tracing::info!("the collector answers again");
        }
    }
}
