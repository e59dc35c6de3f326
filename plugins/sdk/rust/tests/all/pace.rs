//! Owns records and the paces they are read at: which topic comes first, how far the host is
//! behind, when its timers fire. It knows nothing of windows.

use std::collections::VecDeque;
use std::time::Duration;

use gristmill_plugin::{
    Event, Failure, Host, Outcome, Timer, Timestamp,
    testing::{EVENT_TIME, TestHost, event},
};

/// The key of all records.
pub(crate) const KEY: &str = "ada";
/// How far apart in their records' time topics are read; tests keep for longer.
const SKEW: Duration = Duration::from_mins(8);

/// Numbers that look random, and are the same for a seed (source: Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// One below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// How the host gets on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// It reads each record as it comes, and fires every timer in time.
    Live,
    /// It reads all before it fires any timer, as after a restart.
    Replay,
    /// It is behind by up to two hours, and timers fire between.
    Behind,
}

/// Records of two topics in the order they came: most soon after they happened, some late.
pub(crate) fn records(seed: u64, count: u64, hours: u64, kinds: &[&str]) -> Vec<Event> {
    let mut numbers = Numbers(seed);
    let mut records: Vec<Event> = (0..count)
        .map(|number| {
            let happened =
                EVENT_TIME.after(Duration::from_millis(numbers.below(hours * 3_600_000)));
            let most = if numbers.below(8) == 0 { 600_000 } else { 50_000 };
            let came = happened.after(Duration::from_millis(numbers.below(most)));
            let topic = if numbers.below(3) == 0 { "more" } else { "in" };
            let kind = kinds[usize::try_from(numbers.below(kinds.len() as u64)).unwrap()];
            let amount = numbers.below(100).to_string();
            let record = event(topic, amount).with_id(&format!("e{number:04}")).with_key(KEY);
            record.with_type(kind).with_time(happened).with_timestamp(came)
        })
        .collect();
    records.sort_by(|a, b| (a.timestamp, &a.id).cmp(&(b.timestamp, &b.id)));
    records
}

/// What a host that handled all of `records` at some pace, and then fired all timers, has done; and
/// how many records it refused as too late.
pub(crate) fn run(
    records: &[Event],
    pace: Pace,
    seed: u64,
    handle: fn(&Event, &mut Host) -> Outcome,
    on_timer: fn(&Timer, &mut Host) -> Outcome,
) -> (TestHost, usize) {
    let mut numbers = Numbers(seed);
    let mut host = TestHost::new();
    let (mut clock, mut late) = (EVENT_TIME, 0);
    let mut topics = ["in", "more"]
        .map(|topic| records.iter().filter(|it| it.topic == topic).collect::<VecDeque<&Event>>());
    while let Some(record) = next(&mut topics, pace, &mut numbers) {
        if let Pace::Live = pace {
            host.advance(on_timer, record.timestamp.before(Duration::from_millis(1))).unwrap();
        }
        clock = clock.max(record.timestamp);
        match host.handle(handle, record) {
            Err(Failure::Reject { code: Some(code), .. }) if code == "too-late" => late += 1,
            outcome => outcome.unwrap(),
        }
        if let Pace::Behind = pace
            && numbers.below(4) == 0
        {
            let ahead = record.timestamp.after(Duration::from_millis(numbers.below(7_200_000)));
            clock = clock.max(ahead);
            host.advance(on_timer, clock).unwrap();
        }
    }
    host.advance(on_timer, Timestamp::from_millis(u64::MAX)).unwrap();
    (host, late)
}

/// The record that is read next: at any pace but live, whichever topic's.
fn next<'a>(
    topics: &mut [VecDeque<&'a Event>; 2],
    pace: Pace,
    numbers: &mut Numbers,
) -> Option<&'a Event> {
    let [one, other] = topics;
    let (Some(first), Some(second)) = (one.front(), other.front()) else {
        return one.pop_front().or_else(|| other.pop_front());
    };
    let is_first = match pace {
        Pace::Live => (first.timestamp, &first.id) <= (second.timestamp, &second.id),
        Pace::Replay | Pace::Behind if first.timestamp > second.timestamp.after(SKEW) => false,
        Pace::Replay | Pace::Behind if second.timestamp > first.timestamp.after(SKEW) => true,
        Pace::Replay | Pace::Behind => numbers.below(2) == 0,
    };
    if is_first { one.pop_front() } else { other.pop_front() }
}
