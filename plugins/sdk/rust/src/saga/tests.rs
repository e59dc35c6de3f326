//! Sagas from beginning to end over an in-memory host: every step refused, every step silent,
//! undoing that does not work at first, words that come late, twice or from operators.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::{ATTEMPT, ID, PART, SAGA, STEP, VERB};
use super::*;
use crate::testing::{EVENT_TIME, TestHost, event};
use crate::{Event, Host, Outcome, Timer, Timestamp};

const LIMIT: Duration = Duration::from_mins(1);
const PLACE: &str = "saga/order/o-1";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    order_id: String,
    receipt: Option<String>,
}

fn command(order: &Order) -> Result<Emission, Failure> {
    Ok(Emission::json("commands", "asked", order)?.key("participant"))
}

fn undo(order: &Order) -> Result<Emission, Failure> {
    Ok(Emission::json("commands", "undo-asked", order)?.key("participant"))
}

/// Of four steps, one cannot be undone and needs not.
fn saga() -> Saga<Order> {
    let step = |name| Step::new(name, command).limit(LIMIT).attempts(2).undo_attempts(2);
    let take = |order: &mut Order, event: &Event| {
        order.receipt = Some(event.text()?.to_owned());
        Ok(())
    };
    Saga::new("order", "replies")
        .step(step("reserve").undo(undo))
        .step(step("look"))
        .step(step("pay").undo(undo).take(take))
        .step(step("issue").undo(undo))
        .tell(|order, end| {
            let said = match end {
                End::Completed => "completed".to_owned(),
                End::Compensated { step, reason } => format!("compensated {step}: {reason}"),
                End::Stuck { step, reason } => format!("stuck {step}: {reason}"),
            };
            Ok(vec![Emission::new("ends", said, order.order_id.clone())])
        })
}

fn handle(event: &Event, host: &mut Host) -> Outcome {
    if saga().handle(event, host)? {
        return Ok(());
    }
    let order = Order { order_id: "o-1".to_owned(), receipt: None };
    saga().start("o-1", order, event, host)
}

fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
    saga().on_timer(timer, host)
}

/// What a participant makes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Willing,
    Refusing,
    Silent,
}

/// Says what a participant makes of a command, by step, part and attempt.
type Moods = Box<dyn Fn(&str, &str, u32) -> Mood>;

/// A saga with its participants, and the broker's clock.
struct Play {
    host: TestHost,
    now: Timestamp,
    seen: usize,
    mood: Moods,
    /// Step and part of all commands, in order.
    asked: Vec<String>,
}

impl Play {
    /// Begins it; `mood` is asked with step, part and attempt.
    fn new(mood: impl Fn(&str, &str, u32) -> Mood + 'static) -> Self {
        let mood = Box::new(mood);
        let (host, asked) = (TestHost::new(), Vec::new());
        let mut play = Self { host, now: EVENT_TIME, seen: 0, mood, asked };
        play.give(event("orders", "{}").with_id("start"));
        play
    }

    fn give(&mut self, event: Event) {
        let event = event.with_key("o-1").with_time(self.now);
        self.host.handle(handle, &event).unwrap();
    }

    /// Delivers what was emitted until nothing more is.
    fn run(&mut self) -> &mut Self {
        while let Some(emission) = self.host.emissions().get(self.seen).cloned() {
            self.seen += 1;
            let mut event = event(&emission.topic, &emission.payload)
                .with_id(&format!("e-{}", self.seen))
                .with_type(&emission.event_type)
                .with_time(self.now);
            event.headers.clone_from(&emission.headers);
            match emission.topic.as_str() {
                "commands" => {
                    if let Some(answer) = self.answered(&event) {
                        self.give(answer);
                    }
                }
                "replies" => self.give(event),
                _ => {}
            }
        }
        self
    }

    fn answered(&mut self, event: &Event) -> Option<Event> {
        let asked = Command::of(event).unwrap();
        let part = event.header_text(PART).unwrap();
        let attempt = event.header_text(ATTEMPT).unwrap().parse().unwrap();
        self.asked.push(format!("{part} {}", asked.step()));
        let emission = match (self.mood)(asked.step(), part, attempt) {
            Mood::Willing => asked.done("done", &"a receipt").unwrap(),
            Mood::Refusing => asked.refused("refused", "no money"),
            Mood::Silent => return None,
        };
        assert_eq!(emission.key.as_deref(), Some(&b"o-1"[..]), "it comes back to the lane");
        let mut answer = crate::testing::event("replies", &emission.payload).with_id("answer");
        answer.headers.clone_from(&emission.headers);
        Some(answer)
    }

