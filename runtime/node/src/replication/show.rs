//! Shows how a replication is: to operators, and in metrics. It decides nothing.

use super::flow::Flow;
use super::look::{There, blank};
use super::report::{State, Told, TopicReport, TopicState, Waiting};
use super::runner::Runner;

impl Runner {
    /// Shows how everything is.
    pub(super) fn show(&self) {
        let mut report = blank((&self.name, &self.config), self.state);
        report.error = self.error.as_ref().map(Told::from);
        report.slots_held = self.slots.count();
        report.slots = self.progress.slots();
        report.topics = self.topics.keys().map(|topic| self.shown(topic)).collect();
        let metrics = &self.shared.metrics;
        metrics.set_replication_up(&self.name, self.state.0 == State::Runs);
        let behind = self.topics.keys().map(|topic| (topic.as_str(), self.behind(topic)));
        metrics.set_replication_lags(&self.name, &behind.collect::<Vec<_>>());
        self.view.show(report);
    }

    fn flows_of(&self, topic: &str) -> impl Iterator<Item = (u32, &Flow)> {
        let of = self.flows.iter().filter(move |(place, _)| place.topic == topic);
        of.map(|(place, flow)| (place.partition, flow))
    }

    fn shown(&self, topic: &str) -> TopicReport {
        let here = self.topics.get(topic);
        let error = here.and_then(|it| match &it.there {
            There::Refused(error, _) => Some(Told::from(error)),
            There::Unknown | There::Ready(_) => None,
        });
        let waiting: Vec<Waiting> = self
            .flows_of(topic)
            .filter(|(_, flow)| flow.skip().is_none())
            .filter_map(|(partition, flow)| {
                let refused = flow.refused()?;
                Some(Waiting {
                    partition,
                    offset: refused.offset,
                    error: Told::from(&refused.error),
                })
            })
            .collect();
        let state = match (&error, waiting.is_empty()) {
            (Some(_), _) => TopicState::Refused,
            (None, true) => TopicState::Runs,
            (None, false) => TopicState::Waits,
        };
        let lags: Option<Vec<u64>> = self.flows_of(topic).map(|(_, flow)| flow.lag()).collect();
        let oldest = self.flows_of(topic).filter_map(|(_, flow)| flow.oldest()).min();
        TopicReport {
            topic: topic.to_owned(),
            to: here.map(|it| it.to.to_string()).unwrap_or_default(),
            state,
            lag: lags.map(|lags| lags.into_iter().fold(0, u64::saturating_add)),
            lag_seconds: oldest.map(|at| self.age(at)),
            error,
            waiting,
        }
    }

    /// How far the partitions of a topic are behind that this host tells of: in records, and in
    /// seconds.
    fn behind(&self, topic: &str) -> (u64, f64) {
        let own = || self.flows_of(topic).filter(|(_, flow)| self.slots.tells_of(flow.slot));
        let records = own().filter_map(|(_, flow)| flow.lag()).fold(0, u64::saturating_add);
        let oldest = own().filter_map(|(_, flow)| flow.oldest()).min();
        (records, oldest.map_or(0.0, |at| self.age(at)))
    }

    /// Age in seconds of a record with this timestamp.
    fn age(&self, at_ms: u64) -> f64 {
        let age = self.shared.clock.now().0.saturating_sub(at_ms);
        std::time::Duration::from_millis(age).as_secs_f64()
    }
}
