//! Looks through topics from one end to the other, a page of a partition at a time. It keeps
//! nothing.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::answer::{list, number, text};
use crate::event::Event;
use crate::problem::Problem;
use crate::records::Page;
use crate::remote::{Client, Request, segment};

/// Events of one page.
const PAGE_EVENTS: u32 = 1_000;

/// Where to look.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    client: &'a Client,
    from: &'a str,
    /// Whether payloads are wanted byte for byte.
    is_exact: bool,
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
    pub(crate) fn new(
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
        Ok(Self { client, from, is_exact: false, places })
    }

    /// The same, with payloads byte for byte.
    pub(crate) fn exact(mut self) -> Self {
        self.is_exact = true;
        self
    }

    /// Gives every event to `take`, partition by partition in the order of offsets.
    ///
    /// # Errors
    ///
    /// The first of `take`; or when the host does not answer.
    pub(crate) fn each(
        &self,
        mut take: impl FnMut(Event) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let bar = self.bar();
        for place in &self.places {
            self.partition(place, &bar, &mut take)?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn partition(
        &self,
        place: &Place,
        bar: &ProgressBar,
        take: &mut impl FnMut(Event) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let Place { topic, partition, start, end } = place;
        let mut at = ("from", self.from.to_owned());
        let mut next = *start;
        while next < *end {
            let page =
                Page::ask_for(self.client, (topic, *partition), PAGE_EVENTS, (at, self.is_exact))?;
            page.events(*end).try_for_each(&mut *take)?;
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