    /// Lets time pass until nothing is waited for, but at most so often.
    fn pass(&mut self, times: usize) -> &mut Self {
        for _time in 0..times {
            self.now = self.now.after(LIMIT);
            self.host.advance(on_timer, self.now).unwrap();
            self.run();
        }
        self
    }

    fn record(&self) -> Record {
        self.host.state_json("o-1", PLACE).unwrap()
    }

    fn ends(&self) -> Vec<String> {
        let ends = self.host.emissions().iter().filter(|it| it.topic == "ends");
        ends.map(|it| it.event_type.clone()).collect()
    }

    fn deeds(&self) -> Vec<Deed> {
        self.record().history.iter().map(|it| it.deed).collect()
    }

    /// An operator's word.
    fn say(&mut self, verb: &str) -> &mut Self {
        let said = event("replies", "null").with_header(SAGA, "order").with_header(ID, "o-1");
        self.give(said.with_header(VERB, verb).with_id(verb));
        self.run()
    }
}

fn at(step: &'static str, mood: Mood) -> impl Fn(&str, &str, u32) -> Mood {
    move |of, part, _| if of == step && part == "do" { mood } else { Mood::Willing }
}

#[test]
fn every_step_is_done_in_order_and_what_answers_say_is_known() {
    let mut play = Play::new(|_, _, _| Mood::Willing);
    play.run();
    assert_eq!(play.asked, ["do reserve", "do look", "do pay", "do issue"]);
    assert_eq!(play.ends(), ["completed"]);
    let record = play.record();
    assert_eq!((record.stage, record.due), (Stage::Completed, None));
    assert_eq!(record.data["receipt"], "\"a receipt\"");
    assert_eq!(play.host.timers().len(), 0, "nothing is waited for any more");
    assert_eq!(record.history.len(), 2 + 4 * 2, "{record:?}");
}

#[test]
fn whichever_step_is_refused_those_before_it_are_undone_last_first() {
    for (step, undone) in [
        ("reserve", &[][..]),
        ("look", &["undo reserve"]),
        ("pay", &["undo reserve"]),
        ("issue", &["undo pay", "undo reserve"]),
    ] {
        let mut play = Play::new(at(step, Mood::Refusing));
        play.run();
        let undos: Vec<_> = play.asked.iter().filter(|it| it.starts_with("undo")).collect();
        assert_eq!(undos, undone.iter().collect::<Vec<_>>(), "{step}");
        assert_eq!(play.ends(), [format!("compensated {step}: no money")]);
        assert_eq!(play.record().stage, Stage::Compensated);
    }
}

#[test]
fn a_step_that_is_never_answered_is_asked_again_and_then_undone_itself() {
    for (step, undone) in [
        ("reserve", &["undo reserve"][..]),
        ("look", &["undo reserve"]),
        ("pay", &["undo pay", "undo reserve"]),
        ("issue", &["undo issue", "undo pay", "undo reserve"]),
    ] {
        let mut play = Play::new(at(step, Mood::Silent));
        play.run().pass(2);
        let asked = play.asked.iter().filter(|it| **it == format!("do {step}")).count();
        assert_eq!(asked, 2, "{step}");
        let undos: Vec<_> = play.asked.iter().filter(|it| it.starts_with("undo")).collect();
        assert_eq!(undos, undone.iter().collect::<Vec<_>>(), "{step}");
        assert_eq!(play.ends(), [format!("compensated {step}: nobody answered in time")]);
    }
}

#[test]
fn an_answer_to_the_second_asking_is_an_answer() {
    let mut play = Play::new(|_, _, attempt| match attempt {
        1 => Mood::Silent,
        _ => Mood::Willing,
    });
    play.run().pass(4);
    assert_eq!(play.ends(), ["completed"]);
    assert_eq!(play.asked.len(), 8);
}

#[test]
fn what_cannot_be_undone_waits_for_somebody_and_goes_on_when_told() {
    for mood in [Mood::Silent, Mood::Refusing] {
        let is_mended = std::rc::Rc::new(std::cell::Cell::new(false));
        let seen = std::rc::Rc::clone(&is_mended);
        let mut play = Play::new(move |step, part, _| match (step, part) {
            ("issue", "do") => Mood::Refusing,
            ("pay", "undo") if !seen.get() => mood,
            _ => Mood::Willing,
        });
        play.run().pass(2);
        let undos = play.asked.iter().filter(|it| *it == "undo pay").count();
        assert_eq!((play.record().stage, undos), (Stage::Stuck, 2));
        assert_eq!(play.ends(), ["stuck pay: nobody answered in time"]);
        assert_eq!(play.pass(5).host.timers().len(), 0, "nothing happens by itself");
        is_mended.set(true);
        play.say("resume");
        assert_eq!(play.record().stage, Stage::Compensated);
        assert_eq!(play.ends()[1], "compensated issue: no money");
        assert!(play.deeds().contains(&Deed::Resumed));
        let before = play.record();
        play.say("resume");
        assert_eq!(play.record().history, before.history, "there is nothing to resume");
    }
}

