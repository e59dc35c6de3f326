//! Owns the questions one attempt may ask of the host. It never answers them: the driver does.

use bytes::Bytes;

use crate::{Emission, EmitError, StateError, TimerError};

/// What one attempt may ask of the host. Calls are made while the guest waits, on the worker's
/// thread: they must not block longer than a read from the local store.
pub trait World: Send {
    /// Says whether `emission` may be published: grant, topic, size and schema. Number and sum
    /// of bytes, reserved header names and an empty type are checked before.
    ///
    /// # Errors
    ///
    /// The refusal, as the guest is told.
    fn check_emission(&mut self, emission: &Emission) -> Result<(), EmitError>;

    /// The value under `name` beneath this attempt's own writes, unless its time to live passed.
    ///
    /// # Errors
    ///
    /// [`StateError::Unavailable`] when the store cannot be read.
    fn state_get(&mut self, name: &str) -> Result<Option<Bytes>, StateError>;

    /// Names that begin with `prefix`, in byte order, after `after`, at most `limit`, beneath
    /// this attempt's own writes.
    ///
    /// # Errors
    ///
    /// [`StateError::Unavailable`] when the store cannot be read.
    fn state_names(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, StateError>;

    /// Says whether the subscription may hold one timer more, due at `due_ms` (milliseconds since
    /// the Unix epoch, at most a year ahead of [`World::event_time`]).
    ///
    /// # Errors
    ///
    /// [`TimerError::LimitReached`] with the limit.
    fn timer_room(&mut self, due_ms: u64) -> Result<(), TimerError>;

    /// The guest's wall clock, in milliseconds since the Unix epoch: the record's timestamp, or a
    /// timer's due time.
    fn event_time(&self) -> u64;
}
