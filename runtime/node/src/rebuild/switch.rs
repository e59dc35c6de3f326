//! Puts the new state of a partition in the place of the running one: in one batch of the store, or
//! in one transaction of the cluster. Whoever looks sees the one or the other.

use gristmill_engine::Instant;
use gristmill_store::{Batch, Change};

use super::RebuildError;
use super::compare::{Changes, compare, is_same};
use super::held::Held;
use super::partition::Rebuilding;

/// Bytes of what differs that one transaction takes: more would not end within the time a
/// transaction has (8 s by default).
const TRANSACTION_MAX: u64 = 64 << 20;

impl Rebuilding<'_> {
    /// Compares, and unless that is all, switches.
    pub(super) async fn switch(&self, held: &Held, now: Instant) -> Result<(), RebuildError> {
        let is_cluster = self.shared().broker.kafka().is_some();
        // In the store the new state moves as a whole.
        let bytes_max = if is_cluster { TRANSACTION_MAX } else { 0 };
        let scopes = (self.scope, self.new);
        let Changes { differs, list, bytes } =
            compare(&self.shared().store, scopes, now, bytes_max)?;
        let is_equal = differs.keys == 0 && differs.timers == 0;
        self.tell(|part| part.differs = Some(differs));
        if self.job.wanted.dry_run || is_equal {
            return Ok(());
        }
        if !is_cluster {
            return self.move_whole();
        }
        if bytes > TRANSACTION_MAX {
            let partition = self.scope.partition.0;
            return Err(RebuildError::TooMuch { partition, most: TRANSACTION_MAX });
        }
        if held.change(list).await? { Ok(()) } else { Err(self.moved()) }
    }

    fn move_whole(&self) -> Result<(), RebuildError> {
        let store = &self.shared().store;
        let mut changes = Vec::new();
        // Timers that are as they were keep the number of their setting: ids are made of it.
        for timer in self.scratch.timers() {
            let (was, is) = (store.timer(self.scope, timer)?, self.scratch.setting(timer)?);
            let kept = was.zip(is).filter(|(was, is)| is_same(was, is));
            let scope = self.new;
            changes.extend(kept.map(|(record, _)| Change::TimerSet { scope, record }));
        }
        changes.push(Change::StateMove { from: self.new, to: self.scope });
        self.shared().write_store(Batch { changes, ..Batch::default() })?;
        Ok(())
    }
}
