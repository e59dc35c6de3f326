//! Brings a saga's events and timers to its record: finds the record, lets [`Flow`] decide, keeps
//! what it became. It decides nothing about steps.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::Saga;
use super::answer::{ID, SAGA};
use super::flow::Flow;
use super::record::{Deed, Part, Record, Stage};
use crate::{Event, Failure, Host, Outcome, Timer, reject};

impl<D: Serialize + DeserializeOwned> Saga<D> {
    /// Begins the saga `id`, in the lane of `event`. Nothing happens when it has begun already.
    ///
    /// # Errors
    ///
    /// Rejects an event without key (`saga-key`), a saga without steps (`saga-steps`), and what
    /// has no JSON form.
    pub fn start(&self, id: &str, data: D, event: &Event, host: &mut Host) -> Outcome {
        if event.key.is_none() {
            return Err(reject("saga-key", "the event that starts a saga has no key"));
        }
        if host.state().get(&self.place(id))?.is_some() {
            return Ok(());
        }
        let Some(first) = self.steps.first() else {
            return Err(reject("saga-steps", format!("saga {} has no steps", self.name)));
        };
        let record = Record {
            saga: self.name.to_owned(),
            id: id.to_owned(),
            stage: Stage::Running,
            step: first.name.to_owned(),
            part: Part::Do,
            attempt: 0,
            due: None,
            is_renewed: false,
            failure: None,
            replies: self.replies.to_owned(),
            data: Value::Null,
            history: Vec::new(),
            ignored: 0,
        };
        let key = event.key.as_deref().unwrap_or_default();
        let mut flow = Flow { saga: self, record, data, now: event.timestamp, key, host };
        flow.note(Deed::Started, None, (Some(&event.id), None));
        flow.ask()?;
        flow.keep()
    }

    /// Handles what is meant for this saga: answers of its participants, and operators' words.
    /// False when the event is something else.
    ///
    /// # Errors
    ///
    /// Rejects an answer for a saga that is not there (`saga-unknown`), was kept in another form
    /// (`saga-data`), stands at a step that its definition does not have (`saga-step`), and an
    /// answer that says neither done nor refused (`saga-verb`).
    pub fn handle(&self, event: &Event, host: &mut Host) -> Result<bool, Failure> {
        if event.header_text(SAGA) != Some(self.name) {
            return Ok(false);
        }
        let id = event.header_text(ID).unwrap_or_default();
        let Some((record, data)) = self.find(id, host)? else {
            return Err(reject("saga-unknown", format!("no saga {} {id} is kept", self.name)));
        };
        let key = event.key.as_deref().unwrap_or_default();
        let mut flow = Flow { saga: self, record, data, now: event.timestamp, key, host };
        flow.hear(event)?;
        flow.keep()?;
        Ok(true)
    }

    /// Handles a timer of this saga; one of another is left alone.
    ///
    /// # Errors
    ///
    /// As [`Saga::handle`].
    pub fn on_timer(&self, timer: &Timer, host: &mut Host) -> Outcome {
        let begins = self.place("");
        let Some(id) = timer.name.strip_prefix(&begins) else { return Ok(()) };
        let Some((record, data)) = self.find(id, host)? else { return Ok(()) };
        if record.due != Some(timer.due) {
            return Ok(());
        }
        let now = timer.due;
        let mut flow = Flow { saga: self, record, data, now, key: &timer.key, host };
        flow.check()
    }

    /// Where a saga is kept, and what its timer is called.
    pub(super) fn place(&self, id: &str) -> String {
        format!("saga/{}/{id}", self.name)
    }

    fn find(&self, id: &str, host: &mut Host) -> Result<Option<(Record, D)>, Failure> {
        let record: Option<Record> = host.state().get_json(&self.place(id))?;
        let Some(record) = record else { return Ok(None) };
        let data = serde_json::from_value(record.data.clone());
        let data = data.map_err(|error| reject("saga-data", error))?;
        Ok(Some((record, data)))
    }
}
