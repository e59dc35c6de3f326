//! Says in the words of the semantic conventions for messaging what the instruments say already,
//! for whoever compares systems by them. It counts nothing.

use prometheus::proto::{LabelPair, Metric, MetricFamily};

/// An instrument under another name.
struct Alias {
    of: &'static str,
    name: &'static str,
    help: &'static str,
    /// Labels by the attributes that they are.
    labels: &'static [(&'static str, &'static str)],
    /// Attributes with values that are always the same.
    fixed: &'static [(&'static str, &'static str)],
}

const TOPIC: (&str, &str) = ("topic", "messaging.destination.name");
const SUBSCRIPTION: (&str, &str) = ("subscription", "messaging.destination.subscription.name");
const OPERATION: &str = "messaging.operation.name";

const ALIASES: [Alias; 4] = [
    Alias {
        of: "gristmill_events_consumed_total",
        name: "messaging.client.consumed.messages",
        help: "Events read, once per delivery",
        labels: &[TOPIC, SUBSCRIPTION],
        fixed: &[(OPERATION, "receive")],
    },
    Alias {
        of: "kafka_events_published_total",
        name: "messaging.client.sent.messages",
        help: "Events published",
        labels: &[TOPIC],
        fixed: &[(OPERATION, "send")],
    },
    Alias {
        of: "gristmill_process_duration_seconds",
        name: "messaging.process.duration",
        help: "Time of one attempt, waits included",
        labels: &[SUBSCRIPTION],
        fixed: &[(OPERATION, "process")],
    },
    Alias {
        of: "gristmill_checkpoint_duration_seconds",
        name: "messaging.client.operation.duration",
        help: "Time from handing a checkpoint over to its being durable",
        labels: &[],
        fixed: &[(OPERATION, "commit"), ("messaging.operation.type", "settle")],
    },
];

/// What `families` say, in the conventions' words; `system` is theirs for where topics are.
pub(super) fn messaging(families: &[MetricFamily], system: &str) -> Vec<MetricFamily> {
    let known = ALIASES.iter().filter_map(|alias| {
        let family = families.iter().find(|family| family.name() == alias.of)?;
        let mut told = family.clone();
        told.set_name(alias.name.to_owned());
        told.set_help(alias.help.to_owned());
        told.set_metric(merged(family.get_metric().iter().map(|it| alias.metric(it, system))));
        Some(told)
    });
    known.collect()
}

impl Alias {
    fn metric(&self, metric: &Metric, system: &str) -> Metric {
        let mut labels = vec![pair("messaging.system", system)];
        labels.extend(self.fixed.iter().map(|(name, value)| pair(name, value)));
        for (label, attribute) in self.labels {
            let known = metric.get_label().iter().find(|it| it.name() == *label);
            labels.extend(known.map(|it| pair(attribute, it.value())));
        }
        let mut metric = metric.clone();
        metric.set_label(labels);
        metric
    }
}

/// Counters that came to have the same labels are one.
fn merged(metrics: impl Iterator<Item = Metric>) -> Vec<Metric> {
    let mut merged: Vec<Metric> = Vec::new();
    for metric in metrics {
        match merged.iter_mut().find(|other| other.get_label() == metric.get_label()) {
            Some(other) => {
                let mut sum = other.get_counter().clone();
                sum.set_value(sum.get_value() + metric.get_counter().get_value());
                other.set_counter(sum);
            }
            None => merged.push(metric),
        }
    }
    merged
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    #[test]
    fn counters_are_told_in_the_words_of_the_conventions_and_added_up() {
        let metrics = Metrics::new();
        metrics.published("orders", "billing", 3);
        metrics.published("orders", "shipping", 4);
        metrics.published("refunds", "billing", 5);
        let told = metrics.told("kafka");
        assert!(told.iter().any(|it| it.name() == "kafka_events_published_total"));
        let sent = told.iter().find(|it| it.name() == "messaging.client.sent.messages").unwrap();
        let rows: Vec<_> = sent
            .get_metric()
            .iter()
            .map(|metric| {
                let labels: Vec<_> = metric
                    .get_label()
                    .iter()
                    .map(|label| format!("{}={}", label.name(), label.value()))
                    .collect();
                format!("{} {}", labels.join(" "), metric.get_counter().get_value())
            })
            .collect();
        assert_eq!(
            rows,
            [
                "messaging.system=kafka messaging.operation.name=send \
                 messaging.destination.name=orders 7",
                "messaging.system=kafka messaging.operation.name=send \
                 messaging.destination.name=refunds 5",
            ]
        );
    }
}
