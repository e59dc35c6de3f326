//! Decides what follows from an answer, or from none: the next step, the same again, the way back.

use serde::{Serialize, de::DeserializeOwned};

use super::answer::{
    ATTEMPT, CANCEL, CHECK, DONE, ID, KEY, PART, REASON, REFUSED, REPLIES, RESUME, SAGA, STEP, VERB,
};
use super::record::{Deed, Entry, Failed, HISTORY_MAX, Part, Record, Stage};
use super::{End, Saga, Step};
use crate::{Emission, Event, Failure, Host, Outcome, Timestamp, error, reject};

/// A saga at one moment, in its lane.
pub(super) struct Flow<'a, 'host, D> {
    pub(super) saga: &'a Saga<D>,
    pub(super) record: Record,
    pub(super) data: D,
    pub(super) now: Timestamp,
    /// Key of the lane.
    pub(super) key: &'a [u8],
    pub(super) host: &'host mut Host,
}

/// Who brought something, and why: the event's id, and a reason.
type By<'a> = (Option<&'a str>, Option<&'a str>);

impl<D: Serialize + DeserializeOwned> Flow<'_, '_, D> {
    /// What an event that names this saga says.
    pub(super) fn hear(&mut self, event: &Event) -> Outcome {
        let Record { step, part, attempt, .. } = &self.record;
        let is_of_part =
            event.header_text(STEP) == Some(step) && event.header_text(PART) == Some(part.as_str());
        let is_of_attempt = event.header_text(ATTEMPT) == Some(attempt.to_string().as_str());
        let is_awaited = is_of_part && !self.record.stage.is_rest();
        let reason = event.header_text(REASON).unwrap_or("refused");
        match event.header_text(VERB) {
            Some(DONE) if is_awaited => self.done(event),
            Some(REFUSED) if is_awaited => self.refused(event, reason),
            Some(CHECK) if is_awaited && is_of_attempt => self.late(event),
            Some(RESUME) => self.resume(event),
            Some(CANCEL) => self.cancel(event, reason),
            // What was asked about has been answered meanwhile.
            Some(CHECK) => Ok(()),
            Some(DONE | REFUSED) => {
                self.record.ignored = self.record.ignored.saturating_add(1);
                Ok(())
            }
            verb => Err(reject("saga-verb", format!("an answer says {verb:?}"))),
        }
    }

    /// The present command was carried out.
    fn done(&mut self, event: &Event) -> Outcome {
        let at = self.at()?;
        match self.record.part {
            Part::Do => {
                if let Some(take) = self.saga.steps[at].take {
                    take(&mut self.data, event)?;
                }
                self.note_step(Deed::Done, (Some(&event.id), None));
                self.go_on(at)
            }
            Part::Undo => {
                self.note_step(Deed::Undone, (Some(&event.id), None));
                self.go_back(at)
            }
        }
    }

    /// The participant said no.
    fn refused(&mut self, event: &Event, reason: &str) -> Outcome {
        let at = self.at()?;
        self.note_step(Deed::Refused, (Some(&event.id), Some(reason)));
        match self.record.part {
            Part::Do => {
                self.fail(reason);
                self.go_back(at)
            }
            // It is asked again when its time has passed, not at once.
            Part::Undo => Ok(()),
        }
    }

    /// The time to answer has passed, as the broker's clock sees it.
    fn late(&mut self, event: &Event) -> Outcome {
        let Some(due) = self.record.due else { return Ok(()) };
        let limit = self.step()?.limit;
        if !self.record.is_renewed && was_behind(due, event.timestamp, limit) {
            self.record.is_renewed = true;
            self.note_step(Deed::Renewed, (Some(&event.id), Some("the host was behind")));
            return self.wait(limit);
        }
        self.note_step(Deed::TimedOut, (Some(&event.id), None));
        self.ask_again("nobody answered in time")
    }

    /// An operator has a stuck saga go on.
    fn resume(&mut self, event: &Event) -> Outcome {
        if self.record.stage != Stage::Stuck {
            self.record.ignored = self.record.ignored.saturating_add(1);
            return Ok(());
        }
        self.note_step(Deed::Resumed, (Some(&event.id), None));
        self.record.stage = Stage::Compensating;
        self.record.attempt = 0;
        self.ask()
    }

    /// An operator has a running saga undone. Its present step may be done or not.
    fn cancel(&mut self, event: &Event, reason: &str) -> Outcome {
        if self.record.stage != Stage::Running {
            self.record.ignored = self.record.ignored.saturating_add(1);
            return Ok(());
        }
        let at = self.at()?;
        self.note_step(Deed::Cancelled, (Some(&event.id), Some(reason)));
        self.fail(reason);
        self.undo_from(at)
    }

    /// Asks the broker for the time, by an event to this lane.
    pub(super) fn check(&mut self) -> Outcome {
        let check = Emission::new(&*self.record.replies, "saga.check", *b"null").key(self.key);
        let check = self.marked(check).header(VERB, CHECK);
        Ok(self.host.emit(check)?)
    }

    /// The step after `at`, or the end.
    fn go_on(&mut self, at: usize) -> Outcome {
        let Some(next) = self.saga.steps.get(at + 1) else {
            return self.rest(Stage::Completed, Deed::Completed, &End::Completed);
        };
        self.record.step = next.name.to_owned();
        self.record.attempt = 0;
        self.ask()
    }

    /// Undoes the step before `at`, or all is undone.
    fn go_back(&mut self, at: usize) -> Outcome {
        match at.checked_sub(1) {
            Some(before) => self.undo_from(before),
            None => self.compensated(),
        }
    }

