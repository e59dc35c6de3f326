//! Speaks HTTP with a host as any client would: publishes batches, reads topics, asks operators'
//! questions. An answer that is not a success is an error with the host's own words.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;

/// Records asked for at once: as many as a host gives.
const PAGE: usize = 1_000;
/// Largest answer read, in bytes.
const ANSWER_MAX: u64 = 256 * 1024 * 1024;

/// A host's HTTP surface. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
}

/// One record of a topic.
#[derive(Debug, Clone, Deserialize)]
pub struct Stored {
    /// Partition it is in.
    pub partition: u32,
    /// Place in the partition.
    pub offset: u64,
    /// When it was appended, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Key, where there is one and it is text.
    pub key: Option<String>,
    /// Headers in their order.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// Payload, where it is JSON.
    #[serde(default)]
    pub payload: Value,
    /// Payload in base64, where it is not JSON.
    pub payload_base64: Option<String>,
}

/// One header.
#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    /// Name.
    pub name: String,
    /// Value, where it is text.
    #[serde(default)]
    pub value: String,
}

impl Stored {
    /// The payload, where it is text that is not JSON.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn text(&self) -> Result<String> {
        Ok(String::from_utf8(self.bytes()?)?)
    }

    /// The payload, where it is not JSON.
    ///
    /// # Errors
    ///
    /// When it is.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let encoded = self.payload_base64.as_deref().context("no payload, or one of JSON")?;
        Ok(BASE64_STANDARD.decode(encoded)?)
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
    }
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers by name, which is in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// A header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Status and code of an error, such as `404 E0420`.
    pub fn failure(&self) -> String {
        let error: Value = serde_json::from_str(&self.text).unwrap_or_default();
        format!("{} {}", self.status, error["error"]["code"].as_str().unwrap_or("without a code"))
    }
}

/// A subscription as operators see it.
#[derive(Debug, Clone, Deserialize)]
pub struct Subscription {
    /// Name.
    pub name: String,
    /// Why it is paused, if it is.
    pub paused: Option<String>,
    /// Events not yet finished, per topic.
    pub lag: Vec<Lag>,
    /// Events in durable parking.
    pub parked_events: u64,
    /// Attempts running.
    pub events_in_flight: u64,
    /// Events waiting for their next attempt.
    pub retries_scheduled: u64,
    /// Timers set.
    pub timers_pending: u64,
    /// Outcomes that are decided and not durable.
    pub outcomes_uncommitted: u64,
    /// How the worst of its breakers stands.
    pub breaker: String,
}

/// Events of one topic that are not finished.
#[derive(Debug, Clone, Deserialize)]
pub struct Lag {
    /// The topic.
    pub topic: String,
    /// How many.
    pub events: u64,
}

impl Subscription {
    /// Everything that is still to be done: events, retries, timers.
    pub fn unsettled(&self) -> u64 {
        self.lag.iter().map(|lag| lag.events).sum::<u64>() + self.pending()
    }

    /// What it has begun and not finished: parked events, attempts, retries, timers.
    pub fn pending(&self) -> u64 {
        self.parked_events
            + self.events_in_flight
            + self.retries_scheduled
            + self.timers_pending
            + self.outcomes_uncommitted
    }
}

#[derive(Deserialize)]
struct Page {
    records: Vec<Stored>,
    next_offset: u64,
    end_offset: u64,
}

