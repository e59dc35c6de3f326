//! Owns which plugin versions run: what the plugin directory holds, what was loaded from it, what
//! ran before, and what an operator paused or rolled back. It never runs a plugin itself.

mod adopt;
mod ledger;
mod local;
mod refused;
mod scan;
mod sources;
mod status;
mod supervisor;
mod watch;

pub(crate) use ledger::Ledgers;
pub(crate) use local::{LocalHandler, LocalTopics};
pub(crate) use status::{Board, PluginStatus, SubscriptionStatus};
pub(crate) use supervisor::{Inbox, Operation, Refusal, Supervisor};
pub(crate) use watch::{Change, Watch};
