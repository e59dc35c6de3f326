//! Owns what was staged for the filling checkpoint, in one batch, with whose it is: a partition
//! that is taken away takes its part out again. It never decides what is staged.

use gristmill_engine::EventRef;
use gristmill_store::{Append, Batch, Change};

use super::stage::Place;

/// The filling checkpoint.
#[derive(Debug, Default)]
pub(super) struct Filling {
    batch: Batch,
    /// Which event each append is of.
    causes: Vec<Cause>,
    /// Where what was staged for one partition in a row begins.
    runs: Vec<Run>,
}

/// What is staged, taken as a whole.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) batch: Batch,
    /// Which event each append is of.
    pub(super) causes: Vec<Cause>,
    /// Partitions of which anything is in it; each may be there more than once.
    pub(super) places: Vec<Place>,
}

/// Which event an append is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) place: Place,
    pub(super) event: EventRef,
    /// Whether it is the event's dead letter, not an emission.
    pub(super) is_letter: bool,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    place: Place,
    appends: usize,
    changes: usize,
}

impl Filling {
    /// Adds an append of an event.
    pub(super) fn append(&mut self, cause: Cause, append: Append) {
        self.at(cause.place).appends.push(append);
        self.causes.push(cause);
    }

    /// The changes, to add some for `place`.
    pub(super) fn changes(&mut self, place: Place) -> &mut Vec<Change> {
        &mut self.at(place).changes
    }

    fn at(&mut self, place: Place) -> &mut Batch {
        if self.runs.last().is_none_or(|last| last.place != place) {
            let (appends, changes) = (self.batch.appends.len(), self.batch.changes.len());
            self.runs.push(Run { place, appends, changes });
        }
        &mut self.batch
    }

    /// Takes out everything staged for a partition.
    pub(super) fn discard(&mut self, place: Place) {
        if self.runs.iter().all(|run| run.place != place) {
            return;
        }
        self.causes.retain(|cause| cause.place != place);
        let runs = std::mem::take(&mut self.runs);
        let Batch { appends, changes, .. } = std::mem::take(&mut self.batch);
        let (mut appends, mut changes) = (appends.into_iter(), changes.into_iter());
        let ends = runs.iter().skip(1).map(|next| (next.appends, next.changes));
        let ends = ends.chain([(usize::MAX, usize::MAX)]);
        for (run, (appends_end, changes_end)) in runs.iter().zip(ends) {
            let some_appends = appends.by_ref().take(appends_end.saturating_sub(run.appends));
            let own_appends: Vec<Append> = some_appends.collect();
            let some_changes = changes.by_ref().take(changes_end.saturating_sub(run.changes));
            let own_changes: Vec<Change> = some_changes.collect();
            if run.place != place {
                let batch = self.at(run.place);
                batch.appends.extend(own_appends);
                batch.changes.extend(own_changes);
            }
        }
    }

    /// Takes the whole; the next one is given as much room.
    pub(super) fn take(&mut self) -> Taken {
        let places = self.runs.drain(..).map(|run| run.place).collect();
        let causes = std::mem::take(&mut self.causes);
        let room = Batch {
            appends: Vec::with_capacity(self.batch.appends.len()),
            changes: Vec::with_capacity(self.batch.changes.len()),
            ..Batch::default()
        };
        Taken { batch: std::mem::replace(&mut self.batch, room), causes, places }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_engine::{Instant, Offset, PartitionId, Position, SubscriptionId, TopicId};

    use super::*;

    fn place(number: u32) -> Place {
        (SubscriptionId(1), PartitionId(number))
    }

    fn stage(filling: &mut Filling, number: u32, moment: u64) {
        let append = Append {
            topic: TopicId(1),
            partition: PartitionId(number),
            timestamp: Instant(moment),
            key: None,
            headers: Vec::new(),
            payload: None,
        };
        let position =
            Position { topic: TopicId(1), partition: PartitionId(number), offset: Offset(moment) };
        let event = EventRef::Record(position);
        filling.append(Cause { place: place(number), event, is_letter: false }, append);
        let change = Change::Document { name: moment.to_string(), value: None };
        filling.changes(place(number)).push(change);
    }

    fn staged(taken: &Taken) -> Vec<(u64, String)> {
        let batch = &taken.batch;
        let causes: Vec<_> = taken.causes.iter().map(|cause| cause.event).collect();
        let appends = batch.appends.iter().map(|append| {
            let offset = Offset(append.timestamp.0);
            let (topic, partition) = (append.topic, append.partition);
            EventRef::Record(Position { topic, partition, offset })
        });
        assert_eq!(causes, appends.collect::<Vec<_>>(), "every append knows its event");
        let names = batch.changes.iter().map(|change| {
            let Change::Document { name, .. } = change else { panic!("{change:?}") };
            name.clone()
        });
        batch.appends.iter().map(|append| append.timestamp.0).zip(names).collect()
    }

    #[test]
    fn a_partition_takes_its_own_out_and_leaves_the_rest_in_order() {
        for (gone, left) in [
            (0, vec![2, 4, 5]),
            (1, vec![1, 3, 5]),
            (2, vec![1, 2, 3, 4]),
            (7, vec![1, 2, 3, 4, 5]),
        ] {
            let mut filling = Filling::default();
            for (number, moment) in [(0, 1), (1, 2), (0, 3), (1, 4), (2, 5)] {
                stage(&mut filling, number, moment);
            }
            filling.discard(place(gone));
            stage(&mut filling, 3, 9);
            filling.discard(place(3));
            let left: Vec<_> = left.into_iter().map(|it| (it, it.to_string())).collect();
            assert_eq!(staged(&filling.take()), left, "without {gone}");
            assert!(staged(&filling.take()).is_empty());
        }
    }
}
