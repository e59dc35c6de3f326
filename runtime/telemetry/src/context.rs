//! Owns where a span stands in its trace, as W3C trace context has it, and which traces are told
//! of. It makes no span.

use std::fmt;
use std::hash::Hasher as _;
use std::num::{NonZeroU64, NonZeroU128};

use bytestring::ByteString;
use siphasher::sip::SipHasher13;
use uuid::Uuid;

/// Flag of a trace that is told of (source: W3C Trace Context, section 3.2.2.5.1).
const SAMPLED: u8 = 0x01;
/// Length of a `traceparent` of version 00.
const TEXT_BYTES: usize = 55;
/// Bits of a trace id that are random enough to choose by (source: W3C Trace Context level 2,
/// section 5.2.2.2).
const RANDOM_BITS: u32 = 56;

/// Where a span stands: its trace, its own id, and whether the trace is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: NonZeroU128,
    span: NonZeroU64,
    flags: u8,
}

impl TraceContext {
    /// Reads a `traceparent` of version 00; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; TEXT_BYTES] = text.as_bytes().try_into().ok()?;
        let [b'0', b'0', b'-', rest @ ..] = text else { return None };
        let (trace, rest) = rest.split_first_chunk::<32>()?;
        let [b'-', rest @ ..] = rest else { return None };
        let (span, rest) = rest.split_first_chunk::<16>()?;
        let [b'-', flags @ ..] = rest else { return None };
        Some(Self {
            trace: NonZeroU128::new(number(trace)?)?,
            span: NonZeroU64::new(u64::try_from(number(span)?).ok()?)?,
            flags: u8::try_from(number(flags)?).ok()?,
        })
    }

    /// A trace that begins here, with a span of its own.
    pub fn begin(sampler: Sampler) -> Self {
        let (trace, span) = (Uuid::new_v4().as_u128(), Uuid::new_v4().as_u64_pair().0);
        // A UUID of version 4 is never zero, in either half.
        let trace = NonZeroU128::new(trace).unwrap_or(NonZeroU128::MIN);
        let span = NonZeroU64::new(span).unwrap_or(NonZeroU64::MIN);
        Self { trace, span, flags: sampler.flags(trace) }
    }

    /// A trace that is told of and begins with whatever goes on from here: no span is its first. It
    /// is the same wherever and whenever it is made of the same `trace`.
    pub fn before(trace: u128) -> Self {
        let trace = NonZeroU128::new(trace).unwrap_or(NonZeroU128::MIN);
        Self { trace, span: marker(trace), flags: SAMPLED }
    }

    /// A trace that nobody is told of, for whoever must know that.
    pub fn untold(ids: &mut SpanIds) -> Self {
        Self { trace: ids.next_id().into(), span: ids.next_id(), flags: 0 }
    }

    /// The same trace, told of or not.
    #[must_use]
    pub const fn told(self, is_told: bool) -> Self {
        Self { flags: if is_told { SAMPLED } else { 0 }, ..self }
    }

    /// The same trace at another span.
    #[must_use]
    pub const fn at(self, span: NonZeroU64) -> Self {
        Self { span, ..self }
    }

    /// Whether the trace is told of.
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The trace.
    pub const fn trace(self) -> NonZeroU128 {
        self.trace
    }

    /// The span.
    pub const fn span(self) -> NonZeroU64 {
        self.span
    }

    /// As a `traceparent`. Every event has one, so no formatter is asked.
    pub fn to_text(self) -> ByteString {
        let mut text = String::with_capacity(TEXT_BYTES);
        text.push_str("00-");
        hex(&self.trace.get().to_be_bytes(), &mut text);
        text.push('-');
        hex(&self.span.get().to_be_bytes(), &mut text);
        text.push('-');
        hex(&[self.flags], &mut text);
        text.into()
    }

    /// The span as what goes on from here has it for its parent; none where the trace begins.
    pub fn parent(self) -> Option<NonZeroU64> {
        Some(self.span).filter(|span| *span != marker(self.trace))
    }
}

impl fmt::Display for TraceContext {
    /// As a `traceparent`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.to_text())
    }
}

/// The number that lower-case hexadecimal digits say. Two of them are read with every event, so no
/// general reader of numbers is asked.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// Writes bytes as lower-case hexadecimal digits.
fn hex(bytes: &[u8], into: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
    for byte in bytes {
        into.push(digit(byte >> 4));
        into.push(digit(byte & 0xf));
    }
}

