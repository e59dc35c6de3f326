//! A handler that emits to a topic which its host's user may not write.

use anyhow::{Result, ensure};
use gristmill_tests::support::kafka::Right;

use super::scene::{Scene, by_password, creates_all, must_be_once, must_not_complain};

/// Events of each source.
const EVENTS: usize = 60;

fn is_denied(number: usize) -> bool {
    number % 20 == 7
}

#[test]
fn what_may_not_be_written_is_a_dead_letter_and_others_go_on() -> Result<()> {
    let scene = Scene::new("confined")?;
    scene.guarded.admit("confined", "mind the gap")?;
    let forbidden = scene.topic("forbidden");
    let mut rights = scene.rights(creates_all());
    rights.push(Right { kind: "TOPIC", name: forbidden.clone(), operations: &["DESCRIBE"] });
    scene.guarded.allow("confined", &rights)?;
    let authority = scene.guarded.authority();
    let properties = by_password("confined", "\"mind the gap\"", &authority);
    let home = scene.home(&scene.guarded.passwords(), "", &properties)?;
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    let script = |number| {
        if is_denied(number) { format!("emit {forbidden} 5") } else { "echo".to_owned() }
    };
    let scripts: Vec<_> = (0..EVENTS).map(script).collect();
    let places = scene.publish(&scripts)?;
    scene.settle(&home, &places)?;
    host.stop()?;
    let (denied, done): (Vec<_>, Vec<_>) =
        places.iter().enumerate().partition(|(number, _)| is_denied(number % EVENTS));
    let done: Vec<_> = done.into_iter().map(|(_, place)| place).collect();
    must_be_once(&scene.answers()?, &done)?;
    let letters = scene.letters()?;
    let reason = format!("no right to topic \"{forbidden}\"");
    for letter in &letters {
        ensure!(letter.header("dlq-error-class") == Some("output"), "{letter:?}");
        ensure!(letter.header("dlq-error-code") == Some("E0605"), "{letter:?}");
        let said = letter.header("dlq-error-message").unwrap_or_default();
        ensure!(said.contains(&reason), "{letter:?}");
    }
    // Each in both subscriptions.
    ensure!(letters.len() == 2 * denied.len(), "{} letters of {denied:?}", letters.len());
    let kept = scene.guarded.ground().read(&[&forbidden])?;
    ensure!(kept.values().flatten().flatten().count() == 0, "{kept:?}");
    must_not_complain(&home, &[])
}
