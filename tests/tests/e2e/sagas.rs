//! The saga of an order in ticketing: every step done, every step refused, every step silent, what
//! cannot be undone, hosts killed in the middle; and what an operator sees and says.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::component::binary;
use gristmill_tests::support::example::{Example, Party, Place, settle};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::wait;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(2);
/// The participants' subscriptions with the step each does, in order.
const STEPS: [(&str, &str); 4] = [
    ("order-seats", "reserve-seat"),
    ("order-book", "create-order"),
    ("order-cashier", "take-payment"),
    ("order-tickets", "issue-ticket"),
];

/// How an order is meant to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Confirmed,
    SeatTaken,
    Blocked,
    Declined,
    NoTicket,
}

/// A host that plays ticketing, and the payment provider.
struct Scene {
    home: Home,
    party: Party,
    place: Place,
    seconds: u32,
}

impl Scene {
    /// `failures` of the provider at every payment; so many seconds for each step.
    fn new(place: Place, failures: u32, seconds: u32) -> Result<Self> {
        let example = Example::of("ticketing")?;
        let home = example.home(&place, "")?;
        Ok(Self { home, party: example.party(failures)?, place, seconds })
    }

    fn start(&self) -> Result<(Process, Client)> {
        let mut host = self.home.start(&[
            ("GRISTMILL_LISTEN", "127.0.0.1:0".to_owned()),
            ("TICKETING_PROVIDER", self.party.address().to_owned()),
            ("TICKETING_STEP_SECONDS", self.seconds.to_string()),
        ])?;
        let client = host.must_be_ready()?;
        Ok((host, client))
    }

    /// How orders ended, each as often as it did.
    fn outcomes(&self, client: &Client) -> Result<BTreeMap<String, Vec<Value>>> {
        let mut outcomes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for record in self.place.read(client, "order-outcomes")?.iter().flatten() {
            let order = record.payload["orderId"].as_str().context("an order")?.to_owned();
            let how = json!([record.header("ce_type"), record.payload]);
            outcomes.entry(order).or_default().push(how);
        }
        Ok(outcomes)
    }

    /// Waits until so many orders have ended.
    fn ended(&self, client: &Client, host: &Process, count: usize) -> Result<()> {
        let seen =
            wait::until(PATIENCE, || Ok((self.outcomes(client)?.len() >= count).then_some(())))?;
        seen.with_context(|| format!("{:?} ended\n{}", self.outcomes(client), host.tail()))
    }

    /// Times that somebody was called at a path.
    fn called(&self, path: &str) -> Result<usize> {
        Ok(self.party.calls()?.iter().filter(|call| call["path"] == path).count())
    }
}

fn order(client: &Client, id: &str, seat: &str, fate: Fate) -> Result<()> {
    let order = json!({
        "eventId": format!("e-{id}"),
        "orderId": id,
        "customerId": if fate == Fate::Blocked { "mallory" } else { "ada" },
        "seatId": seat,
        "amount": 80,
        "method": if fate == Fate::Declined { "stolen-card" } else { "card" },
    });
    client.send("/topics/order-requested", &order).map(drop)
}

/// What is told of an order that ends so.
fn told(id: &str, seat: &str, fate: Fate) -> Value {
    let (failed, reason) = match fate {
        Fate::Confirmed => {
            let ticket = format!("t-{id}");
            return json!(["order.confirmed", {"orderId": id, "seatId": seat, "ticket": ticket}]);
        }
        Fate::SeatTaken => ("reserve-seat", "the seat is taken"),
        Fate::Blocked => ("create-order", "the customer is blocked"),
        Fate::Declined => ("take-payment", "the payment was declined"),
        Fate::NoTicket => ("issue-ticket", "no tickets are printed for this seat"),
    };
    json!(["order.cancelled", {
        "orderId": id, "seatId": seat, "failed": failed, "reason": reason,
    }])
}

/// A value that a participant keeps; null where it keeps none.
fn kept(client: &Client, subscription: &str, key: &str) -> Result<Value> {
    let (status, text) = client.answer(&format!("/state/{subscription}/{key}"))?;
    if status == 404 {
        return Ok(Value::Null);
    }
    Ok(serde_json::from_str::<Value>(&text)?["values"][0]["value"].clone())
}

/// Runs `gristmill saga` with these words.
fn saga(client: &Client, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary("debug"));
    Ok(command.arg("saga").args(words).args(["--url", client.url()]).output()?)
}

fn said(output: &Output) -> String {
    let [told, noted] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{told}{noted}")
}

/// The stage of an order's saga.
fn stage(client: &Client, order: &str) -> Result<Value> {
    Ok(kept(client, "order-saga", order)?["stage"].clone())
}

