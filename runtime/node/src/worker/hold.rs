//! Holds a partition at a checkpoint while something else is done with its state: nothing of it is
//! read or handled, and everything of it is durable. It never decides why.

use std::sync::Arc;

use bytestring::ByteString;
use gristmill_engine::Input;
use gristmill_kafka::{Ended, GroupOffsets, NewRecord, Transaction};
use gristmill_store::{Change, changelog};
use tokio::sync::oneshot;

use super::Worker;
use super::stage::Place;
use crate::Error;
use crate::broker::Failed;

/// What a worker is asked about a partition that is held.
#[derive(Debug)]
pub(crate) enum Holding {
    /// Hold it under this number, and say when it is held. Nobody says so where it is not this
    /// worker's, or leaves it.
    Begin(Place, u64, oneshot::Sender<()>),
    /// Make these changes of its state true in the cluster. Nobody says so where it is not held.
    Change(Place, u64, Vec<Change>, oneshot::Sender<Result<(), Failed>>),
    /// Go on with it, from what is durable, and say when that is begun.
    End(Place, u64, Option<oneshot::Sender<()>>),
}

/// A partition that is held, or will be.
#[derive(Debug)]
pub(super) struct Hold {
    number: u64,
    /// Who waits for it to be held.
    told: Option<oneshot::Sender<()>>,
    /// Whether nobody wants it held any more.
    is_over: bool,
    /// What fences a transaction of it.
    offsets: Vec<GroupOffsets>,
    changelog: Option<ByteString>,
}

impl Worker {
    pub(super) fn hold(&mut self, holding: Holding) -> Result<(), Error> {
        match holding {
            Holding::Begin(place, number, told) => self.begin_hold(place, number, told),
            Holding::Change(place, number, changes, answer) => {
                self.change_held(place, number, &changes, answer)
            }
            Holding::End(place, number, told) => {
                self.end_hold(place, number)?;
                // Whoever asked may have gone.
                let _asker_gone = told.map(|told| told.send(()));
                Ok(())
            }
        }
    }

    /// Whether a partition is held, or will be.
    pub(super) fn is_held(&self, place: Place) -> bool {
        self.holds.contains_key(&place)
    }

    fn begin_hold(
        &mut self,
        place: Place,
        number: u64,
        told: oneshot::Sender<()>,
    ) -> Result<(), Error> {
        let (subscription, partition) = place;
        if !self.parts.contains_key(&place) || self.is_held(place) {
            return Ok(());
        }
        let (told, is_over) = (Some(told), false);
        let hold = Hold { number, told, is_over, offsets: Vec::new(), changelog: None };
        self.holds.insert(place, hold);
        self.feed(Input::Revoked { subscription, partition })
    }

    /// The engine has let go of a partition that is to be held. False where it is not.
    pub(super) fn released_to_hold(&mut self, place: Place) -> Result<bool, Error> {
        if self.kafka.as_ref().is_some_and(|kafka| kafka.is_asked_back(place)) {
            self.holds.remove(&place);
        }
        if !self.is_held(place) {
            return Ok(false);
        }
        let offsets = self.offsets(&[place]);
        let part = self.parts.remove(&place);
        let changelog = part.and_then(|part| part.binding.changelog.clone());
        self.let_go(place)?;
        if let Some(hold) = self.holds.get_mut(&place) {
            hold.offsets = offsets;
            hold.changelog = changelog;
            let told = hold.told.take();
            let is_wanted = told.is_some_and(|told| told.send(()).is_ok());
            hold.is_over |= !is_wanted;
            if hold.is_over {
                self.go_on(place)?;
            }
        }
        self.assign_when_released(place.0)?;
        Ok(true)
    }

    /// Writes changes of a held partition to its changelog, in one transaction.
    fn change_held(
        &mut self,
        place: Place,
        number: u64,
        changes: &[Change],
        answer: oneshot::Sender<Result<(), Failed>>,
    ) -> Result<(), Error> {
        let hold = self.holds.get_mut(&place).filter(|hold| hold.number == number);
        let (Some(hold), Some(kafka)) = (hold, &self.kafka) else { return Ok(()) };
        let Some(topic) = hold.changelog.clone() else { return Ok(()) };
        let mut entries = Vec::new();
        // There are no marks among them.
        changelog::encode(changes, &mut 0, &mut entries)?;
        let timestamp_ms = self.shared.clock.now().0;
        let records = entries.into_iter().map(|changelog::Entry { key, value }| NewRecord {
            topic: topic.clone(),
            partition: place.1.0,
            timestamp_ms,
            key: Some(key),
            headers: Vec::new(),
            payload: value,
        });
        let offsets = std::mem::take(&mut hold.offsets);
        let transaction = Transaction { records: records.collect(), events: 0, offsets };
        let done = move |ended| {
            let result = match ended {
                Ended::Committed(_) => Ok(()),
                Ended::Aborted(_, error)
                | Ended::Undeliverable(_, error)
                | Ended::Failed(error) => Err(Failed::Kafka(error)),
            };
            // Whoever asked has gone; the partition is read anew, from what is true.
            drop(answer.send(result));
        };
        kafka.committer.commit(transaction, Box::new(done));
        Ok(())
    }

    fn end_hold(&mut self, place: Place, number: u64) -> Result<(), Error> {
        let Some(hold) = self.holds.get_mut(&place).filter(|hold| hold.number == number) else {
            return Ok(());
        };
        if hold.told.is_some() {
            // The engine has not let go yet: it goes on when it has.
            hold.is_over = true;
            return Ok(());
        }
        self.go_on(place)?;
        self.feed_pending()
    }

    /// Queues the assignment of a partition that was held.
    fn go_on(&mut self, place: Place) -> Result<(), Error> {
        self.holds.remove(&place);
        // Where others are given back for the sake of other topics, it is assigned with those.
        let binding = self.current.get(&place.0).map(Arc::clone);
        match binding.filter(|_| !self.rebinding.contains_key(&place.0)) {
            Some(binding) => self.assign(&binding, place.1),
            None => Ok(()),
        }
    }
}