/// Stands where a trace has no span yet: a `traceparent` cannot say that otherwise.
fn marker(trace: NonZeroU128) -> NonZeroU64 {
    let (_, low) = Uuid::from_u128(trace.get()).as_u64_pair();
    NonZeroU64::new(low).unwrap_or(NonZeroU64::MIN)
}

/// Chooses the traces that are told of, of those that begin here. All hosts with the same share
/// choose the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampler {
    /// The least random part of a trace that is told of.
    threshold: u64,
}

impl Sampler {
    /// None.
    pub const NONE: Self = Self { threshold: 1 << RANDOM_BITS };

    /// So many in a thousand; all from 1,000.
    pub fn thousandths(share: u64) -> Self {
        let left_out = 1_000_u64.saturating_sub(share);
        let threshold = (u128::from(left_out) << RANDOM_BITS) / 1_000;
        Self { threshold: u64::try_from(threshold).unwrap_or(1 << RANDOM_BITS) }
    }

    /// Whether what goes by that id is told of: the same wherever it is asked.
    pub fn chooses(self, id: &str) -> bool {
        let mut hasher = SipHasher13::new();
        hasher.write(id.as_bytes());
        self.takes(hasher.finish())
    }

    fn flags(self, trace: NonZeroU128) -> u8 {
        let (_, low) = Uuid::from_u128(trace.get()).as_u64_pair();
        if self.takes(low) { SAMPLED } else { 0 }
    }

    fn takes(self, random: u64) -> bool {
        random & ((1 << RANDOM_BITS) - 1) >= self.threshold
    }
}

/// Makes ids of spans that nobody else makes.
#[derive(Debug)]
pub struct SpanIds {
    state: u64,
}

impl SpanIds {
    /// Ids of one thread.
    pub fn new() -> Self {
        let (seed, _) = Uuid::new_v4().as_u64_pair();
        Self { state: seed }
    }

    /// Ids of the piece of that number of what happens within a span: the same again for the same.
    pub fn within(span: NonZeroU64, number: u32) -> Self {
        // No two numbers lead to ids that follow each other.
        Self { state: span.get() ^ (u64::from(number) << 32) }
    }

    /// The next id (source: `SplitMix64`, Steele, Lea and Flood, 2014).
    pub fn next_id(&mut self) -> NonZeroU64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        NonZeroU64::new(mixed ^ (mixed >> 31)).unwrap_or(NonZeroU64::MIN)
    }
}

impl Default for SpanIds {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context = TraceContext::parse(TEXT).unwrap();
        assert_eq!(context.to_string(), TEXT);
        assert!(context.is_sampled());
        assert_eq!(context.parent().map(NonZeroU64::get), Some(0xb7ad_6b71_6920_3331));
        let next = context.at(NonZeroU64::MIN).to_string();
        assert_eq!(next, "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01");
    }

    #[test]
    fn what_is_no_traceparent_is_not_read() {
        for text in [
            "",
            "00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_trace_without_a_span_begins_with_the_next() {
        let before = TraceContext::before(7 << 64 | 9);
        assert!(before.is_sampled());
        assert_eq!(before.parent(), None);
        let read = TraceContext::parse(&before.to_string()).unwrap();
        assert_eq!((read, read.parent()), (before, None), "a header says so too");
        assert_eq!(before.at(NonZeroU64::MIN).parent(), Some(NonZeroU64::MIN));
        assert_ne!(TraceContext::begin(Sampler::NONE).parent(), None);
    }

    #[test]
    fn the_share_of_traces_that_is_told_of_is_what_was_asked_for() {
        let count = |thousandths: u64| {
            let sampler = Sampler::thousandths(thousandths);
            (0..20_000).filter(|number| sampler.chooses(&number.to_string())).count()
        };
        assert_eq!((count(0), count(1_000), count(5_000)), (0, 20_000, 20_000));
        assert!((9_600..10_400).contains(&count(500)), "{}", count(500));
        assert!((120..280).contains(&count(10)), "{}", count(10));
        assert!(!TraceContext::begin(Sampler::NONE).is_sampled());
        assert!(TraceContext::begin(Sampler::thousandths(1_000)).is_sampled());
        assert!(!TraceContext::untold(&mut SpanIds::new()).is_sampled());
    }
}
