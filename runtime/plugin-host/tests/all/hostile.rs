//! One test per guest of `plugins/hostile`; a guest without a test of its name fails here.

use std::time::{Duration, Instant};

use gristmill_engine::{FailureClass, Millis};
use gristmill_plugin_host::{Failure, Finished, Limits};

use crate::{
    bench::{self, Memory, answer, at_best_within, call, call_on, logged, runner},
    guests,
};

/// Declares one test per guest and the list of their names.
macro_rules! guests {
    ($($name:ident)*) => {
        /// Names of the guests that have a test.
        const TESTED: &[&str] = &[$(stringify!($name)),*];

        mod each {
            $(#[test] fn $name() { super::$name(&stringify!($name).replace('_', "-")); })*
        }
    };
}

guests! {
    deep_recursion
    emission_flood
    endless_loop
    global_counter
    heavy_start
    hoard
    huge_state
    log_flood
    lying_lengths
    memory_bomb
    ordinary
    panic
    puppet
    snoop
}

#[test]
fn every_guest_has_a_test_of_its_name() {
    let tested: Vec<String> = TESTED.iter().map(|name| name.replace('_', "-")).collect();
    assert_eq!(guests::names(), tested);
}

fn deep_recursion(name: &str) {
    let failure = failed(call(name, ""));
    assert_eq!(failure.class, FailureClass::Trap);
    assert_eq!(failure.code.as_deref(), Some("E0341"));
    assert!(failure.reason.contains("stack"), "{}", failure.reason);
    assert!(failure.detail.contains("descend"), "{}", failure.detail);
    assert!(failure.detail.len() <= 8 << 10);
}

fn emission_flood(name: &str) {
    let finished = call(name, "");
    assert_eq!(finished.usage.emissions, 1_000, "the limit, and not one more");
    let failure = failed(finished);
    assert_eq!(failure.class, FailureClass::Output, "rejecting after a refusal is class output");
    assert_eq!(failure.code.as_deref(), Some("flooded"));
    assert!(failure.detail.contains("1000 emissions per event"), "{}", failure.detail);

    let dealt = call(name, "deal");
    assert_eq!(dealt.result.unwrap().emissions.len(), 1_000);
}

fn endless_loop(name: &str) {
    let limits = Limits { timeout: Duration::from_millis(100), ..Limits::default() };
    let runner = runner(name, limits);
    let finished = call_on(&runner, "", Memory::default());
    assert!(finished.usage.wall >= Duration::from_millis(100), "{:?}", finished.usage);
    assert!(finished.usage.busy > Duration::from_millis(50), "{:?}", finished.usage);
    at_best_within(Duration::from_millis(150), || {
        let started = Instant::now();
        assert!(call_on(&runner, "", Memory::default()).result.is_err());
        started.elapsed()
    });
    let failure = failed(finished);
    assert_eq!(failure.class, FailureClass::Timeout);
    assert_eq!(failure.code.as_deref(), Some("E0342"));
    assert_eq!(failure.reason, "not finished within 100 ms");
    assert!(failure.detail.contains("handle"), "{}", failure.detail);
}

fn global_counter(name: &str) {
    let runner = runner(name, Limits::default());
    for _ in 0..5 {
        let finished = call_on(&runner, "", Memory::default());
        assert!(finished.usage.fresh);
        assert_eq!(answer(&finished), "1", "no call sees another's memory");
    }
    let retry = failed(call(name, "retry"));
    assert_eq!((retry.class, retry.retry_after), (FailureClass::Retryable, Some(Millis(1_500))));
    let reject = failed(call(name, "reject"));
    assert_eq!((reject.class, reject.code.as_deref()), (FailureClass::Rejected, Some("asked")));
}

fn heavy_start(name: &str) {
    let limits = Limits { timeout: Duration::from_millis(50), ..Limits::default() };
    let failure = failed(call_on(&runner(name, limits), "", Memory::default()));
    assert_eq!(failure.class, FailureClass::Timeout);
}

fn hoard(name: &str) {
    let finished = call(name, "");
    let usage = finished.usage;
    assert!(usage.wall < Duration::from_secs(5), "it was stopped before: {usage:?}");
    let failure = failed(finished);
    assert_eq!(failure.class, FailureClass::Trap, "{failure:?}");

    let (lines, finished) = logged(|| call(name, "ask"));
    finished.result.unwrap();
    let denied = lines.iter().filter(|line| line.contains("request denied: ")).count();
    assert_eq!(denied, 64, "nobody reads five thousand lines");
    assert!(lines[0].contains("http = [\"http://127.0.0.1:9\"]"), "{}", lines[0]);
}

fn huge_state(name: &str) {
    let finished = call(name, "");
    let effects = finished.result.unwrap();
    assert_eq!(effects.state.len(), 15, "8 MiB with the names' bytes are less than 16 halves");
    assert!(effects.bytes < 9 << 20, "{}", effects.bytes);
    let refusal = effects.emissions[0].subject.clone().unwrap();
    assert!(refusal.contains("TooLarge"), "{refusal}");
}

fn log_flood(name: &str) {
    let (lines, finished) = logged(|| call(name, ""));
    finished.result.unwrap();
    let whole = lines.iter().filter(|line| line.contains("xxx")).count();
    assert_eq!(whole, (64 << 10) / 100, "as many lines of 100 bytes as 64 KiB hold");
    let notices: Vec<_> = lines.iter().filter(|line| line.contains("log cut")).collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(lines[0].starts_with("INFO gristmill::plugin"), "{}", lines[0]);
    for field in ["plugin=guest", "subscription=tests", "event=e-1", "attempt=1"] {
        assert!(lines[0].contains(field), "{field} in {}", lines[0]);
    }
}

fn lying_lengths(name: &str) {
    call(name, "truth").result.unwrap();
    for lie in ["a", "b", "c", "d", "e", "f"] {
        let failure = failed(call(name, lie));
        assert_eq!(failure.class, FailureClass::Trap, "lie {lie}: {failure:?}");
        assert!(!failure.detail.is_empty(), "lie {lie}");
    }
}

fn memory_bomb(name: &str) {
    let finished = call(name, "");
    let usage = finished.usage;
    assert!(usage.memory_bytes_peak <= 64 << 20, "{usage:?}");
    assert!(usage.memory_bytes_peak > 60 << 20, "{usage:?}");
    let failure = failed(finished);
    assert_eq!(failure.class, FailureClass::Memory, "{failure:?}");
    assert_eq!(failure.code.as_deref(), Some("E0344"));

    call(name, "deal").result.unwrap();
}

fn ordinary(name: &str) {
    let world = Memory::with(&[("total", b"30")]);
    let finished = call_on(&runner(name, Limits::default()), r#"{"id":"o","amount":12}"#, world);
    assert_eq!(answer(&finished), r#"{"order":"o","total":42}"#);
    assert_eq!(failed(call(name, "{")).class, FailureClass::Rejected);
}

fn panic(name: &str) {
    let silent = failed(call(name, ""));
    assert_eq!(silent.class, FailureClass::Trap);
    assert!(silent.reason.contains("unreachable"), "{}", silent.reason);
    assert!(silent.detail.contains("fall_over"), "names are demangled: {}", silent.detail);

    let spoken = failed(call(name, "hook"));
    assert!(spoken.reason.contains("no event has offset 41"), "{}", spoken.reason);
}

fn puppet(name: &str) {
    let answers = bench::answers(&call(name, "echo"));
    let [echo] = answers.as_slice() else { panic!("{answers:?}") };
    for field in ["\"e-1\"", "\"order.placed\"", "partition: 3", "offset: 41", "attempt: 1"] {
        assert!(echo.contains(field), "{field} in {echo}");
    }
}

fn snoop(name: &str) {
    let (lines, finished) = logged(|| call(name, "20"));
    let seen = answer(&finished);
    let lines_seen: Vec<&str> = seen.lines().collect();
    assert_eq!(lines_seen[0], "before 0", "the monotonic clock starts at 0");
    assert_eq!(lines_seen[1], "after 20000000", "and shows exactly the completed sleep");
    assert_eq!(lines_seen[2], "wall 1795262400.000", "the wall clock is the event's time");
    assert_eq!(lines_seen[4], "env []");
    assert_eq!(lines_seen[5], "args []");
    assert_eq!(lines_seen[6], "dirs 0");
    assert!(finished.usage.wall >= Duration::from_millis(20), "the sleep is real");
    at_best_within(Duration::from_millis(10), || call(name, "20").usage.busy);
    assert_eq!(answer(&call(name, "20")), seen, "a retry sees the same, randomness too");
    let printed: Vec<_> = lines.iter().filter(|line| line.contains("context=stdout")).collect();
    assert!(printed[0].contains("going to sleep 20 ms"), "{printed:?}");
    assert!(printed[1].contains("unfinished"), "{printed:?}");
}

fn failed(finished: Finished) -> Failure {
    finished.result.unwrap_err()
}
