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
        /// Whether that ends by itself.
        is_loading: bool,
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
                    Some(why) => {
                        let (name, why) = (name.clone(), why.to_owned());
                        LocalHandler::Away { name, why, is_loading: false }
                    }
                });
            }
        }
        for (plugin, subscriptions) in expected {
            let error = board.plugins.get(plugin).and_then(|plugin| plugin.error.clone());
            let is_loading = error.is_none();
            let why = error.unwrap_or_else(|| "its plugin is being loaded".to_owned());
            for (name, wanted) in subscriptions {
                for topic in wanted {
                    let known = handlers.entry(topic.clone()).or_default();
                    if known.iter().all(|handler| handler.name() != name) {
                        let (name, why) = (name.clone(), why.clone());
                        known.push(LocalHandler::Away { name, why, is_loading });
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
            (
                Self::Away { name, why, is_loading },
                Self::Away { name: others, why: because, is_loading: loads },
            ) => (name, why, is_loading) == (others, because, loads),
            (Self::Ready(_), Self::Away { .. }) | (Self::Away { .. }, Self::Ready(_)) => false,
        }
    }
}

impl Eq for LocalHandler {}

#[cfg(test)]
mod tests {
    use super::super::status::PluginStatus;
    use super::*;

    #[test]
    fn what_is_being_loaded_is_told_from_what_was_refused() {
        let expected = [("loading", "a"), ("refused", "b")].map(|(plugin, name)| {
            (plugin.to_owned(), vec![(name.to_owned(), vec!["happened".to_owned()])])
        });
        let mut board = Notices::default();
        let refused = PluginStatus { error: Some("no component".to_owned()), ..Default::default() };
        board.plugins.insert("refused".to_owned(), refused);
        let topics = LocalTopics::new(true, &board, &expected.into());
        let away = |name: &str, why: &str, is_loading| LocalHandler::Away {
            name: name.to_owned(),
            why: why.to_owned(),
            is_loading,
        };
        let wanted =
            [away("a", "its plugin is being loaded", true), away("b", "no component", false)];
        assert_eq!(topics.handlers["happened"], wanted);
    }
}
