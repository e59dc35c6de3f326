//! Owns the headers by which commands and answers of a saga find each other, and a participant's
//! side of it. It never decides what an answer leads to.

use serde::Serialize;

use crate::{Emission, Event, Failure};

pub(super) const SAGA: &str = "saga-name";
pub(super) const ID: &str = "saga-id";
pub(super) const STEP: &str = "saga-step";
pub(super) const PART: &str = "saga-part";
pub(super) const ATTEMPT: &str = "saga-attempt";
pub(super) const KEY: &str = "saga-key";
pub(super) const REPLIES: &str = "saga-replies";
pub(super) const VERB: &str = "saga-verb";
pub(super) const REASON: &str = "saga-reason";

pub(super) const DONE: &str = "done";
pub(super) const REFUSED: &str = "refused";
/// Asks, through the topic of answers, what time it is for the broker: a timer cannot know whether
/// the host was away when it came due.
pub(super) const CHECK: &str = "check";
pub(super) const RESUME: &str = "resume";
pub(super) const CANCEL: &str = "cancel";

/// A command of a saga, as the participant that was asked sees it.
///
/// ```
/// use gristmill_plugin::{Event, Host, Outcome, saga::Command};
///
/// fn handle(event: &Event, host: &mut Host) -> Outcome {
///     let Some(command) = Command::of(event) else { return Ok(()) };
///     let answer = match event.event_type.as_str() {
///         "seat.reserve" if host.state().get("taken")?.is_some() => {
///             command.refused("seat.taken", "somebody has it")
///         }
///         "seat.reserve" => {
///             host.state().set("taken", command.id().as_bytes())?;
///             command.done("seat.reserved", &())?
///         }
///         _ => {
///             host.state().delete("taken")?;
///             command.done("seat.released", &())?
///         }
///     };
///     Ok(host.emit(answer)?)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Command<'event> {
    event: &'event Event,
    id: &'event str,
    replies: &'event str,
}

impl<'event> Command<'event> {
    /// What `event` asks for, where a saga sent it. A command may come more than once, with
    /// another event id, when its answer took too long: do it once by [`Command::id`], and answer
    /// every time.
    pub fn of(event: &'event Event) -> Option<Self> {
        event.header(SAGA)?;
        let (id, replies) = (event.header_text(ID)?, event.header_text(REPLIES)?);
        Some(Self { event, id, replies })
    }

    /// Id of the saga.
    pub const fn id(&self) -> &'event str {
        self.id
    }

    /// Name of the step.
    pub fn step(&self) -> &'event str {
        self.event.header_text(STEP).unwrap_or_default()
    }

    /// The answer that it is done, with what the saga may want to know. Also that something is
    /// undone, be it that it was never done.
    ///
    /// # Errors
    ///
    /// A rejection when `value` has no JSON form.
    pub fn done<T: Serialize + ?Sized>(
        &self,
        event_type: &str,
        value: &T,
    ) -> Result<Emission, Failure> {
        Ok(self.addressed(Emission::json(self.replies, event_type, value)?, DONE))
    }

    /// The answer that it is not and will not be done, nor any part of it.
    #[must_use]
    pub fn refused(&self, event_type: &str, reason: &str) -> Emission {
        let payload = serde_json::json!({ "reason": reason }).to_string();
        let refused = Emission::new(self.replies, event_type, payload);
        self.addressed(refused, REFUSED).header(REASON, reason)
    }

    /// An event to the saga's lane that names its saga, and the step it is about.
    fn addressed(&self, mut emission: Emission, verb: &str) -> Emission {
        emission.key = self.event.header(KEY).map(<[u8]>::to_vec);
        for name in [SAGA, ID, STEP, PART, ATTEMPT] {
            if let Some(value) = self.event.header(name) {
                emission = emission.header(name, value);
            }
        }
        emission.header(VERB, verb)
    }
}