fn await_stage(client: &Client, host: &Process, order: &str, wanted: &str) -> Result<()> {
    let seen = wait::until(PATIENCE, || Ok((stage(client, order)? == wanted).then_some(())))?;
    let found = || format!("{order} is not {wanted}: {:?}\n{}", stage(client, order), host.tail());
    seen.with_context(found)
}

/// Orders that end in every way, while the host is killed.
fn whichever_step_fails(place: Place) -> Result<()> {
    const FATES: [Fate; 5] =
        [Fate::Confirmed, Fate::SeatTaken, Fate::Blocked, Fate::Declined, Fate::NoTicket];
    let scene = Scene::new(place, 1, 20)?;
    let (mut host, client) = scene.start()?;
    order(&client, "first", "s-first", Fate::Confirmed)?;
    scene.ended(&client, &host, 1)?;
    let orders: Vec<(String, String, Fate)> = (0..40)
        .map(|number| {
            let fate = FATES[number % FATES.len()];
            let seat = match fate {
                Fate::SeatTaken => "s-first".to_owned(),
                Fate::NoTicket => "s13".to_owned(),
                Fate::Confirmed | Fate::Blocked | Fate::Declined => format!("s-{number}"),
            };
            (format!("o-{number}"), seat, fate)
        })
        .collect();
    // One after another has the seat that no ticket is printed for.
    for (id, seat, fate) in orders.iter().filter(|(.., fate)| *fate != Fate::NoTicket) {
        order(&client, id, seat, *fate)?;
    }
    scene.ended(&client, &host, 2)?;
    ensure!(scene.outcomes(&client)?.len() < 33, "all had ended before the host was killed");
    host.kill()?;
    let (host, client) = scene.start()?;
    scene.ended(&client, &host, 33)?;
    for (count, (id, seat, fate)) in
        orders.iter().filter(|(.., fate)| *fate == Fate::NoTicket).enumerate()
    {
        order(&client, id, seat, *fate)?;
        scene.ended(&client, &host, 34 + count)?;
    }
    // Again, as a producer that lost every answer would.
    for (id, seat, fate) in &orders {
        order(&client, id, seat, *fate)?;
    }
    settle(&client, &host)?;
    let mut wanted: BTreeMap<String, Vec<Value>> =
        orders.iter().map(|(id, seat, fate)| (id.clone(), vec![told(id, seat, *fate)])).collect();
    wanted.insert("first".to_owned(), vec![told("first", "s-first", Fate::Confirmed)]);
    assert_eq!(scene.outcomes(&client)?, wanted);
    participants_agree(&scene, &client, &orders)?;
    host.stop()
}

/// What participants keep in the end is what the orders' ends say.
fn participants_agree(
    scene: &Scene,
    client: &Client,
    orders: &[(String, String, Fate)],
) -> Result<()> {
    for (id, seat, fate) in orders {
        let (holder, book, payment, ticket) = match fate {
            Fate::Confirmed => {
                (json!(id), json!("created"), json!("taken"), json!(format!("t-{id}")))
            }
            Fate::SeatTaken => (json!("first"), Value::Null, Value::Null, Value::Null),
            Fate::Blocked => (Value::Null, Value::Null, Value::Null, Value::Null),
            Fate::Declined => (Value::Null, json!("cancelled"), Value::Null, Value::Null),
            Fate::NoTicket => (Value::Null, json!("cancelled"), json!("refunded"), Value::Null),
        };
        let found = [("order-seats", seat), ("order-book", id), ("order-cashier", id)]
            .map(|(subscription, key)| kept(client, subscription, key));
        let found = found.into_iter().collect::<Result<Vec<_>>>()?;
        assert_eq!(found, [holder, book, payment], "{id}, {fate:?}");
        assert_eq!(kept(client, "order-tickets", id)?, ticket, "{id}, {fate:?}");
    }
    let count = |fates: &[Fate]| orders.iter().filter(|(.., fate)| fates.contains(fate)).count();
    let asked = count(&[Fate::Confirmed, Fate::Declined, Fate::NoTicket]) + 1;
    assert_eq!(scene.called("/payments")?, asked, "each payment is asked for once");
    assert_eq!(scene.called("/refunds")?, count(&[Fate::NoTicket]));
    Ok(())
}

#[test]
fn whichever_step_of_an_order_fails_what_was_done_is_undone() -> Result<()> {
    whichever_step_fails(Place::Embedded)?;
    whichever_step_fails(Place::Kafka(Ground::shared()?))
}

