//! Every limit, at the limit and one past it.

use std::time::Duration;

use gristmill_engine::FailureClass;
use gristmill_plugin_host::{Error, Limits, Runner, RuntimeSettings};

use crate::bench::{
    EVENT_TIME, Memory, answers, at_best_within, call_on, logged, plugin, runner, runner_with,
    runtime, settings,
};

fn obey(script: &str, limits: Limits) -> Vec<String> {
    answers(&call_on(&runner("puppet", limits), script, Memory::default()))
}

/// Runs `script` with `limits`; its answers, apart from the first `skip`, are accepted but for the
/// last, which contains `refusal`.
fn check(script: &str, limits: Limits, refusal: &str) {
    let answers = obey(script, limits);
    let (last, before) = answers.split_last().unwrap();
    assert!(before.iter().all(|answer| answer == "Ok(())"), "{answers:?}");
    assert!(last.contains(refusal), "{refusal} in {last}");
}

#[test]
fn emissions() {
    let limits = |emissions| Limits { emissions, ..Limits::default() };
    // Each line's answer is an emission itself: the third emission is the second line's own.
    let finished = call_on(&runner("puppet", limits(4)), "emit a 1\nemit a 1", Memory::default());
    assert_eq!(finished.usage.emissions, 4);
    finished.result.unwrap();
    let finished = call_on(&runner("puppet", limits(3)), "emit a 1\nemit a 1", Memory::default());
    assert_eq!(finished.usage.emissions, 3);
    assert_eq!(finished.result.unwrap_err().class, FailureClass::Trap, "its answer was refused");
}

#[test]
fn emitted_bytes() {
    // Topic and type are two bytes; the answer `Ok(())` to `answers` is 14.
    let limits = |emitted_bytes| Limits { emitted_bytes, ..Limits::default() };
    let run = |bytes| call_on(&runner("puppet", limits(bytes)), "emit a 98", Memory::default());
    let effects = run(114).result.unwrap();
    assert_eq!(effects.bytes, 114);
    assert!(run(113).result.is_err(), "the answer is one byte too many");
    let refused = obey("emit a 1000", limits(200));
    assert!(refused[0].contains("200 emitted bytes per event"), "{refused:?}");
}

#[test]
fn value_bytes() {
    let limits = Limits { value_bytes: 100, ..Limits::default() };
    check("set a 100\nset a 101", limits, "TooLarge(100)");
    check("set a 1048576\nset a 1048577", Limits::default(), "TooLarge(1048576)");
}

#[test]
fn state_bytes() {
    // A change of a one-byte name costs 65 bytes besides its value.
    let limits = |state_bytes| Limits { state_bytes, ..Limits::default() };
    check("set a 10\nset b 10\nset a 10\nset b 11", limits(150), "TooLarge(10)");
    check("set a 10\ndelete b\ndelete c", limits(75 + 65), "TooLarge(0)");
}

#[test]
fn names() {
    let (longest, longer) = ("n".repeat(1_024), "n".repeat(1_025));
    check(&format!("set {longest} 1\nset {longer} 1"), Limits::default(), "InvalidName");
    check("set a 1\nset  1", Limits::default(), "InvalidName");
    let script = format!("timer {longest} 1 1\ntimer {longer} 1 1");
    check(&script, Limits::default(), "name of 1025 bytes");
}

#[test]
fn timers() {
    let limits = Limits { timers: 2, ..Limits::default() };
    check("timer a 1 1\ncancel b\ntimer c 1 1", limits, "LimitReached(2)");
    check("timer a 1 65536\ntimer a 1 65537", Limits::default(), "payload of 65537 bytes");
    let latest = EVENT_TIME + 365 * 24 * 3_600_000;
    let script = format!("timer a {latest} 1\ntimer a {} 1", latest + 1);
    check(&script, Limits::default(), &format!("TooFar({latest})"));
}

#[test]
fn timers_of_the_subscription() {
    let world = Memory { timers_are_full: true, ..Memory::default() };
    let answers = answers(&call_on(&runner("puppet", Limits::default()), "timer a 1 1", world));
    assert!(answers[0].contains("LimitReached(1000000)"), "{answers:?}");
}

