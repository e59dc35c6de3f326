//! Owns the headers of dead letters and redriven events: writes them, reads them, takes them off
//! again. The original event passes through unchanged. Who becomes a dead letter is decided
//! elsewhere.

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::{FailureClass, Instant};
use gristmill_store::{Header, Stored};
use serde::Serialize;

use super::{Headers, header};

/// Longest `dlq-error-message` in bytes.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// Longest `dlq-error-detail` in bytes.
const DETAIL_BYTES_MAX: usize = 8_192;
/// Version of this set of headers. The header also marks where the added ones begin.
const VERSION: &str = "1";
const BEGIN: &str = "dlq-version";

const REDRIVE_TOPIC: &str = "dlq-redrive-topic";
const REDRIVE_PARTITION: &str = "dlq-redrive-partition";
const REDRIVE_OFFSET: &str = "dlq-redrive-offset";
const REDRIVE_TIMER_NAME: &str = "dlq-redrive-timer-name";
const REDRIVE_TIMER_DUE: &str = "dlq-redrive-timer-due-ms";

/// The place an event first came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    /// Name of the topic.
    pub(crate) topic: &'a str,
    /// Partition of it.
    pub(crate) partition: u32,
    /// Offset in it.
    pub(crate) offset: u64,
}

/// An [`Origin`] that stands alone, with the timer where it was one that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OriginBuf {
    /// Name of the topic.
    pub(crate) topic: ByteString,
    /// Partition of it.
    pub(crate) partition: u32,
    /// Offset in it.
    pub(crate) offset: u64,
    /// The timer; its place is that of the event that set it.
    pub(crate) timer: Option<TimerOrigin>,
}

/// The timer a dead letter was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TimerOrigin {
    /// Its name under the key.
    pub(crate) name: String,
    /// When it was set for, in milliseconds since 1970.
    pub(crate) due_ms: u64,
}

/// Everything a dead letter says beside the event itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeadLetter<'a> {
    /// Name of the subscription.
    pub(crate) subscription: &'a str,
    /// Name of the plugin.
    pub(crate) plugin: &'a str,
    /// SHA-256 of the plugin in hexadecimal digits.
    pub(crate) digest: &'a str,
    /// Consumer group: `{host}-{subscription}`.
    pub(crate) group: &'a str,
    /// Why it was given up on.
    pub(crate) class: FailureClass,
    /// The handler's own word, or an error code of the host.
    pub(crate) code: Option<&'a str>,
    /// Why, in a sentence.
    pub(crate) message: &'a str,
    /// A backtrace or the like; may be empty.
    pub(crate) detail: &'a str,
    /// Counted attempts.
    pub(crate) attempts: u32,
    /// When it first failed.
    pub(crate) first_failure: Instant,
    /// When it last failed.
    pub(crate) last_failure: Instant,
    /// The event's id, or that of the event which set the timer.
    pub(crate) event_id: &'a str,
    /// W3C trace context; written where the event itself carries none.
    pub(crate) trace_parent: Option<&'a str>,
    /// Where it first came from.
    pub(crate) origin: Origin<'a>,
    /// The timer's name and due time.
    pub(crate) timer: Option<(&'a str, Instant)>,
}

impl DeadLetter<'_> {
    /// The headers of the dead letter: the original ones in their order, then the added ones.
    pub(crate) fn headers(&self, original: &Headers) -> Vec<Header> {
        let mut headers = Vec::with_capacity(original.len() + 22);
        headers.extend_from_slice(original);
        let message = cut(self.message, MESSAGE_BYTES_MAX);
        let mut add = |name: &'static str, value: String| {
            headers.push((ByteString::from_static(name), value.into()));
        };
        add(BEGIN, VERSION.to_owned());
        add("dlq-subscription", self.subscription.to_owned());
        add("dlq-plugin", self.plugin.to_owned());
        add("dlq-plugin-digest", self.digest.to_owned());
        add("dlq-error-class", class_name(self.class).to_owned());
        if let Some(code) = self.code {
            add("dlq-error-code", code.to_owned());
        }
        add("dlq-error-message", message.clone());
        if !self.detail.is_empty() {
            add("dlq-error-detail", cut(self.detail, DETAIL_BYTES_MAX));
        }
        add("dlq-attempts", self.attempts.to_string());
        add("dlq-first-failure-ms", self.first_failure.0.to_string());
        add("dlq-last-failure-ms", self.last_failure.0.to_string());
        add("dlq-event-id", self.event_id.to_owned());
        if let Some((name, due)) = self.timer {
            add("dlq-timer-name", name.to_owned());
            add("dlq-timer-due-ms", due.0.to_string());
        }
        if let Some(parent) =
            self.trace_parent.filter(|_| header(original, "traceparent").is_none())
        {
            add("traceparent", parent.to_owned());
        }
        add("__dlq.errors.topic", self.origin.topic.to_owned());
        add("__dlq.errors.partition", self.origin.partition.to_string());
        add("__dlq.errors.offset", self.origin.offset.to_string());
        add("__dlq.errors.group", self.group.to_owned());
        add("__dlq.errors.delivery.count", self.attempts.to_string());
        add("__dlq.errors.message", message);
        headers
    }
}

