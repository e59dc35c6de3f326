//! Looks through all topics, a page of a partition at a time. It keeps what it is asked for, and
//! nothing else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::Found;
use crate::answer::{list, number, text};
use crate::problem::Problem;
use crate::records::Page;
use crate::remote::{Client, Request, segment};

/// Events of one page.
const PAGE_EVENTS: u32 = 1_000;

/// Where to look.
#[derive(Debug)]
pub(super) struct Look<'a> {
    client: &'a Client,
    from: &'a str,
    places: Vec<Place>,
}

/// One partition as it was when the look began.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    topic: String,
    partition: u64,
    start: u64,
    end: u64,
}

impl<'a> Look<'a> {
    /// A look at these topics; at all where none is named.
    pub(super) fn new(
        client: &'a Client,
        topics: &[String],
        from: &'a str,
    ) -> Result<Self, Problem> {
        let mut places = Vec::new();
        if topics.is_empty() {
            let answer = client.get(Request::to("/api/v1/topics"))?;
            places.extend(list(&answer, "topics").iter().flat_map(of_topic));
        }
        for topic in topics {
            let path = format!("/api/v1/topics/{}", segment(topic));
            places.extend(of_topic(&client.get(Request::to(path))?));
        }
        Ok(Self { client, from, places })
    }

    /// Everything that is wanted, topic by topic.
    pub(super) fn all(&self, is_wanted: impl Fn(&Found) -> bool) -> Result<Vec<Found>, Problem> {
        let bar = self.bar();
        let mut all = Vec::new();
        for place in &self.places {
            self.partition(place, &bar, |found| {
                if is_wanted(&found) {
                    all.push(found);
                }
            })?;
        }
        bar.finish_and_clear();
        Ok(all)
    }

    fn partition(
        &self,
        place: &Place,
        bar: &ProgressBar,
        mut take: impl FnMut(Found),
    ) -> Result<(), Problem> {
        let Place { topic, partition, start, end } = place;
        let mut at = ("from", self.from.to_owned());
        let mut next = *start;
        while next < *end {
            let page = Page::ask(self.client, (topic, *partition), PAGE_EVENTS, at)?;
            page.events(*end).for_each(|event| take(Found::of(&event)));
            if page.records.is_empty() {
                break;
            }
            bar.inc(page.next_offset.saturating_sub(next));
            next = page.next_offset;
            at = ("offset", next.to_string());
        }
        Ok(())
    }

    fn bar(&self) -> ProgressBar {
        let events = self.places.iter().map(|it| it.end.saturating_sub(it.start)).sum();
        let bar = ProgressBar::with_draw_target(Some(events), ProgressDrawTarget::stderr());
        match ProgressStyle::with_template("{spinner} {pos} of {len} events, {elapsed}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

/// The partitions of a topic as a host describes it.
fn of_topic(topic: &Value) -> Vec<Place> {
    let name = text(topic, "name");
    let partitions = list(topic, "partitions").iter().filter_map(|partition| {
        Some(Place {
            topic: name.to_owned(),
            partition: number(partition, "partition")?,
            start: number(partition, "start_offset")?,
            end: number(partition, "end_offset")?,
        })
    });
    partitions.collect()
}
