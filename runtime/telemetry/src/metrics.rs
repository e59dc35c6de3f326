//! Turns the instruments' families into what OTLP sends: cumulative since the start, under the
//! names and with the labels they have. It measures nothing.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use prometheus::proto::{self, MetricFamily, MetricType};
use prost::Message;

use crate::proto::{Teller, text};

/// When what is told began, and when it was looked at, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) began_ns: u64,
    pub(crate) now_ns: u64,
}

impl Teller {
    /// The request that tells of metrics.
    pub(crate) fn metrics(&self, families: &[MetricFamily], window: Window) -> Vec<u8> {
        let metrics = families.iter().filter_map(|family| metric(family, window)).collect();
        let scope = Some(self.scope.clone());
        let scope_metrics = vec![ScopeMetrics { scope, metrics, ..ScopeMetrics::default() }];
        let resource = Some(self.resource.clone());
        let of_host = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
        ExportMetricsServiceRequest { resource_metrics: vec![of_host] }.encode_to_vec()
    }
}

/// A family; none of a kind that the host has not.
fn metric(family: &MetricFamily, window: Window) -> Option<Metric> {
    let temporality = AggregationTemporality::Cumulative.into();
    let points = family.get_metric();
    let numbers = |of: fn(&proto::Metric) -> f64| {
        points.iter().map(|point| number(point, of(point), window)).collect()
    };
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: numbers(|point| point.get_counter().get_value()),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        MetricType::GAUGE => {
            Data::Gauge(Gauge { data_points: numbers(|point| point.get_gauge().get_value()) })
        }
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: points.iter().map(|point| histogram(point, window)).collect(),
            aggregation_temporality: temporality,
        }),
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit(family.name()).to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn number(metric: &proto::Metric, value: f64, window: Window) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(metric),
        start_time_unix_nano: window.began_ns,
        time_unix_nano: window.now_ns,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Buckets are cumulative in the instruments, and each for itself in OTLP, with one more for what
/// is beyond the last bound.
fn histogram(metric: &proto::Metric, window: Window) -> HistogramDataPoint {
    let histogram = metric.get_histogram();
    let finite = || histogram.get_bucket().iter().filter(|it| it.upper_bound().is_finite());
    let mut below = 0;
    let mut counts: Vec<u64> = finite()
        .map(|bucket| {
            let upto = bucket.cumulative_count();
            upto.saturating_sub(std::mem::replace(&mut below, upto))
        })
        .collect();
    let count = histogram.get_sample_count();
    counts.push(count.saturating_sub(below));
    HistogramDataPoint {
        attributes: attributes(metric),
        start_time_unix_nano: window.began_ns,
        time_unix_nano: window.now_ns,
        count,
        sum: Some(histogram.get_sample_sum()),
        bucket_counts: counts,
        explicit_bounds: finite().map(proto::Bucket::upper_bound).collect(),
        ..HistogramDataPoint::default()
    }
}

fn attributes(metric: &proto::Metric) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    metric.get_label().iter().map(|it| text(it.name(), it.value().to_owned())).collect()
}

/// What a family is measured in, which its name says (source: UCUM, as the semantic conventions
/// use it).
fn unit(name: &str) -> &'static str {
    let base = name.strip_suffix("_total").unwrap_or(name);
    if base.ends_with("_seconds") || base.ends_with(".duration") {
        "s"
    } else if base.ends_with("_bytes") {
        "By"
    } else if base.ends_with(".messages") {
        "{message}"
    } else {
        "1"
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{
        Histogram as Measured, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry,
    };

    use super::*;

    fn told(registry: &Registry) -> Vec<Metric> {
        let window = Window { began_ns: 3, now_ns: 8 };
        let sent = Teller::new(&[], "1").metrics(&registry.gather(), window);
        let mut read = ExportMetricsServiceRequest::decode(&*sent).unwrap();
        read.resource_metrics.remove(0).scope_metrics.remove(0).metrics
    }

    #[test]
    fn every_kind_of_instrument_is_told_as_its_own_kind() {
        let registry = Registry::new();
        let counter = IntCounterVec::new(Opts::new("a_total", "help"), &["topic"]).unwrap();
        counter.with_label_values(&["t"]).inc_by(4);
        registry.register(Box::new(counter)).unwrap();
        let gauge = IntGauge::new("b_bytes", "help").unwrap();
        gauge.set(-7);
        registry.register(Box::new(gauge)).unwrap();
        let options = HistogramOpts::new("c_seconds", "help").buckets(vec![1.0, 2.0]);
        let histogram = Measured::with_opts(options).unwrap();
        for value in [0.5, 1.5, 1.6, 9.0] {
            histogram.observe(value);
        }
        registry.register(Box::new(histogram)).unwrap();
        let [sum, gauge, histogram] = told(&registry).try_into().unwrap();
        assert_eq!((sum.name.as_str(), sum.unit.as_str()), ("a_total", "1"));
        let Some(Data::Sum(Sum { data_points, aggregation_temporality: 2, is_monotonic: true })) =
            sum.data
        else {
            panic!("a cumulative counter");
        };
        let point = &data_points[0];
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (3, 8));
        assert_eq!(point.value, Some(number_data_point::Value::AsDouble(4.0)));
        assert_eq!(point.attributes, [text("topic", "t".to_owned())]);
        assert_eq!(gauge.unit, "By");
        let Some(Data::Gauge(Gauge { data_points })) = gauge.data else { panic!("a gauge") };
        assert_eq!(data_points[0].value, Some(number_data_point::Value::AsDouble(-7.0)));
        assert_eq!(histogram.unit, "s");
        let Some(Data::Histogram(Histogram { data_points, .. })) = histogram.data else {
            panic!("a histogram");
        };
        let point = &data_points[0];
        assert_eq!((point.count, point.sum), (4, Some(12.6)));
        assert_eq!(point.explicit_bounds, [1.0, 2.0]);
        assert_eq!(point.bucket_counts, [1, 2, 1]);
    }

    #[test]
    fn a_name_says_what_is_measured_in() {
        for (name, expected) in [
            ("messaging.process.duration", "s"),
            ("messaging.client.sent.messages", "{message}"),
            ("process_cpu_seconds_total", "s"),
            ("gristmill_events_consumed_total", "1"),
        ] {
            assert_eq!(unit(name), expected, "{name}");
        }
    }
}
