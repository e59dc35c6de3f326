//! An OpenTelemetry Collector of its own for a test, as `make collector` built it: it takes OTLP by
//! HTTP, and writes what it received to a file before it answers. Reads that file; it decides
//! nothing about what belongs in it.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::registry::free_port;
use super::server::Server;
use super::{component, wait};

/// A collector that has not started by then does not do so at all.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it received, one batch a line, in its folder.
const RECEIVED: &str = "received.jsonl";

/// A running collector; ended when dropped.
#[derive(Debug)]
pub struct Collector {
    server: Server,
    port: u16,
}

impl Collector {
    /// Starts one, and waits until its port is open.
    ///
    /// # Errors
    ///
    /// When it was not built or does not start; with the end of its log.
    pub fn start() -> Result<Self> {
        Self::start_on(free_port()?)
    }

    /// The same on a port that was free.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn start_on(port: u16) -> Result<Self> {
        let binary = installed()?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("config.yaml"), config(port))?;
        let mut command = Command::new(&binary);
        let server = Server::start(command.arg("--config=config.yaml"), folder)?;
        let mut collector = Self { server, port };
        let open = wait::until(PATIENCE, || collector.look())?;
        open.with_context(|| format!("the collector opens no port:\n{}", collector.server.tail()))?;
        Ok(collector)
    }

    /// Address of its receiver; signals are sent below it, such as to `/v1/traces`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every span it received so far.
    ///
    /// # Errors
    ///
    /// When what it wrote cannot be read.
    pub fn spans(&self) -> Result<Vec<Span>> {
        let mut spans = Vec::new();
        for batch in self.batches()? {
            for group in each(&batch["resourceSpans"]) {
                let resource = attributes(&group["resource"]["attributes"]);
                let received = each(&group["scopeSpans"]).flat_map(|scope| each(&scope["spans"]));
                spans.extend(received.map(|span| Span::read(span, &resource)));
            }
        }
        Ok(spans)
    }

    /// Every metric it received so far, once for each time it was sent, as OTLP writes it in JSON.
    ///
    /// # Errors
    ///
    /// When what it wrote cannot be read.
    pub fn metrics(&self) -> Result<Vec<Value>> {
        let mut metrics = Vec::new();
        for batch in self.batches()? {
            let groups = each(&batch["resourceMetrics"]);
            let scopes = groups.flat_map(|group| each(&group["scopeMetrics"]));
            metrics.extend(scopes.flat_map(|scope| each(&scope["metrics"])).cloned());
        }
        Ok(metrics)
    }

    /// Ends it: its port answers nobody any more.
    ///
    /// # Errors
    ///
    /// When it cannot be ended.
    pub fn kill(self) -> Result<()> {
        self.server.kill()
    }

    /// Whether its port is open; fails when it has ended.
    fn look(&mut self) -> Result<Option<TcpStream>> {
        if let Some(status) = self.server.ended()? {
            bail!("the collector ended, {status}:\n{}", self.server.tail());
        }
        Ok(TcpStream::connect(("127.0.0.1", self.port)).ok())
    }

    /// What it received so far, batch by batch. A last line without its end is still being written.
    fn batches(&self) -> Result<Vec<Value>> {
        let path = self.server.folder().join(RECEIVED);
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        lines
            .filter(|line| line.ends_with(b"\n"))
            .map(|line| serde_json::from_slice(line).context("read a line of the collector"))
            .collect()
    }
}

/// A span as a collector received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Id of its trace, in hexadecimal.
    pub trace: String,
    /// Its own id, in hexadecimal.
    pub id: String,
    /// Id of its parent; empty for a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: u64,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended, in nanoseconds since 1970.
    pub end: u64,
    /// Its attributes, with plain values.
    pub attributes: BTreeMap<String, Value>,
    /// 0 unset, 1 ok, 2 error.
    pub status: u64,
    /// What its status says; empty when it says nothing.
    pub message: String,
    /// Attributes of what sent it, with plain values.
    pub resource: BTreeMap<String, Value>,
    /// Names of its events.
    pub events: Vec<String>,
    /// Ids of the spans that it links to.
    pub links: Vec<String>,
}

impl Span {
    /// Reads one; what OTLP leaves out is empty or zero.
    fn read(span: &Value, resource: &BTreeMap<String, Value>) -> Self {
        Self {
            trace: text(&span["traceId"]),
            id: text(&span["spanId"]),
            parent: text(&span["parentSpanId"]),
            name: text(&span["name"]),
            kind: number(&span["kind"]),
            start: number(&span["startTimeUnixNano"]),
            end: number(&span["endTimeUnixNano"]),
            attributes: attributes(&span["attributes"]),
            status: number(&span["status"]["code"]),
            message: text(&span["status"]["message"]),
            resource: resource.clone(),
            events: each(&span["events"]).map(|event| text(&event["name"])).collect(),
            links: each(&span["links"]).map(|link| text(&link["spanId"])).collect(),
        }
    }
}

/// The entries of a list; none where there is no list.
fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Numbers of 64 bits are text in OTLP's JSON, smaller ones are numbers.
fn number(value: &Value) -> u64 {
    let written = || value.as_str().and_then(|text| text.parse().ok());
    value.as_u64().or_else(written).unwrap_or_default()
}

/// A list of keys and values as a map to plain values.
fn attributes(list: &Value) -> BTreeMap<String, Value> {
    each(list).map(|one| (text(&one["key"]), plain(&one["value"]))).collect()
}

/// A value without its kind around it; null where there is none.
fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "intValue" => {
            let written = inner.as_str().and_then(|text| text.parse::<i64>().ok());
            written.map_or_else(|| inner.clone(), Value::from)
        }
        "arrayValue" => each(&inner["values"]).map(plain).collect(),
        "kvlistValue" => attributes(&inner["values"]).into_iter().collect(),
        _ => inner.clone(),
    }
}

/// Has a receiver of OTLP by HTTP, whose answer follows the write; no telemetry of its own.
fn config(port: u16) -> String {
    format!(
        "receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:{port}
exporters:
  file:
    path: {RECEIVED}
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [file]
    metrics:
      receivers: [otlp]
      exporters: [file]
"
    )
}

/// What `make collector` built, in `$COLLECTOR`, else in `target/collector`.
fn installed() -> Result<PathBuf> {
    let default = || component::root().join("target/collector");
    let folder = std::env::var_os("COLLECTOR").map_or_else(default, PathBuf::from);
    let binary = folder.join("collector");
    if !binary.is_file() {
        bail!("no collector in {}; `make collector` builds it", folder.display());
    }
    Ok(binary)
}
