//! Owns what is kept of a saga, as JSON in its lane's state. Its form is a contract: `gristmill
//! saga` reads it, and so may plugins in other languages.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// Entries of a history kept at most; after that only those are counted that change nothing.
pub(super) const HISTORY_MAX: usize = 1_000;

/// A saga as it stands, in the state under `saga/NAME/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Name of its definition.
    pub saga: String,
    /// Its id, unique within the definition.
    pub id: String,
    /// How far it is.
    pub stage: Stage,
    /// The step it is at, or was at last.
    pub step: String,
    /// Whether that is being done or undone.
    pub part: Part,
    /// How often its command was sent.
    pub attempt: u32,
    /// When its present command is no longer waited for; none where nothing is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Whether that was put off because the host was behind.
    #[serde(default)]
    pub is_renewed: bool,
    /// The step that failed, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failed>,
    /// Topic its answers come by.
    pub replies: String,
    /// What it knows.
    pub data: Value,
    /// What happened, in order.
    pub history: Vec<Entry>,
    /// Answers that came too late, or again.
    #[serde(default)]
    pub ignored: u64,
}

/// The failure that a saga compensates for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The step.
    pub step: String,
    /// Why.
    pub reason: String,
}

/// How far a saga is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Its steps are being done.
    Running,
    /// What was done is being undone.
    Compensating,
    /// Every step was done.
    Completed,
    /// Everything was undone.
    Compensated,
    /// Something cannot be undone.
    Stuck,
}

/// What a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// To do a step.
    Do,
    /// To undo it.
    Undo,
}

/// One line of a saga's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by the broker's clock for events and the moment it was due for a timer.
    pub at: Timestamp,
    /// What.
    pub deed: Deed,
    /// Of which step, where it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Which of its commands, where it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Id of the event that brought it; none where a timer did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Why, where there is a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What happened to a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// It began.
    Started,
    /// A step's command was sent.
    Asked,
    /// A step was done.
    Done,
    /// A participant refused.
    Refused,
    /// Nobody answered in time.
    TimedOut,
    /// The time to answer had passed while the host was behind, and was given anew.
    Renewed,
    /// The command that undoes a step was sent.
    UndoAsked,
    /// A step was undone.
    Undone,
    /// An operator had it go on.
    Resumed,
    /// An operator had it undone.
    Cancelled,
    /// Every step was done.
    Completed,
    /// Everything was undone.
    Compensated,
    /// Something cannot be undone.
    Stuck,
}

impl Stage {
    /// Whether nothing more happens by itself.
    pub const fn is_rest(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::Stuck)
    }
}

impl Part {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Undo => "undo",
        }
    }
}
