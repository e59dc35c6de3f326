//! What the contract promises a handler: state, timers, emissions, configuration, logging.

use std::sync::Arc;

use bytes::Bytes;
use gristmill_engine::FailureClass;
use gristmill_plugin_host::{Event, Grants, Limits, Request, Runner, StateChange, TimerRequest};

use crate::bench::{
    EVENT_TIME, Memory, answers, block_on, call_on, first, logged, plain_event, plugin, runner,
    runtime, settings, timer,
};

fn obey(script: &str, world: Memory) -> Vec<String> {
    answers(&call_on(&runner("puppet", Limits::default()), script, world))
}

#[test]
fn reads_see_the_writes_of_the_same_call_over_the_store() {
    let world = Memory::with(&[("a", b"stored"), ("b", b"stored!")]);
    let script =
        "get a\nset a 3\nget a\ndelete b\nget b\nget c\nset c 1 0\nget c\nset c 1 5\nget c";
    let expected = [
        "Some(6)", "Ok(())", "Some(3)", "Ok(())", "None", "None", "Ok(())", "None", "Ok(())",
        "Some(1)",
    ];
    assert_eq!(obey(script, world), expected);
}

#[test]
fn effects_hold_the_last_write_of_each_name_in_order() {
    let script = "set b 1\nset a 2 77\nset b 3\ndelete c\nset d 1\ndelete d";
    let runner = runner("puppet", Limits::default());
    let effects = call_on(&runner, script, Memory::default()).result.unwrap();
    let set = |name: &str, value: &'static [u8], ttl_ms| StateChange::Set {
        name: name.into(),
        value: Bytes::from_static(value),
        ttl_ms,
    };
    let delete = |name: &str| StateChange::Delete { name: name.into() };
    let expected = [set("a", b"zz", Some(77)), set("b", b"zzz", None), delete("c"), delete("d")];
    assert_eq!(effects.state, expected);
}

#[test]
fn pages_of_names_lie_over_the_store_and_end() {
    let world = Memory::with(&[("n1", b""), ("n2", b""), ("n4", b""), ("n5", b""), ("m", b"")]);
    let script = "set n3 1\ndelete n2\nlist n 2\nlist n 2 n3\nlist n 2 n5\nlist n 0\nlist x 9\n\
                  list  1000";
    let expected = [
        "n1,n3 Some(\"n3\")",
        "n4,n5 None",
        " None",
        "n1 Some(\"n1\")",
        " None",
        "m,n1,n3,n4,n5 None",
    ];
    assert_eq!(obey(script, world)[2..], expected);
}

#[test]
fn timers_are_kept_in_call_order() {
    let script = format!("timer t {EVENT_TIME} 2\ncancel u\ntimer t 5 0");
    let runner = runner("puppet", Limits::default());
    let effects = call_on(&runner, &script, Memory::default()).result.unwrap();
    let set = |due_ms, payload: &'static [u8]| TimerRequest::Set {
        name: "t".into(),
        due_ms,
        payload: Bytes::from_static(payload),
    };
    let cancel = TimerRequest::Cancel { name: "u".into() };
    assert_eq!(effects.timers, [set(EVENT_TIME, b"zz"), cancel, set(5, b"")]);
}

#[test]
fn a_timer_reaches_its_handler_with_all_its_fields() {
    let runner = runner("puppet", Limits::default());
    let call = Arc::clone(&runner).call(timer("echo"), Box::new(Memory::default()));
    let answers = answers(&block_on(call));
    for field in ["\"reminder\"", "set-by: \"e-1\"", "partition: 3", "due: 1795262400000"] {
        assert!(answers[0].contains(field), "{field} in {}", answers[0]);
    }
}

#[test]
fn a_timer_for_a_plugin_without_timers_is_rejected() {
    let runner = runner("ordinary", Limits::default());
    let call = runner.call(timer(""), Box::new(Memory::default()));
    let failure = block_on(call).result.unwrap_err();
    assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::Rejected, Some("E0347")));
}

