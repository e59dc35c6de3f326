//! Owns who waits for the answer to which command, and hands it over when it is heard of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gristmill_store::Stored;
use tokio::sync::oneshot;

use super::CommandId;
use super::kept::{Kept, Place};
use super::outcome::{Kind, Outcome, Said, said};
use crate::shared::Shared;

/// Who waits, and what was answered lately.
#[derive(Debug)]
pub(super) struct Desk {
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    waiting: BTreeMap<String, Vec<oneshot::Sender<Arc<Outcome>>>>,
    /// Senders in `waiting` and those answered that have not left.
    senders: u32,
    kept: Kept,
}

/// Somebody who waits for the answer to a command; leaves when dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    desk: Arc<Desk>,
    id: String,
    answer: oneshot::Receiver<Arc<Outcome>>,
}

/// As many wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) u32);

impl Desk {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let kept = Kept::new(shared.config.commands.replies_kept);
        Self { shared, inner: Mutex::new(Inner { waiting: BTreeMap::new(), senders: 0, kept }) }
    }

    /// Has somebody wait for what comes of a command from now on.
    pub(super) fn wait(self: &Arc<Self>, id: &CommandId) -> Result<Waiting, Full> {
        let max = self.shared.config.commands.waiting_max;
        let (sender, answer) = oneshot::channel();
        let mut inner = self.lock();
        if inner.senders >= max {
            return Err(Full(max));
        }
        inner.senders = inner.senders.saturating_add(1);
        inner.waiting.entry(id.text().to_owned()).or_default().push(sender);
        self.show(&inner);
        Ok(Waiting { desk: Arc::clone(self), id: id.text().to_owned(), answer })
    }

    /// Where the answer to a command of that number is, if there was one lately.
    pub(super) fn find(&self, number: u128) -> Option<Place> {
        let now = self.shared.clock.now();
        self.lock().kept.find(number, now)
    }

    /// Looks whether a record of `topic` answers a command, and hands it over.
    pub(super) fn hear(&self, topic: &str, place: Place, stored: &Stored) {
        let Some((id, said)) = self.understand(topic, stored) else { return };
        let mut inner = self.lock();
        if let Some(number) = id.number() {
            inner.kept.note(number, stored.timestamp, place);
        }
        // Most records answer nobody: only for who waits is anything made of one.
        if !inner.waiting.contains_key(id.text()) {
            return;
        }
        let Some(outcome) = said.outcome(stored).map(Arc::new) else { return };
        let waiting = inner.waiting.remove(id.text());
        drop(inner);
        for sender in waiting.into_iter().flatten() {
            // Whoever has left needs no answer.
            drop(sender.send(Arc::clone(&outcome)));
        }
    }

    /// The command that a record of `topic` answers, and what it says of it.
    pub(super) fn understand<'a>(
        &self,
        topic: &str,
        stored: &'a Stored,
    ) -> Option<(CommandId, Said<'a>)> {
        let said = said(&self.shared.config.name, &stored.headers)?;
        let id = CommandId::read(said.id)?;
        let command = self.shared.config.commands.named.get(id.name())?;
        let counts = said.kind != Kind::Emission || *command.reply == *topic;
        let is_answer = counts && *command.subscription == *said.by;
        is_answer.then_some((id, said))
    }

    fn leave(&self, id: &str) {
        let mut inner = self.lock();
        inner.senders = inner.senders.saturating_sub(1);
        if let Some(waiting) = inner.waiting.get_mut(id) {
            waiting.retain(|sender| !sender.is_closed());
            if waiting.is_empty() {
                inner.waiting.remove(id);
            }
        }
        self.show(&inner);
    }

    fn show(&self, inner: &Inner) {
        self.shared.metrics.set_commands_waiting(inner.senders);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The answer, whenever it comes. `None` when the host ends before.
    pub(crate) async fn answer(&mut self) -> Option<Arc<Outcome>> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.answer.close();
        self.desk.leave(&self.id);
    }
}