impl Client {
    /// A client of the host at `address`, which is `IP:PORT`.
    pub fn new(address: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(1)))
            .build()
            .into();
        Self { agent, base: format!("http://{address}") }
    }

    /// Where the host is.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// The same host over connections of its own that may stay silent.
    #[must_use]
    pub fn patient(&self) -> Self {
        let agent = Agent::config_builder().http_status_as_error(false).build().into();
        Self { agent, base: self.base.clone() }
    }

    /// Whether every condition of readiness holds. A host that does not answer is not ready.
    pub fn is_ready(&self) -> bool {
        let answer = self.agent.get(format!("{}/readyz", self.base)).call();
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Publishes events in one request and returns when they are durable.
    ///
    /// # Errors
    ///
    /// When no answer came, which leaves open whether they are; or when they were refused.
    pub fn publish(&self, topic: &str, events: &str) -> Result<()> {
        let answer = self
            .agent
            .post(format!("{}/topics/{topic}", self.base))
            .header("content-type", "application/cloudevents-batch+json")
            .send(events)?;
        text(answer).map(drop)
    }

    /// All records of a topic: a list per partition, by offset.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn topic(&self, topic: &str) -> Result<Vec<Vec<Stored>>> {
        let count = self.ends(topic)?.len();
        let mut records = vec![Vec::new(); count];
        self.each(topic, |record| {
            let of = usize::try_from(record.partition)?;
            records.get_mut(of).context("a partition that is not there")?.push(record);
            Ok(())
        })?;
        Ok(records)
    }

    /// Calls `take` with every record of a topic, partition by partition, by offset.
    ///
    /// # Errors
    ///
    /// When the host does not answer well, or `take` fails.
    pub fn each(&self, topic: &str, mut take: impl FnMut(Stored) -> Result<()>) -> Result<()> {
        let count = self.ends(topic)?.len();
        (0..count).try_for_each(|partition| self.partition(topic, partition, &mut take))
    }

    fn partition(
        &self,
        topic: &str,
        partition: usize,
        take: &mut impl FnMut(Stored) -> Result<()>,
    ) -> Result<()> {
        let mut offset = 0;
        loop {
            let path = format!(
                "/api/v1/topics/{topic}/records?partition={partition}&offset={offset}&limit={PAGE}"
            );
            let page: Page = serde_json::from_str(&self.get(&path)?)
                .with_context(|| format!("read records of {topic}"))?;
            let is_stuck = page.next_offset <= offset;
            page.records.into_iter().try_for_each(&mut *take)?;
            if page.next_offset >= page.end_offset {
                return Ok(());
            }
            if is_stuck {
                bail!("{topic}/{partition} gives nothing at {offset} before its end");
            }
            offset = page.next_offset;
        }
    }

    /// The end offset of each partition of a topic.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn ends(&self, topic: &str) -> Result<Vec<u64>> {
        let described = self.json(&format!("/api/v1/topics/{topic}"))?;
        let partitions = described["partitions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let end = |it: &Value| it["end_offset"].as_u64().context("a partition without end");
        partitions.iter().map(end).collect()
    }

    /// Names of all topics.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn topics(&self) -> Result<Vec<String>> {
        let listed = self.json("/api/v1/topics")?;
        let topics = listed["topics"].as_array().map(Vec::as_slice).unwrap_or_default();
        let name = |it: &Value| it["name"].as_str().map(str::to_owned).context("a nameless topic");
        topics.iter().map(name).collect()
    }

    /// All subscriptions.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>> {
        let mut answer = self.json("/api/v1/subscriptions")?;
        let listed = answer["subscriptions"].take();
        serde_json::from_value(listed).context("read the list of subscriptions")
    }

    /// The answer of a GET, which is JSON.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_str(&self.get(path)?).with_context(|| format!("read the answer of {path}"))
    }

    /// The answer of a GET.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn get(&self, path: &str) -> Result<String> {
        let answer = self.agent.get(format!("{}{path}", self.base)).call()?;
        text(answer).with_context(|| format!("get {path}"))
    }

    /// Status and text of the answer of a GET, whatever it is.
    ///
    /// # Errors
    ///
    /// When none came.
    pub fn answer(&self, path: &str) -> Result<(u16, String)> {
        let mut answer = self.agent.get(format!("{}{path}", self.base)).call()?;
        let status = answer.status().as_u16();
        Ok((status, answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string()?))
    }

    /// A POST without a body.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn post(&self, path: &str) -> Result<()> {
        let answer = self.agent.post(format!("{}{path}", self.base)).send_empty()?;
        text(answer).map(drop).with_context(|| format!("post {path}"))
    }

    /// Posts JSON and returns the answer.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn send(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .send(body.to_string())?;
        let text = text(answer).with_context(|| format!("post {path}"))?;
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }

    /// A DELETE.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn delete(&self, path: &str) -> Result<()> {
        let answer = self.agent.delete(format!("{}{path}", self.base)).call()?;
        text(answer).map(drop).with_context(|| format!("delete {path}"))
    }

    /// Posts text as it is.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn send_text(&self, path: &str, body: &str) -> Result<()> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let answer = request.header("content-type", "text/plain").send(body)?;
        text(answer).map(drop).with_context(|| format!("post {path}"))
    }

    /// Posts text with these headers; the answer, whatever it is.
    ///
    /// # Errors
    ///
    /// When none came.
    pub fn ask(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
        self.ask_bytes(path, headers, body.as_bytes())
    }

    /// The same for bytes of any kind.
    ///
    /// # Errors
    ///
    /// When none came.
    pub fn ask_bytes(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.send(body)?;
        let text = |value: &ureq::http::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let headers = answer.headers().iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value)));
        Ok(Answer {
            status: answer.status().as_u16(),
            headers: headers.collect(),
            text: answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string()?,
        })
    }

    /// The answer of a GET as it comes.
    ///
    /// # Errors
    ///
    /// When the host does not answer well.
    pub fn stream(&self, path: &str) -> Result<impl Read + use<>> {
        let answer = self.agent.get(format!("{}{path}", self.base)).call()?;
        if !answer.status().is_success() {
            return Err(text(answer).map_or_else(|error| error, |text| anyhow!(text)));
        }
        Ok(answer.into_body().into_with_config().limit(u64::MAX).reader())
    }
}

fn text(mut answer: ureq::http::Response<ureq::Body>) -> Result<String> {
    let status = answer.status();
    let text = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_string()?;
    if status.is_success() { Ok(text) } else { Err(anyhow!("{status}: {text}")) }
}