/// What a dead letter says, read back for operators. Absent or unreadable headers are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct DeadLetterView {
    /// Name of the subscription.
    pub(crate) subscription: String,
    /// Name of the plugin.
    pub(crate) plugin: String,
    /// SHA-256 of the plugin.
    pub(crate) plugin_digest: String,
    /// Failure class.
    pub(crate) class: String,
    /// Error code.
    pub(crate) code: Option<String>,
    /// Why it was given up on.
    pub(crate) message: String,
    /// A backtrace or the like.
    pub(crate) detail: Option<String>,
    /// Counted attempts.
    pub(crate) attempts: u64,
    /// When it first failed, in milliseconds since 1970.
    pub(crate) first_failure_ms: u64,
    /// When it last failed, in milliseconds since 1970.
    pub(crate) last_failure_ms: u64,
    /// The event's id.
    pub(crate) event_id: String,
    /// The timer, if it was one.
    pub(crate) timer: Option<TimerOrigin>,
    /// Topic it first came from.
    pub(crate) topic: String,
    /// Partition it first came from.
    pub(crate) partition: u32,
    /// Offset it first came from.
    pub(crate) offset: u64,
    /// Consumer group.
    pub(crate) group: String,
}

impl DeadLetterView {
    /// What the added headers say; `None` where there are none.
    pub(crate) fn read(headers: &Headers) -> Option<Self> {
        let added = &headers[begin(headers)?..];
        let text = |name: &str| header(added, name).map(lossy);
        let required = |name: &str| text(name).unwrap_or_default();
        let number = |name: &str| required(name).parse::<u64>().unwrap_or_default();
        let timer = text("dlq-timer-name")
            .map(|name| TimerOrigin { name, due_ms: number("dlq-timer-due-ms") });
        Some(Self {
            subscription: required("dlq-subscription"),
            plugin: required("dlq-plugin"),
            plugin_digest: required("dlq-plugin-digest"),
            class: required("dlq-error-class"),
            code: text("dlq-error-code"),
            message: required("dlq-error-message"),
            detail: text("dlq-error-detail"),
            attempts: number("dlq-attempts"),
            first_failure_ms: number("dlq-first-failure-ms"),
            last_failure_ms: number("dlq-last-failure-ms"),
            event_id: required("dlq-event-id"),
            timer,
            topic: required("__dlq.errors.topic"),
            partition: required("__dlq.errors.partition").parse().unwrap_or_default(),
            offset: number("__dlq.errors.offset"),
            group: required("__dlq.errors.group"),
        })
    }

    /// Where the event first came from.
    pub(crate) fn origin(&self) -> OriginBuf {
        OriginBuf {
            topic: self.topic.as_str().into(),
            partition: self.partition,
            offset: self.offset,
            timer: self.timer.clone(),
        }
    }
}

/// The event's own headers without what a dead letter added: exactly those it came with.
pub(crate) fn original_headers(headers: &Headers) -> &Headers {
    &headers[..begin(headers).unwrap_or(headers.len())]
}

/// Headers under which a dead letter is driven again: its own, without those of `deny` (names in
/// any case), and the place it first came from. `ce_*` always stays.
///
/// `None` when `headers` are not those of a dead letter.
pub(crate) fn redrive_headers(headers: &Headers, deny: &[String]) -> Option<Vec<Header>> {
    let origin = DeadLetterView::read(headers)?.origin();
    let is_denied = |name: &str| {
        !name.starts_with("ce_") && deny.iter().any(|denied| denied.eq_ignore_ascii_case(name))
    };
    let mut kept: Vec<_> = original_headers(headers).to_vec();
    kept.retain(|(name, _)| !is_denied(name));
    Some(wrapped(kept, &origin))
}

