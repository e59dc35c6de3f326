//! Makes instruments and remembers what was made, so that `docs/metrics.md` can be compared with
//! what a host really exports. It measures nothing.

use prometheus::core::Collector;
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    Result as Made,
};

/// Makes instruments in one registry.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) registry: Registry,
    pub(super) entries: Vec<Entry>,
}

/// One instrument, as the documentation has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

type Labels = &'static [&'static str];

impl Catalogue {
    pub(super) fn counters(
        &mut self,
        name: &'static str,
        labels: Labels,
        help: &'static str,
    ) -> IntCounterVec {
        self.add("counter", name, labels, help);
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// Counters of seconds.
    pub(super) fn durations(
        &mut self,
        name: &'static str,
        labels: Labels,
        help: &'static str,
    ) -> CounterVec {
        self.add("counter", name, labels, help);
        self.register(CounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauges(
        &mut self,
        name: &'static str,
        labels: Labels,
        help: &'static str,
    ) -> IntGaugeVec {
        self.add("gauge", name, labels, help);
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// Gauges of seconds.
    pub(super) fn float_gauges(
        &mut self,
        name: &'static str,
        labels: Labels,
        help: &'static str,
    ) -> GaugeVec {
        self.add("gauge", name, labels, help);
        self.register(GaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn histograms(
        &mut self,
        name: &'static str,
        labels: Labels,
        help: &'static str,
        buckets: &[f64],
    ) -> HistogramVec {
        self.add("histogram", name, labels, help);
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, labels))
    }

    pub(super) fn add(
        &mut self,
        kind: &'static str,
        name: &'static str,
        labels: Labels,
        help: &'static str,
    ) {
        self.entries.push(Entry { name, kind, labels, help });
    }

    #[expect(clippy::expect_used, reason = "names and labels are constants; a test makes them all")]
    pub(super) fn register<C: Collector + Clone + 'static>(&self, made: Made<C>) -> C {
        let instrument = made.expect("name and labels of an instrument are legal");
        self.registry
            .register(Box::new(instrument.clone()))
            .expect("each instrument is registered once");
        instrument
    }
}
