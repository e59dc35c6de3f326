//! Says who handles which local topic, and who would but cannot now: an event whose emissions they
//! would handle waits for them. It runs nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::status::Notices;
use crate::binding::Binding;

/// Who handles local topics.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LocalTopics {
    /// Whether the plugin directory was looked through: who is not found is not there.
    pub(crate) is_known: bool,
    /// By topic; those of one in the order of their names.
    pub(crate) handlers: BTreeMap<String, Vec<LocalHandler>>,
}

/// A subscription of a local topic.
#[derive(Debug)]
pub(crate) enum LocalHandler {
    /// It can run.
    Ready(Arc<Binding>),
    /// It cannot, and nobody must miss it.
    Away {
        /// The subscription.
        name: String,
        /// Why, in a few words.
        why: String,
    },
}

/// Subscriptions of local topics that the newest files of a plugin have, with their topics.
pub(super) type Expected = Vec<(String, Vec<String>)>;

impl LocalTopics {
    /// Those that the board and the files that are not in use tell of, by plugin.
    pub(super) fn new(
        is_known: bool,
        board: &Notices,
        expected: &BTreeMap<String, Expected>,
    ) -> Self {
        let mut handlers: BTreeMap<String, Vec<LocalHandler>> = BTreeMap::new();
        let bound = board.subscriptions.iter().filter(|(_, status)| status.binding.config.local);
        for (name, status) in bound {
            for topic in status.binding.config.named_topics() {
                handlers.entry(topic.to_owned()).or_default().push(match status.paused {
                    None => LocalHandler::Ready(Arc::clone(&status.binding)),
                    Some(why) => LocalHandler::Away { name: name.clone(), why: why.to_owned() },
                });
            }
        }
        for (plugin, subscriptions) in expected {
            let error = board.plugins.get(plugin).and_then(|plugin| plugin.error.clone());
            let why = error.unwrap_or_else(|| "its plugin is being loaded".to_owned());
            for (name, wanted) in subscriptions {
                for topic in wanted {
                    let known = handlers.entry(topic.clone()).or_default();
                    if known.iter().all(|handler| handler.name() != name) {
                        known.push(LocalHandler::Away { name: name.clone(), why: why.clone() });
                    }
                }
            }
        }
        Self { is_known, handlers }
    }
}

impl LocalHandler {
    /// The subscription's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Ready(binding) => &binding.name,
            Self::Away { name, .. } => name,
        }
    }
}

impl PartialEq for LocalHandler {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            // Versions count all that this process has bound.
            (Self::Ready(one), Self::Ready(other)) => one.version == other.version,
            (Self::Away { name, why }, Self::Away { name: others, why: because }) => {
                (name, why) == (others, because)
            }
            (Self::Ready(_), Self::Away { .. }) | (Self::Away { .. }, Self::Ready(_)) => false,
        }
    }
}

impl Eq for LocalHandler {}