/// Headers with the place their event first came from.
pub(crate) fn wrapped(mut headers: Vec<Header>, origin: &OriginBuf) -> Vec<Header> {
    let mut add = |name: &'static str, value: String| {
        headers.push((ByteString::from_static(name), value.into()));
    };
    add(REDRIVE_TOPIC, origin.topic.to_string());
    add(REDRIVE_PARTITION, origin.partition.to_string());
    add(REDRIVE_OFFSET, origin.offset.to_string());
    if let Some(timer) = &origin.timer {
        add(REDRIVE_TIMER_NAME, timer.name.clone());
        add(REDRIVE_TIMER_DUE, timer.due_ms.to_string());
    }
    headers
}

/// Takes what [`wrapped`] added off a record and says where it first came from. `None`, and the
/// record as it is, when that is not there or not readable.
pub(crate) fn unwrapped(stored: &mut Stored) -> Option<OriginBuf> {
    let at = stored.headers.iter().rposition(|(name, _)| &**name == REDRIVE_TOPIC)?;
    let added = &stored.headers[at..];
    let text = |name: &str| header(added, name).and_then(|value| std::str::from_utf8(value).ok());
    let timer = text(REDRIVE_TIMER_NAME).zip(text(REDRIVE_TIMER_DUE));
    let timer = match timer {
        Some((name, due)) => Some(TimerOrigin { name: name.to_owned(), due_ms: due.parse().ok()? }),
        None => None,
    };
    let origin = OriginBuf {
        topic: text(REDRIVE_TOPIC)?.into(),
        partition: text(REDRIVE_PARTITION)?.parse().ok()?,
        offset: text(REDRIVE_OFFSET)?.parse().ok()?,
        timer,
    };
    stored.headers = stored.headers.get(..at)?.into();
    Some(origin)
}

/// The word for a failure class in dead letters, metrics and logs.
pub(crate) fn class_name(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Retryable => "retryable",
        FailureClass::Rejected => "rejected",
        FailureClass::Invalid => "invalid",
        FailureClass::Output => "output",
        FailureClass::Trap => "trap",
        FailureClass::Timeout => "timeout",
        FailureClass::Memory => "memory",
        FailureClass::Infrastructure => "infrastructure",
    }
}

/// Where the headers of the last dead letter begin; an event of a dead-letter topic that fails
/// again carries two sets.
fn begin(headers: &Headers) -> Option<usize> {
    headers.iter().rposition(|(name, _)| &**name == BEGIN)
}

/// `text` in at most `max` bytes; a longer one ends with how much there was.
fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mark = format!(" [cut, {} bytes in all]", text.len());
    let kept = text.floor_char_boundary(max.saturating_sub(mark.len()));
    format!("{}{mark}", &text[..kept])
}

