//! Owns what an operator decides about logs, traces and metrics, checked. It sends nothing.

use gristmill_engine::Millis;

use crate::{
    Secret,
    problem::code,
    report::Report,
    walk::{Checked, checked::Pair, checked::disagree},
};

/// What the host tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// A level, or directives `target=level` separated by commas.
    pub log: String,
    /// How a line looks.
    pub log_format: LogFormat,
    /// Whether published events are counted by topic and service.
    pub events_published: bool,
    /// Where traces and metrics are sent; nowhere without.
    pub otlp: Option<Otlp>,
}

impl Telemetry {
    /// Whether published events are counted by topic: metrics over OTLP need it too.
    pub fn counts_published(&self) -> bool {
        self.events_published || self.otlp.as_ref().is_some_and(|it| it.metrics_interval.is_some())
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A collector of OpenTelemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// Its address, without the path of a signal.
    pub endpoint: String,
    /// Headers of every request to it.
    pub headers: Vec<(String, Secret)>,
    /// Longest wait for one answer, 100 ms to 1 min.
    pub timeout: Millis,
    /// Traces told of among those that begin here, of 1,000.
    pub sample_thousandths: u64,
    /// Time between two looks at the metrics, 1 s to 1 h; none where they are not sent.
    pub metrics_interval: Option<Millis>,
}

/// Reads `[telemetry]`.
pub(crate) fn read(checked: &Checked, report: &mut Report<'_>) -> Telemetry {
    let log_format = match checked.text("log_format") {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => disagree("log_format"),
    };
    Telemetry {
        log: checked.text("log").to_owned(),
        log_format,
        events_published: checked.flag("events_published"),
        otlp: otlp(checked.table("otlp"), report),
    }
}

fn otlp(checked: &Checked, report: &mut Report<'_>) -> Option<Otlp> {
    let headers = checked.pairs("headers");
    for pair in headers {
        check_header(pair, report);
    }
    let endpoint = checked.text_if_any("endpoint")?;
    Some(Otlp {
        endpoint: endpoint.to_owned(),
        headers: headers.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect(),
        timeout: checked.millis("timeout"),
        sample_thousandths: checked.number("sample"),
        metrics_interval: checked.flag("metrics").then(|| checked.millis("metrics_interval")),
    })
}

/// Source of the characters: RFC 9110, section 5.6.2.
fn check_header(pair: &Pair, report: &mut Report<'_>) {
    let Pair { name, place, .. } = pair;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        let reason = format!("\"{name}\" is no name of a header");
        report.error(*place, code::MALFORMED, reason, None);
    }
}
