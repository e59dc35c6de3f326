//! Turns what librdkafka's clients say of themselves into metrics. It asks them nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gristmill_kafka::Statistics;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};
use serde::Deserialize;

use super::Metrics;
use super::catalogue::Catalogue;

/// What clients say of themselves.
#[derive(Debug, Clone)]
pub(super) struct ClientInstruments {
    bytes: IntCounterVec,
    requests: IntCounterVec,
    waiting: IntGaugeVec,
    fetched: IntGaugeVec,
    round_trip: GaugeVec,
    /// What each instance of a client had counted when it last spoke, by the library's name of it:
    /// one that is made anew begins from 0.
    known: Arc<Mutex<BTreeMap<String, Counted>>>,
}

/// What a client counts.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    requests: u64,
    sent: u64,
    received: u64,
}

/// The part of a client's statistics that is shown (source: librdkafka's `STATISTICS.md`).
#[derive(Debug, Deserialize)]
struct Said {
    /// Of the instance, which no other has.
    name: String,
    /// Requests sent, and their bytes.
    tx: u64,
    tx_bytes: u64,
    rx_bytes: u64,
    /// Records waiting to be sent or acknowledged.
    msg_cnt: i64,
    brokers: BTreeMap<String, Broker>,
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    nodeid: i64,
    source: String,
    /// None before the first answer.
    #[serde(default)]
    rtt: Option<Window>,
}

#[derive(Debug, Deserialize)]
struct Window {
    /// Microseconds.
    p99: i64,
    cnt: i64,
}

#[derive(Debug, Deserialize)]
struct Topic {
    partitions: BTreeMap<String, Partition>,
}

#[derive(Debug, Deserialize)]
struct Partition {
    /// Bytes fetched that nobody took yet.
    fetchq_size: i64,
}

impl ClientInstruments {
    pub(super) fn new(made: &mut Catalogue) -> Self {
        Self {
            bytes: made.counters(
                "gristmill_kafka_client_bytes_total",
                &["client", "direction"],
                "Bytes between a client and its brokers: sent and received",
            ),
            requests: made.counters(
                "gristmill_kafka_client_requests_total",
                &["client"],
                "Requests a client sent to its brokers",
            ),
            waiting: made.gauges(
                "gristmill_kafka_client_waiting_records",
                &["client"],
                "Records a client has not sent yet, or has no answer for",
            ),
            fetched: made.gauges(
                "gristmill_kafka_client_fetched_bytes",
                &["client"],
                "Bytes a client has fetched ahead",
            ),
            round_trip: made.float_gauges(
                "gristmill_kafka_round_trip_seconds",
                &["client", "broker"],
                "Time from a request to its answer: p99 of the last interval of statistics",
            ),
            known: Arc::default(),
        }
    }

    fn note(&self, client: &str, said: &Said) {
        let now = Counted { requests: said.tx, sent: said.tx_bytes, received: said.rx_bytes };
        // Every change is whole.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.insert(said.name.clone(), now).unwrap_or_default();
        drop(known);
        let sent = now.sent.saturating_sub(before.sent);
        let received = now.received.saturating_sub(before.received);
        self.bytes.with_label_values(&[client, "sent"]).inc_by(sent);
        self.bytes.with_label_values(&[client, "received"]).inc_by(received);
        let requests = now.requests.saturating_sub(before.requests);
        self.requests.with_label_values(&[client]).inc_by(requests);
        self.waiting.with_label_values(&[client]).set(said.msg_cnt);
        let partitions = said.topics.values().flat_map(|topic| topic.partitions.values());
        let fetched = partitions.map(|partition| partition.fetchq_size).sum();
        self.fetched.with_label_values(&[client]).set(fetched);
        // A broker is there a second time as a group's coordinator, and once by the name it was
        // first asked under.
        let learned = said.brokers.values().filter(|broker| broker.source == "learned");
        for Broker { nodeid, rtt, .. } in learned {
            let Some(window) = rtt.as_ref().filter(|window| window.cnt > 0) else { continue };
            let micros = u32::try_from(window.p99).unwrap_or(u32::MAX);
            let gauge = self.round_trip.with_label_values(&[client, &nodeid.to_string()]);
            gauge.set(f64::from(micros) / 1e6);
        }
    }
}

impl Metrics {
    /// Takes the statistics of every client of a cluster.
    pub(crate) fn client_statistics(&self) -> Statistics {
        let instruments = self.clients.clone();
        Arc::new(move |client, text| match serde_json::from_slice(text) {
            Ok(said) => instruments.note(client, &said),
            Err(error) => {
                tracing::debug!(target: "gristmill::kafka", client, %error,
                    "a client's statistics are not as they should be");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = r#"{"name":"x","tx":12,"tx_bytes":3400,"rx":11,"rx_bytes":560,"msg_cnt":7,
        "brokers":{
            "a:9092/1":{"nodeid":1,"source":"learned","rtt":{"p99":1500,"cnt":4}},
            "a:9092/bootstrap":{"nodeid":-1,"source":"configured","rtt":{"p99":9,"cnt":1}},
            "b:9092/2":{"nodeid":2,"source":"learned","rtt":{"p99":0,"cnt":0}}},
        "topics":{"orders":{"partitions":{"0":{"fetchq_size":100},"-1":{"fetchq_size":0}}}}}"#;

    #[test]
    fn statistics_become_metrics() {
        let metrics = Metrics::new();
        let take = metrics.client_statistics();
        take("mill-orders", SAID.as_bytes());
        take("mill-orders", SAID.as_bytes());
        take("mill-orders", b"{}");
        take("mill-orders", SAID.replace("\"x\"", "\"made anew\"").as_bytes());
        let text = metrics.render();
        for line in [
            r#"gristmill_kafka_client_bytes_total{client="mill-orders",direction="sent"} 6800"#,
            r#"gristmill_kafka_client_bytes_total{client="mill-orders",direction="received"} 1120"#,
            r#"gristmill_kafka_client_requests_total{client="mill-orders"} 24"#,
            r#"gristmill_kafka_client_waiting_records{client="mill-orders"} 7"#,
            r#"gristmill_kafka_client_fetched_bytes{client="mill-orders"} 100"#,
            r#"gristmill_kafka_round_trip_seconds{broker="1",client="mill-orders"} 0.0015"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains(r#"broker="2""#) && !text.contains(r#"broker="-1""#), "{text}");
    }
}