#[test]
fn a_step_that_never_answers_is_undone_or_shown_to_be_stuck() -> Result<()> {
    let scene = Scene::new(Place::Embedded, 0, 2)?;
    let (host, client) = scene.start()?;
    let operate = |subscription: &str, verb: &str| {
        client.post(&format!("/api/v1/subscriptions/{subscription}/{verb}"))
    };
    // Each order waits at another step: its participant is away.
    for (subscription, step) in STEPS.iter().rev() {
        operate(subscription, "pause")?;
        order(&client, step, &format!("seat-{step}"), Fate::Confirmed)?;
        let at_step = wait::until(PATIENCE, || {
            Ok((kept(&client, "order-saga", step)?["step"] == **step).then_some(()))
        })?;
        at_step.with_context(|| format!("{step} is not reached:\n{}", host.tail()))?;
    }
    for (_, step) in STEPS {
        await_stage(&client, &host, step, "compensating")?;
    }
    for (subscription, _) in &STEPS[1..] {
        operate(subscription, "resume")?;
    }
    for (_, step) in &STEPS[1..3] {
        await_stage(&client, &host, step, "stuck")?;
    }
    // Whoever holds seats is still away: what was done elsewhere is undone, this cannot be.
    let shown = said(&saga(&client, &["show", "order-saga", "take-payment"])?);
    for word in ["stuck", "take-payment: nobody answered in time", "undo-asked", "reserve-seat"] {
        ensure!(shown.contains(word), "no {word} in:\n{shown}");
    }
    let listed = said(&saga(&client, &["list", "order-saga", "--stage", "stuck"])?);
    ensure!(listed.contains("take-payment") && listed.contains("STAGE"), "{listed}");
    let early = saga(&client, &["cancel", "order-saga", "take-payment"])?;
    ensure!(said(&early).contains("E0574") && early.status.code() == Some(1), "{early:?}");
    await_stage(&client, &host, "reserve-seat", "stuck")?;
    await_stage(&client, &host, "issue-ticket", "stuck")?;
    operate("order-seats", "resume")?;
    for (_, step) in STEPS {
        let resumed = saga(&client, &["resume", "order-saga", step])?;
        ensure!(resumed.status.success(), "{}", said(&resumed));
        await_stage(&client, &host, step, "compensated")?;
        assert_eq!(kept(&client, "order-seats", &format!("seat-{step}"))?, Value::Null);
    }
    settle(&client, &host)?;
    let outcomes = scene.outcomes(&client)?;
    for (_, step) in STEPS {
        let types: Vec<&Value> = outcomes[step].iter().map(|it| &it[0]).collect();
        assert_eq!(types, ["order.stuck", "order.cancelled"], "{step}");
        let last = &outcomes[step][1][1];
        assert_eq!(
            (&last["failed"], &last["reason"]),
            (&json!(step), &json!("nobody answered in time"))
        );
    }
    // Those that were taken were given back; what was never asked for was not.
    assert_eq!((scene.called("/payments")?, scene.called("/refunds")?), (2, 2));
    host.stop()
}

#[test]
fn an_operator_cancels_a_saga_and_is_told_what_cannot_be_done() -> Result<()> {
    let scene = Scene::new(Place::Embedded, 0, 600)?;
    let (host, client) = scene.start()?;
    client.post("/api/v1/subscriptions/order-tickets/pause")?;
    order(&client, "o-1", "s-1", Fate::Confirmed)?;
    let waits = wait::until(PATIENCE, || {
        Ok((kept(&client, "order-saga", "o-1")?["step"] == "issue-ticket").then_some(()))
    })?;
    waits.context("it does not come to its last step")?;
    for (words, wanted) in [
        (&["resume", "order-saga", "o-1"][..], "E0574"),
        (&["show", "order-saga", "o-9"], "E0433"),
        (&["show", "order-saga", "o-1", "--id", "x"], "E0571"),
        (&["show", "carts", "o-1"], "E0433"),
        (&["list", "nobody"], "E0420"),
    ] {
        let answer = saga(&client, words)?;
        ensure!(said(&answer).contains(wanted), "{words:?} gives {}", said(&answer));
        ensure!(!answer.status.success(), "{words:?}");
    }
    let cancel = ["cancel", "order-saga", "o-1", "--reason", "the customer called", "--json"];
    let cancelled = saga(&client, &cancel)?;
    ensure!(cancelled.status.success(), "{}", said(&cancelled));
    let answer: Value = serde_json::from_slice(&cancelled.stdout)?;
    assert_eq!((&answer["said"], &answer["saga"]["id"]), (&json!("cancel"), &json!("o-1")));
    await_stage(&client, &host, "o-1", "compensating")?;
    client.post("/api/v1/subscriptions/order-tickets/resume")?;
    await_stage(&client, &host, "o-1", "compensated")?;
    settle(&client, &host)?;
    let outcome = &scene.outcomes(&client)?["o-1"][0][1];
    assert_eq!(outcome["reason"], "the customer called");
    assert_eq!(kept(&client, "order-tickets", "o-1")?, "void");
    host.stop()
}