#[test]
fn log_bytes() {
    // The context `puppet` is six bytes.
    let limits = Limits { log_bytes: 20, ..Limits::default() };
    let script = "log info 1234\nlog info 1234\nlog info 1\nlog info 1";
    let (lines, _) = logged(|| call_on(&runner("puppet", limits), script, Memory::default()));
    let messages: Vec<_> = lines.iter().filter_map(|line| line.split("message=").nth(1)).collect();
    assert_eq!(messages.len(), 3, "{lines:?}");
    assert!(messages[2].starts_with("log cut"), "{lines:?}");
}

#[test]
fn memory() {
    // The guest's own start takes 17 pages and a bit; it then asks for a mebibyte at a time.
    let peak = |memory_bytes: u64| {
        let limits = Limits { memory_bytes, ..Limits::default() };
        let finished = call_on(&runner("memory-bomb", limits), "", Memory::default());
        assert_eq!(finished.result.unwrap_err().class, FailureClass::Memory);
        finished.usage.memory_bytes_peak
    };
    let (small, large) = (peak(8 << 20), peak(32 << 20));
    assert!(small <= 8 << 20 && small > 6 << 20, "{small}");
    assert!(large <= 32 << 20 && large > 30 << 20, "{large}");
}

#[test]
fn a_first_memory_beyond_the_limit_is_class_memory() {
    let limits = Limits { memory_bytes: 64 << 10, ..Limits::default() };
    let finished = call_on(&runner("ordinary", limits), "", Memory::default());
    let failure = finished.result.unwrap_err();
    assert_eq!(failure.class, FailureClass::Memory, "{failure:?}");
}

#[test]
fn fuel() {
    let settings = RuntimeSettings { fuel: true, instances_max: 4, ..RuntimeSettings::default() };
    let runtime = gristmill_plugin_host::Runtime::new(settings).unwrap();
    let plugin = runtime.load(&crate::guests::component("puppet")).unwrap();
    let run = |fuel, reuse| {
        let limits = Limits { fuel: Some(fuel), reuse, ..Limits::default() };
        runner_with(&runtime, &plugin, limits)
    };
    let used = call_on(&run(50_000_000, 0), "spin 1", Memory::default()).usage.fuel.unwrap();
    assert!(used > 1_000_000, "{used}");
    let reused = run(used, 10);
    for _ in 0..3 {
        call_on(&reused, "spin 1", Memory::default()).result.unwrap();
    }
    // The guest looks at its fuel when it loops or calls: one unit less may go unnoticed.
    let spent = call_on(&run(used / 2, 0), "spin 1", Memory::default());
    let failure = spent.result.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::Timeout, Some("E0343")));
}

#[test]
fn a_wait_counts_to_the_deadline() {
    let limits = Limits { timeout: Duration::from_millis(200), ..Limits::default() };
    let runner = runner("snoop", limits);
    call_on(&runner, "20", Memory::default()).result.unwrap();
    let finished = call_on(&runner, "10000", Memory::default());
    let failure = finished.result.unwrap_err();
    assert_eq!(failure.class, FailureClass::Timeout);
    assert!(finished.usage.wall >= Duration::from_millis(200), "{:?}", finished.usage);
    at_best_within(Duration::from_millis(250), || {
        call_on(&runner, "10000", Memory::default()).usage.wall
    });
    assert_eq!(failure.detail, "the handler was waiting");
}

#[test]
fn limits_beyond_the_runtimes_are_refused() {
    let beyond = [
        Limits { memory_bytes: (64 << 20) + 1, ..Limits::default() },
        Limits { table_elements: 20_001, ..Limits::default() },
        Limits { fuel: Some(1), ..Limits::default() },
    ];
    for limits in beyond {
        let error = Runner::new(runtime(), &plugin("puppet"), settings(limits)).unwrap_err();
        assert!(matches!(error, Error::Limit { .. }), "{error}");
        assert_eq!(error.code(), "E0304");
    }
}