    /// Undoes step `at`, or the last before it that can be undone.
    fn undo_from(&mut self, at: usize) -> Outcome {
        let undoable = self.saga.steps[..=at].iter().rfind(|step| step.undo.is_some());
        let Some(step) = undoable else { return self.compensated() };
        self.record.step = step.name.to_owned();
        self.record.stage = Stage::Compensating;
        self.record.part = Part::Undo;
        self.record.attempt = 0;
        self.ask()
    }

    /// Sends the present command once more, or gives it up.
    fn ask_again(&mut self, reason: &str) -> Outcome {
        let step = self.step()?;
        let attempts = match self.record.part {
            Part::Do => step.attempts,
            Part::Undo => step.undo_attempts,
        };
        if self.record.attempt < attempts {
            return self.ask();
        }
        match self.record.part {
            Part::Do => {
                let at = self.at()?;
                self.fail(reason);
                // Nobody knows whether it was done.
                self.undo_from(at)
            }
            Part::Undo => {
                let step = self.record.step.clone();
                error!("saga {} {} is stuck at {step}: {reason}", self.record.saga, self.record.id);
                let end = End::Stuck { step, reason: reason.to_owned() };
                self.rest(Stage::Stuck, Deed::Stuck, &end)
            }
        }
    }

    fn compensated(&mut self) -> Outcome {
        let Failed { step, reason } = self
            .record
            .failure
            .clone()
            .unwrap_or_else(|| Failed { step: self.record.step.clone(), reason: String::new() });
        let end = End::Compensated { step, reason };
        self.rest(Stage::Compensated, Deed::Compensated, &end)
    }

    /// Sends the present command.
    pub(super) fn ask(&mut self) -> Outcome {
        let step = self.step()?;
        let (ask, deed) = match self.record.part {
            Part::Do => (Some(step.ask), Deed::Asked),
            Part::Undo => (step.undo, Deed::UndoAsked),
        };
        let limit = step.limit;
        let Some(ask) = ask else {
            let step = &self.record.step;
            return Err(reject("saga-step", format!("step {step} can no longer be undone")));
        };
        self.record.attempt = self.record.attempt.saturating_add(1);
        self.record.is_renewed = false;
        let command = ask(&self.data)?;
        let command = self.marked(command).header(KEY, self.key);
        self.host.emit(command.header(REPLIES, &self.record.replies))?;
        self.note_step(deed, (None, None));
        self.wait(limit)
    }

    /// With the headers that name this saga and what it waits for.
    fn marked(&self, emission: Emission) -> Emission {
        let Record { saga, id, step, part, attempt, .. } = &self.record;
        emission
            .header(SAGA, saga)
            .header(ID, id)
            .header(STEP, step)
            .header(PART, part.as_str())
            .header(ATTEMPT, attempt.to_string())
    }

    /// Waits for an answer from now on.
    fn wait(&mut self, limit: std::time::Duration) -> Outcome {
        let due = self.now.after(limit);
        self.record.due = Some(due);
        let name = self.saga.place(&self.record.id);
        Ok(self.host.timers().set(&name, due, b"")?)
    }

    /// Comes to rest and tells so.
    fn rest(&mut self, stage: Stage, deed: Deed, end: &End) -> Outcome {
        self.record.stage = stage;
        self.record.due = None;
        let reason = match end {
            End::Completed => None,
            End::Compensated { reason, .. } | End::Stuck { reason, .. } => Some(&**reason),
        };
        self.note(deed, None, (None, reason));
        let name = self.saga.place(&self.record.id);
        self.host.timers().cancel(&name)?;
        let Some(tell) = self.saga.tell else { return Ok(()) };
        for emission in tell(&self.data, end)? {
            self.host.emit(emission)?;
        }
        Ok(())
    }

    fn fail(&mut self, reason: &str) {
        let step = self.record.step.clone();
        self.record.failure = Some(Failed { step, reason: reason.to_owned() });
    }

    /// The definition of the present step.
    fn step(&self) -> Result<&Step<D>, Failure> {
        Ok(&self.saga.steps[self.at()?])
    }

    /// Its place.
    fn at(&self) -> Result<usize, Failure> {
        let at = self.saga.steps.iter().position(|step| step.name == self.record.step);
        at.ok_or_else(|| {
            let Record { saga, step, .. } = &self.record;
            reject("saga-step", format!("saga {saga} has no step {step} any more"))
        })
    }

    fn note_step(&mut self, deed: Deed, by: By<'_>) {
        let of = (self.record.step.clone(), self.record.attempt);
        self.note(deed, Some(of), by);
    }

    pub(super) fn note(&mut self, deed: Deed, of: Option<(String, u32)>, (event, reason): By<'_>) {
        if self.record.history.len() >= HISTORY_MAX {
            self.record.ignored = self.record.ignored.saturating_add(1);
            return;
        }
        let (step, attempt) = of.unzip();
        self.record.history.push(Entry {
            at: self.now,
            deed,
            step,
            attempt,
            event: event.map(str::to_owned),
            reason: reason.map(str::to_owned),
        });
    }

    /// Keeps what has become of it.
    pub(super) fn keep(mut self) -> Outcome {
        self.record.data = serde_json::to_value(&self.data)?;
        let name = self.saga.place(&self.record.id);
        let is_over = matches!(self.record.stage, Stage::Completed | Stage::Compensated);
        match self.saga.keep.filter(|_| is_over) {
            None => self.host.state().set_json(&name, &self.record)?,
            Some(time) => {
                let value = serde_json::to_vec(&self.record)?;
                self.host.state().set_for(&name, &value, time)?;
            }
        }
        Ok(())
    }
}

/// Whether a time to answer that ended at `due` ended while the host was behind: it was noticed
/// later than half of the time itself.
fn was_behind(due: Timestamp, noticed: Timestamp, limit: std::time::Duration) -> bool {
    noticed.since(due) > limit / 2
}
