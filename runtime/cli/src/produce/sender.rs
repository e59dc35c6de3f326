//! Sends events in order: CloudEvents in batches, others one by one. A batch that is refused is
//! sent again event by event, so that the host says which one is wrong.

use serde_json::Value;

use super::line::{Entry, Form};
use super::tally::Tally;
use crate::answer::list;
use crate::problem::Problem;
use crate::remote::{Client, Failure, Refusal, Request, segment};

/// Events of one batch: one write of the host.
const BATCH_EVENTS: usize = 500;
/// Bytes of one batch, below what a host takes unless it is told otherwise.
const BATCH_BYTES: usize = 1_048_576;

/// Sends to one topic.
pub(super) struct Sender<'a> {
    client: &'a Client,
    path: String,
    key: Option<&'a str>,
    headers: Vec<(String, String)>,
    batch: Vec<(u64, String)>,
    batch_bytes: usize,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        client: &'a Client,
        topic: &str,
        key: Option<&'a str>,
        headers: Vec<(String, String)>,
    ) -> Self {
        let path = format!("/topics/{}", segment(topic));
        Self { client, path, key, headers, batch: Vec::new(), batch_bytes: 0 }
    }

    /// Sends an event, or keeps it for a batch.
    ///
    /// # Errors
    ///
    /// What keeps this event and all further ones from being sent.
    pub(super) fn take(&mut self, entry: Entry, tally: &mut Tally) -> Result<(), Problem> {
        match entry.form {
            Form::CloudEvent(text) => {
                let bytes = self.batch_bytes.saturating_add(text.len());
                if bytes > BATCH_BYTES && !self.batch.is_empty() {
                    self.flush(tally)?;
                }
                self.batch_bytes = self.batch_bytes.saturating_add(text.len());
                self.batch.push((entry.line, text));
                if self.batch.len() >= BATCH_EVENTS { self.flush(tally) } else { Ok(()) }
            }
            Form::Plain { data, media, key } => {
                self.flush(tally)?;
                let key = key.as_deref().or(self.key);
                let sent = self.client.send(self.request(media, key), &data);
                settle(entry.line, sent, tally)
            }
        }
    }

    /// Sends what is kept.
    ///
    /// # Errors
    ///
    /// As [`Self::take`].
    pub(super) fn flush(&mut self, tally: &mut Tally) -> Result<(), Problem> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let Some((first, _)) = batch.first() else { return Ok(()) };
        let last = batch.last().map_or(*first, |(line, _)| *line);
        match self.send(batch.iter().map(|(_, text)| text.as_str())) {
            Ok(answer) => {
                for placed in list(&answer, "events") {
                    tally.placed(placed);
                }
                Ok(())
            }
            Err(Failure::Refused(refusal)) if is_of_an_event(&refusal) => {
                for (line, text) in batch {
                    let sent = self.send(std::iter::once(text.as_str()));
                    let sent = sent.map(|mut answer| answer["events"][0].take());
                    settle(line, sent, tally)?;
                }
                Ok(())
            }
            Err(failure) => Err(tally.stopped(*first, last, failure)),
        }
    }

    fn send<'b>(&self, events: impl Iterator<Item = &'b str>) -> Result<Value, Failure> {
        let body = format!("[{}]", events.collect::<Vec<_>>().join(","));
        let request = self.request("application/cloudevents-batch+json", self.key);
        self.client.send(request, body.as_bytes())
    }

    fn request(&self, media: &str, key: Option<&str>) -> Request<'static> {
        let mut request = Request::to(&self.path);
        request.headers.clone_from(&self.headers);
        request.headers.push(("content-type".to_owned(), media.to_owned()));
        request.query.extend(key.map(|key| ("key", key.to_owned())));
        request
    }
}

/// Counts one event; a refusal that is not of the event itself ends everything.
fn settle(line: u64, sent: Result<Value, Failure>, tally: &mut Tally) -> Result<(), Problem> {
    match sent {
        Ok(placed) => {
            tally.placed(&placed);
            Ok(())
        }
        Err(Failure::Refused(refusal)) if is_of_an_event(&refusal) => {
            tally.failed(line, &refusal.code, &refusal.message);
            Ok(())
        }
        Err(failure) => Err(tally.stopped(line, line, failure)),
    }
}

/// Whether the next event may fare better.
const fn is_of_an_event(refusal: &Refusal) -> bool {
    matches!(refusal.status, 400 | 413 | 415)
}