fn lossy(value: &Bytes) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    use gristmill_engine::Offset;

    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn letter<'a>(message: &'a str, detail: &'a str) -> DeadLetter<'a> {
        DeadLetter {
            subscription: "ordering",
            plugin: "ordering",
            digest: "ab12",
            group: "shop-ordering",
            class: FailureClass::Rejected,
            code: Some("unknown-seat"),
            message,
            detail,
            attempts: 3,
            first_failure: Instant(1_000),
            last_failure: Instant(2_000),
            event_id: "e-1",
            trace_parent: Some(TRACE),
            origin: Origin { topic: "reservation-created", partition: 2, offset: 77 },
            timer: None,
        }
    }

    fn headers(pairs: &[(&str, &str)]) -> Vec<Header> {
        let own = |(name, value): &(&str, &str)| ((*name).into(), Bytes::from(value.to_string()));
        pairs.iter().map(own).collect()
    }

    #[test]
    fn the_names_are_those_of_the_contract() {
        let timer = Some(("expiry", Instant(9)));
        let written = DeadLetter { timer, ..letter("no such seat", "trace") }.headers(&[]);
        let shown: Vec<_> = written
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(
            shown,
            [
                "dlq-version: 1",
                "dlq-subscription: ordering",
                "dlq-plugin: ordering",
                "dlq-plugin-digest: ab12",
                "dlq-error-class: rejected",
                "dlq-error-code: unknown-seat",
                "dlq-error-message: no such seat",
                "dlq-error-detail: trace",
                "dlq-attempts: 3",
                "dlq-first-failure-ms: 1000",
                "dlq-last-failure-ms: 2000",
                "dlq-event-id: e-1",
                "dlq-timer-name: expiry",
                "dlq-timer-due-ms: 9",
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "__dlq.errors.topic: reservation-created",
                "__dlq.errors.partition: 2",
                "__dlq.errors.offset: 77",
                "__dlq.errors.group: shop-ordering",
                "__dlq.errors.delivery.count: 3",
                "__dlq.errors.message: no such seat",
            ]
        );
        let view = DeadLetterView::read(&written).unwrap();
        assert_eq!((view.class.as_str(), view.attempts, view.offset), ("rejected", 3, 77));
        assert_eq!(view.timer, Some(TimerOrigin { name: "expiry".to_owned(), due_ms: 9 }));
        assert_eq!(view.code.as_deref(), Some("unknown-seat"));
    }

    #[test]
    fn long_texts_are_cut_at_a_character_and_say_so() {
        for (length, is_cut) in [(MESSAGE_BYTES_MAX, false), (MESSAGE_BYTES_MAX + 1, true)] {
            let message = "x".repeat(length);
            let written = letter(&message, "").headers(&[]);
            let kept = lossy(header(&written, "dlq-error-message").unwrap());
            assert!(kept.len() <= MESSAGE_BYTES_MAX);
            assert_eq!(kept != message, is_cut);
            assert_eq!(kept.ends_with("[cut, 1025 bytes in all]"), is_cut);
            assert_eq!(header(&written, "dlq-error-detail"), None);
        }
        for length in [DETAIL_BYTES_MAX / 3, DETAIL_BYTES_MAX] {
            let written = letter("m", &"票".repeat(length)).headers(&[]);
            let kept = header(&written, "dlq-error-detail").unwrap();
            assert!(kept.len() <= DETAIL_BYTES_MAX);
            assert!(std::str::from_utf8(kept).is_ok(), "no character is torn");
        }
    }

    #[test]
    fn the_original_comes_back_exactly_even_when_it_was_a_dead_letter_itself() {
        let first = headers(&[("ce_id", "e-1"), ("x", "1"), ("x", "2"), ("traceparent", "own")]);
        let once = letter("first", "").headers(&first);
        let twice = letter("second", "").headers(&once);
        assert_eq!(original_headers(&once), first);
        assert_eq!(original_headers(&twice), once);
        assert_eq!(DeadLetterView::read(&twice).unwrap().message, "second");
        let traces = once.iter().filter(|(name, _)| &**name == "traceparent").count();
        assert_eq!(traces, 1, "the event's own trace is left alone");
        assert_eq!(DeadLetterView::read(&first), None);
        assert_eq!(original_headers(&first), first);
    }

    #[test]
    fn a_redrive_keeps_the_event_and_carries_its_first_place() {
        let first = headers(&[("ce_id", "e-1"), ("Retry-Count", "9"), ("x", "1")]);
        let dead = letter("m", "d").headers(&first);
        let deny = ["retry-count".to_owned(), "ce_id".to_owned()];
        let again = redrive_headers(&dead, &deny).unwrap();
        let mut stored = Stored {
            offset: Offset(0),
            timestamp: Instant(5),
            key: None,
            headers: again.into(),
            payload: None,
        };
        let origin = unwrapped(&mut stored).unwrap();
        assert_eq!(*stored.headers, headers(&[("ce_id", "e-1"), ("x", "1")]));
        assert_eq!((&*origin.topic, origin.partition), ("reservation-created", 2));
        assert_eq!((origin.offset, origin.timer), (77, None));
        assert_eq!(unwrapped(&mut stored), None, "nothing is left to take off");
        assert_eq!(redrive_headers(&first, &[]), None, "no dead letter, no redrive");
    }

    #[test]
    fn a_redriven_timer_says_which() {
        let timer = Some(("expiry", Instant(9)));
        let dead = DeadLetter { timer, ..letter("m", "") }.headers(&[]);
        let headers = redrive_headers(&dead, &[]).unwrap().into();
        let (offset, timestamp) = (Offset(0), Instant(5));
        let mut stored = Stored { offset, timestamp, key: None, headers, payload: None };
        let origin = unwrapped(&mut stored).unwrap();
        assert_eq!(origin.timer, Some(TimerOrigin { name: "expiry".to_owned(), due_ms: 9 }));
        assert!(stored.headers.is_empty());
    }
}
