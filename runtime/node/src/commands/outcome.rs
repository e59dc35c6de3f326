//! Decides what a record says of a command: that it is the handler's reply, a dead letter, or the
//! command itself where it fell back to. It keeps nothing.

use gristmill_store::Stored;

use crate::envelope::{DeadLetterView, Headers, header};

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its handler emitted this.
    Replied(Box<Stored>),
    /// Its subscription gave up on it.
    GivenUp(Box<DeadLetterView>),
    /// The breaker was open: somebody else may handle it.
    FellBack,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// Id of the event it is about.
    pub(super) id: &'a str,
    /// The subscription it is of.
    pub(super) by: &'a str,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a record is to the event it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An emission that the event caused.
    Emission,
    /// Its dead letter.
    DeadLetter,
    /// The event itself.
    FellBack,
}

impl Said<'_> {
    /// What came of the command, when `stored` says so.
    pub(super) fn outcome(&self, stored: &Stored) -> Option<Outcome> {
        match self.kind {
            Kind::Emission => Some(Outcome::Replied(Box::new(stored.clone()))),
            Kind::DeadLetter => {
                DeadLetterView::read(&stored.headers).map(|view| Outcome::GivenUp(Box::new(view)))
            }
            Kind::FellBack => Some(Outcome::FellBack),
        }
    }
}

/// What the headers of a record say; `None` where that is nothing of a subscription of `host`.
pub(super) fn said<'a>(host: &str, headers: &'a Headers) -> Option<Said<'a>> {
    let text = |name| header(headers, name).and_then(|value| std::str::from_utf8(value).ok());
    if let Some(by) = text("dlq-subscription") {
        return Some(Said { id: text("dlq-event-id")?, by, kind: Kind::DeadLetter });
    }
    if let Some(by) = text("fallback-subscription") {
        return Some(Said { id: text("ce_id")?, by, kind: Kind::FellBack });
    }
    let source = text("ce_source")?.strip_prefix('/')?;
    let by = source.strip_prefix(host)?.strip_prefix('/')?;
    Some(Said { id: text("ce_causationid")?, by, kind: Kind::Emission })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn headers_say_whose_event_a_record_is_about() {
        let emission = [("ce_source", "/mill/billing"), ("ce_causationid", "a"), ("ce_id", "b")];
        let letter = [("dlq-subscription", "billing"), ("dlq-event-id", "a")];
        let fallen = [("fallback-subscription", "billing"), ("fallback-topic", "t")];
        let command = [("ce_id", "a"), ("ce_source", "/mill/commands")];
        let all = |parts: &[&[(&'static str, &'static str)]]| -> Vec<gristmill_store::Header> {
            let pairs = parts.iter().copied().flatten();
            pairs.map(|(name, value)| ((*name).into(), Bytes::from(*value))).collect()
        };
        for (headers, kind) in [
            (all(&[&emission]), Some(Kind::Emission)),
            (all(&[&command, &fallen]), Some(Kind::FellBack)),
            (all(&[&command, &letter]), Some(Kind::DeadLetter)),
            (all(&[&command, &fallen, &letter]), Some(Kind::DeadLetter)),
            (all(&[&command]), None),
            (all(&[&[("ce_source", "/milling/billing"), ("ce_causationid", "a")]]), None),
            (all(&[&[("ce_source", "/mill/billing")]]), None),
            (Vec::new(), None),
        ] {
            let said = said("mill", &headers);
            assert_eq!(said, kind.map(|kind| Said { id: "a", by: "billing", kind }), "{headers:?}");
        }
    }
}