#[test]
fn an_event_reaches_its_handler_with_all_its_fields() {
    let header = |name: &str| (name.into(), Bytes::from_static(b"v"));
    let event = Event {
        version: Some("7".into()),
        subject: Some("about".into()),
        key: None,
        tombstone: true,
        headers: [header("h1"), header("h2")].into(),
        content_type: Some("text/plain".into()),
        causation_id: Some("cause".into()),
        trace_parent: Some("00-trace".into()),
        tenant: Some("acme".into()),
        payload: Bytes::from_static(b"echo"),
        ..plain_event()
    };
    let runner = runner("puppet", Limits::default());
    let previous_error = Some("boom".into());
    let request = Request { attempt: 4, previous_error, ..first(event) };
    let call = runner.call(request, Box::new(Memory::default()));
    let answers = answers(&block_on(call));
    for text in [
        "Some(\"7\")",
        "Some(\"about\")",
        "key: None",
        "tombstone: true",
        "\"h1\"",
        "\"h2\"",
        "Some(\"text/plain\")",
        "Some(\"cause\")",
        "Some(\"00-trace\")",
        "Some(\"acme\")",
        "attempt: 4",
        "Some(\"boom\")",
    ] {
        assert!(answers[0].contains(text), "{text} in {}", answers[0]);
    }
}

#[test]
fn the_host_refuses_headers_it_writes_itself() {
    let script = "emit a 1 ce_id\nemit a 1 DLQ-version\nemit a 1 TraceParent\nemit a 1 mine\n\
                  emit  1";
    let answers = obey(script, Memory::default());
    for (answer, header) in answers.iter().zip(["ce_id", "DLQ-version", "TraceParent"]) {
        assert!(answer.contains("Invalid") && answer.contains(header), "{answer}");
    }
    assert_eq!(answers[3], "Ok(())");
    assert!(answers[4].contains("the topic is empty"), "{}", answers[4]);
}

#[test]
fn a_refused_emission_makes_a_rejection_class_output_but_not_a_retry() {
    let class = |script: &str| {
        let runner = runner("puppet", Limits::default());
        call_on(&runner, script, Memory::default()).result.unwrap_err().class
    };
    assert_eq!(class("emit secret 1\nreject"), FailureClass::Output);
    assert_eq!(class("emit open 1\nreject"), FailureClass::Rejected);
    assert_eq!(class("emit secret 1\nretry"), FailureClass::Retryable);
}

#[test]
fn an_unavailable_store_makes_a_retry_class_infrastructure() {
    let world = Memory { store_is_down: true, ..Memory::default() };
    let runner = runner("puppet", Limits::default());
    assert!(answers(&call_on(&runner, "get a", world.clone()))[0].contains("no disk"));
    let failure = call_on(&runner, "get a\nretry", world).result.unwrap_err();
    assert_eq!(failure.class, FailureClass::Infrastructure);
    assert_eq!(failure.code.as_deref(), Some("E0346"));
}

#[test]
fn what_is_not_granted_says_the_line_that_would() {
    let mut settings = settings(Limits::default());
    settings.grants = Grants::default();
    let runner = Runner::new(runtime(), &plugin("puppet"), settings).unwrap();
    let script = "get a\nset a 1\nlist a 1\ntimer t 1 1\ncancel t\nemit secret 1";
    let answers = answers(&call_on(&runner, script, Memory::default()));
    let lines = ["state = true", "state = true", "state = true", "timers = true", "timers = true"];
    for (answer, line) in answers.iter().zip(lines) {
        assert!(answer.contains("NotGranted") && answer.contains(line), "{answer}");
    }
    assert!(answers[5].contains("emit = [\\\"secret\\\"]"), "{}", answers[5]);
}

#[test]
fn configuration_is_given_as_set() {
    let expected =
        ["Ok(Some(\"hello\"))", "Ok(None)", "Ok([(\"greeting\", \"hello\"), (\"empty\", \"\")])"];
    assert_eq!(obey("config greeting\nconfig missing\nconfig", Memory::default()), expected);
}

#[test]
fn log_lines_keep_their_level() {
    let script = "log trace a\nlog debug b\nlog info c\nlog warn d\nlog error e\nlog critical f";
    let (lines, _) = logged(|| obey(script, Memory::default()));
    let levels: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(levels, ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "ERROR"]);
    assert!(lines[2].contains("context=puppet") && lines[2].contains("message=c"), "{}", lines[2]);
}

#[test]
fn the_wall_clock_is_the_machines_only_when_granted() {
    let mut settings = settings(Limits::default());
    settings.grants.wall_clock = true;
    let runner = Runner::new(runtime(), &plugin("snoop"), settings).unwrap();
    let seen = crate::bench::answer(&call_on(&runner, "", Memory::default()));
    assert!(!seen.contains("wall 1795262400.000"), "{seen}");
}