#[test]
fn an_operator_undoes_what_runs_the_present_step_included() {
    let mut play = Play::new(at("pay", Mood::Silent));
    play.run().say("cancel");
    let undos: Vec<_> = play.asked.iter().filter(|it| it.starts_with("undo")).collect();
    assert_eq!(undos, ["undo pay", "undo reserve"]);
    assert_eq!(play.record().stage, Stage::Compensated);
    assert_eq!(play.record().failure.unwrap().step, "pay");
}

#[test]
fn a_duplicate_starts_nothing_and_late_answers_change_nothing() {
    let mut play = Play::new(|_, _, _| Mood::Willing);
    play.run();
    let before = play.record();
    play.give(event("orders", "{}").with_id("again"));
    assert_eq!(play.record(), before);
    let late = event("replies", "null")
        .with_header(SAGA, "order")
        .with_header(ID, "o-1")
        .with_header(STEP, "pay")
        .with_header(PART, "do")
        .with_header(ATTEMPT, "1");
    play.give(late.with_header(VERB, "refused"));
    let after = play.record();
    assert_eq!((after.stage, after.ignored), (Stage::Completed, 1));
    assert_eq!(after.history, before.history);
}

#[test]
fn time_that_passed_while_the_host_was_behind_is_given_again_once() {
    let mut play = Play::new(at("reserve", Mood::Silent));
    play.run();
    // The timer fires an hour late, and the broker's clock says so.
    play.now = EVENT_TIME.after(Duration::from_hours(1));
    play.host.advance(on_timer, play.now).unwrap();
    play.run();
    assert_eq!(play.asked, ["do reserve"], "it is not asked again yet");
    assert!(play.deeds().contains(&Deed::Renewed));
    play.now = play.now.after(Duration::from_hours(1));
    play.host.advance(on_timer, play.now).unwrap();
    play.run();
    assert_eq!(play.asked.len(), 2, "a second hour is no excuse");
}

#[test]
fn answers_nobody_waits_for_and_broken_definitions_are_rejected_with_a_word() {
    let mut host = TestHost::new();
    let stray = event("replies", "null").with_key("o-1").with_header(SAGA, "order");
    let code = |host: &mut TestHost, event: &Event| {
        host.handle(handle, event).unwrap_err().code().unwrap().to_owned()
    };
    assert_eq!(code(&mut host, &stray.clone().with_header(ID, "o-9")), "saga-unknown");
    assert_eq!(code(&mut host, &event("orders", "{}")), "saga-key");
    let empty = |event: &Event, host: &mut Host| {
        Saga::new("order", "replies").start("o-1", (), event, host)
    };
    let start = event("orders", "{}").with_key("o-1");
    assert_eq!(host.handle(empty, &start).unwrap_err().code(), Some("saga-steps"));
    host.handle(handle, &start).unwrap();
    let nonsense = stray.with_header(ID, "o-1");
    assert_eq!(code(&mut host, &nonsense.clone().with_header(VERB, "maybe")), "saga-verb");
    let other = |event: &Event, host: &mut Host| {
        let saga: Saga<Order> = Saga::new("order", "replies").step(Step::new("other", command));
        saga.handle(event, host).map(drop)
    };
    let cancel = nonsense.with_header(VERB, "cancel");
    assert_eq!(host.handle(other, &cancel).unwrap_err().code(), Some("saga-step"));
    let number = |event: &Event, host: &mut Host| {
        let saga: Saga<u8> = Saga::new("order", "replies");
        saga.handle(event, host).map(drop)
    };
    assert_eq!(host.handle(number, &cancel).unwrap_err().code(), Some("saga-data"));
}

#[test]
fn an_ended_saga_is_kept_for_its_time() {
    let mut play = Play::new(|_, _, _| Mood::Willing);
    play.run();
    assert_eq!(play.record().stage, Stage::Completed);
    play.now = EVENT_TIME.after(KEEP).after(Duration::from_millis(1));
    play.give(event("orders", "{}").with_id("again"));
    assert_eq!(play.record().stage, Stage::Running, "it is another one now");
}
