//! Makes a tree of events by what caused them. It reads nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Found;

/// An event in its place in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Branch<'a> {
    /// What is drawn before it.
    pub(super) before: String,
    pub(super) event: &'a Found,
}

/// Every event, each after what caused it, in the order in which they happened. What was caused by
/// none of them begins a tree of its own.
pub(super) fn grown(events: &[Found]) -> Vec<Branch<'_>> {
    let known: BTreeSet<&str> = events.iter().flat_map(names).collect();
    let mut effects: BTreeMap<Option<&str>, Vec<&Found>> = BTreeMap::new();
    for event in events {
        // An event that says it caused itself would never be shown.
        let cause = event.cause.as_deref();
        let cause = cause.filter(|it| known.contains(it) && !event.is_called(it));
        effects.entry(cause).or_default().push(event);
    }
    for of_one in effects.values_mut() {
        of_one.sort_by_key(|event| (event.timestamp_ms, event.place()));
    }
    let mut grown = Vec::with_capacity(events.len());
    let mut seen = BTreeSet::new();
    let roots = effects.get(&None).cloned().unwrap_or_default();
    let mut open: Vec<(&Found, String, String)> =
        roots.into_iter().rev().map(|root| (root, String::new(), String::new())).collect();
    while let Some((event, before, below)) = open.pop() {
        if !seen.insert(event.place()) {
            continue;
        }
        grown.push(Branch { before, event });
        let of_name = |name| effects.get(&Some(name)).cloned().unwrap_or_default();
        let mut after: Vec<&Found> = names(event).flat_map(of_name).collect();
        after.sort_by_key(|event| (event.timestamp_ms, event.place()));
        let last = after.pop();
        open.extend(last.map(|last| (last, format!("{below}└─ "), format!("{below}   "))));
        let others = after.into_iter().rev();
        open.extend(others.map(|it| (it, format!("{below}├─ "), format!("{below}│  "))));
    }
    // What causes itself in a circle has no beginning, and is shown all the same.
    let rest = events.iter().filter(|event| !seen.contains(&event.place()));
    grown.extend(rest.map(|event| Branch { before: "? ".to_owned(), event }));
    grown
}

/// What others call an event when they say that it caused them.
fn names(event: &Found) -> impl Iterator<Item = &str> {
    [Some(event.id.as_str()), event.envelope_id.as_deref()].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, cause: Option<&str>, at: u64) -> Found {
        Found {
            id: id.to_owned(),
            envelope_id: None,
            kind: "k".to_owned(),
            topic: "t".to_owned(),
            partition: 0,
            offset: at,
            timestamp_ms: at,
            by: None,
            correlation: "a".to_owned(),
            cause: cause.map(str::to_owned),
            given_up: None,
        }
    }

    fn drawn(events: &[Found]) -> Vec<String> {
        let drawn = |branch: &Branch<'_>| format!("{}{}", branch.before, branch.event.id);
        grown(events).iter().map(drawn).collect()
    }

    #[test]
    fn events_stand_under_what_caused_them_in_order() {
        let events = [
            event("d", Some("b"), 4),
            event("a", None, 1),
            event("c", Some("a"), 3),
            event("b", Some("a"), 2),
            event("e", Some("c"), 5),
        ];
        assert_eq!(drawn(&events), ["a", "├─ b", "│  └─ d", "└─ c", "   └─ e"]);
    }

    #[test]
    fn an_event_causes_what_names_it_by_either_of_its_names() {
        let enveloped = Found { envelope_id: Some("b-own".to_owned()), ..event("b", Some("a"), 2) };
        let events = [
            event("a", None, 1),
            enveloped,
            event("d", Some("b"), 4),
            event("c", Some("b-own"), 3),
        ];
        assert_eq!(drawn(&events), ["a", "└─ b", "   ├─ c", "   └─ d"]);
    }

    #[test]
    fn what_has_no_cause_here_begins_a_tree_and_circles_end() {
        let events = [event("b", Some("gone"), 2), event("a", None, 1), event("s", Some("s"), 3)];
        assert_eq!(drawn(&events), ["a", "b", "s"]);
        let circle = [event("a", Some("b"), 1), event("b", Some("a"), 2)];
        assert_eq!(drawn(&circle), ["? a", "? b"]);
        // The same event twice, as at-least-once publishes it.
        let twice = [event("a", None, 1), event("b", Some("a"), 2), event("b", Some("a"), 3)];
        assert_eq!(drawn(&twice), ["a", "├─ b", "└─ b"]);
    }
}
