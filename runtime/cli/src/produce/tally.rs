//! Counts what became of each event and tells it: the first places as they come, the rest as
//! figures, every failure with its line.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::answer::{number, text};
use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;
use crate::remote::Failure;

/// Places told one by one to humans.
const SHOWN: u64 = 10;
/// Places, and failures, told one by one in JSON.
const LISTED: usize = 1_000;
/// Failures told one by one to humans.
const FAILURES_SHOWN: u64 = 20;

/// What became of the events so far.
#[derive(Debug)]
pub(super) struct Tally {
    output: Output,
    taken: u64,
    failed: u64,
    partitions: BTreeMap<u64, Range>,
    places: Vec<Value>,
    failures: Vec<Value>,
}

#[derive(Debug, Clone, Copy)]
struct Range {
    count: u64,
    first: u64,
    last: u64,
}

impl Tally {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            taken: 0,
            failed: 0,
            partitions: BTreeMap::new(),
            places: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Events taken so far.
    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    /// An event is durable at the place the host says.
    pub(super) fn placed(&mut self, place: &Value) {
        let partition = number(place, "partition").unwrap_or_default();
        let offset = number(place, "offset").unwrap_or_default();
        self.taken = self.taken.saturating_add(1);
        let range = self.partitions.entry(partition);
        let range = range.or_insert(Range { count: 0, first: offset, last: offset });
        range.count = range.count.saturating_add(1);
        range.last = offset;
        if self.places.len() < LISTED {
            self.places.push(place.clone());
        }
        if self.taken <= SHOWN {
            self.output.line(format!("{partition}:{offset}  {}", text(place, "id")));
        }
    }

    /// The host, or the line itself, says no.
    pub(super) fn failed(&mut self, line: u64, code: &str, message: &str) {
        self.failed = self.failed.saturating_add(1);
        if self.failures.len() < LISTED {
            self.failures.push(json!({ "line": line, "code": code, "message": message }));
        }
        if self.failed <= FAILURES_SHOWN && !self.output.is_json() {
            self.output.note(format!("line {line}: [{code}] {message}"));
        }
    }

    /// What ended the sending at these lines, in words that say what became of them.
    pub(super) fn stopped(&self, first: u64, last: u64, failure: Failure) -> Problem {
        let lines = if first == last {
            format!("line {first}")
        } else {
            format!("lines {first} to {last}")
        };
        match failure {
            Failure::Refused(refusal) => {
                let mut problem = Problem::from(refusal);
                problem.prefix(&lines);
                problem
            }
            // Nothing was sent to a host that is not there.
            Failure::Silent(problem) if problem.code == "E0558" && self.taken == 0 => problem,
            Failure::Silent(mut problem) => {
                problem.prefix(&format!("{lines}, which may or may not have been taken"));
                problem
            }
        }
    }

    /// Tells the whole.
    pub(super) fn finish(self, topic: &str, stopped: Option<Problem>) -> anyhow::Result<Exit> {
        let refused = self.refused();
        if self.output.is_json() {
            let exit = stopped.as_ref().or(refused.as_ref()).map_or(Exit::Done, |it| it.exit);
            self.output.json(&self.answer(topic, stopped.as_ref()));
            return Ok(exit);
        }
        let parts = self.partitions.iter().map(|(partition, range)| {
            format!("partition {partition}: {} ({}..{})", range.count, range.first, range.last)
        });
        if self.taken > SHOWN {
            let parts: Vec<String> = parts.collect();
            self.output.line(format!("{} events to {topic}; {}", self.taken, parts.join(", ")));
        }
        match stopped.or(refused) {
            Some(problem) => Err(problem.into()),
            None => Ok(Exit::Done),
        }
    }

    fn refused(&self) -> Option<Problem> {
        let all = self.taken.saturating_add(self.failed);
        (self.failed > 0).then(|| {
            Problem::failed("E0561", format!("{} of {all} events were not taken", self.failed))
                .hint("each is named above; the others are published")
        })
    }

    fn answer(&self, topic: &str, stopped: Option<&Problem>) -> Value {
        let partitions: Vec<Value> = self
            .partitions
            .iter()
            .map(|(partition, Range { count, first, last })| {
                json!({ "partition": partition, "events": count, "first": first, "last": last })
            })
            .collect();
        let stopped = stopped
            .map(|it| json!({ "code": it.code, "message": it.to_string(), "hint": it.hint }));
        json!({
            "topic": topic,
            "events": self.taken,
            "refused": self.failed,
            "partitions": partitions,
            "places": self.places,
            "failures": self.failures,
            "stopped": stopped,
        })
    }
}
