//! Events that cannot be dealt with: those of one key that fail, and those whose effects no topic
//! takes. Others must not notice.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use gristmill_tests::chaos::check::Kind;
use gristmill_tests::chaos::input::Event;
use gristmill_tests::support::client::Stored;
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::wait;

use super::scene::{PATIENCE, SUBSCRIPTIONS, Scene, Story};

/// Retries that do not end while a test looks.
const ENDLESS: &str = r#"
initial_interval = "100ms"
max_interval = "500ms"
max_attempts = 1000000
inline_attempts = 3
inline_time = "50ms"
"#;
/// The same, and now they have.
const ENDING: &str = r#"
initial_interval = "100ms"
max_interval = "500ms"
max_attempts = 5
inline_attempts = 3
inline_time = "50ms"
"#;

fn stuck(number: u32) -> Event {
    let fails = if number == 0 { 1_000_000 } else { 0 };
    let id = format!("stuck-{number}");
    Event { id, key: "stuck".to_owned(), fails, poison: false, timer_ms: None }
}

#[test]
fn a_poisoned_key_holds_up_itself_alone() -> Result<()> {
    let ground = Ground::of_faults()?;
    let cluster = ground.cluster();
    let scene = Scene::new(cluster, "poisoned", "");
    let home = Scene::home_with(&scene.config(), &scene.manifest(ENDLESS))?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let mut story = Story::begin(cluster, &scene)?;
    for number in 0..10 {
        story.tell_one("orders", stuck(number))?;
    }
    story.tell(1_500)?;
    story.tell_one("orders", stuck(10))?;
    let told = story.end()?;
    // The offsets advance over what waits: its lane is parked, in each subscription.
    let level = wait::until(PATIENCE, || Ok(scene.is_level(cluster)?.then_some(())))?;
    level.with_context(|| format!("offsets do not advance:\n{}", host.tail()))?;
    // Others that failed at first may still wait for their next attempt.
    let parked = || -> Result<Vec<u64>> {
        Ok(client.subscriptions()?.iter().map(|it| it.parked_events).collect())
    };
    let alone = wait::until(PATIENCE, || Ok((parked()? == [11, 11]).then_some(())))?;
    alone.with_context(|| format!("parked are {:?}", parked()))?;
    for name in SUBSCRIPTIONS {
        let effects = cluster.topic(&scene.topic(&format!("{name}-out")))?;
        let done: BTreeSet<_> = effects.iter().flatten().filter_map(id_of).collect();
        ensure!(!done.iter().any(|id| id.starts_with("stuck")), "{name}: the lane goes on");
        let others = told.values().flatten().filter(|event| !event.poison && event.key != "stuck");
        let missing: Vec<_> = others.filter(|event| !done.contains(&*event.id)).collect();
        ensure!(missing.is_empty(), "{name}: held up are {missing:?}");
    }

    home.put("tally.toml", scene.manifest(ENDING).as_bytes())?;
    let violations = scene.judge(cluster, vec![(&home, host)], told, &[])?;
    // Nobody rejected it, so the checker does not know why it is dead: once in each subscription.
    let wanted = |text: &str| {
        text == "stuck-0 is a dead letter (retryable)" || text == "stuck-0 has no effect"
    };
    let (known, others): (Vec<_>, Vec<_>) = violations.iter().partition(|it| wanted(&it.what));
    ensure!(others.is_empty(), "{others:?}");
    let lost = known.iter().filter(|it| it.kind == Kind::Lost).count();
    ensure!((known.len(), lost) == (4, 2), "{known:?}");
    Ok(())
}

fn id_of(record: &Stored) -> Option<&str> {
    record.payload["id"].as_str()
}
