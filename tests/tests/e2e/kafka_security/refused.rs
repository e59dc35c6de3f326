//! Hosts that the broker does not let in, or that do not believe it: they live, say why they are
//! not ready, and go on trying.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use gristmill_tests::chaos::complaints::Expected;
use gristmill_tests::support::certificates::Authority;

use super::scene::{Scene, by_certificate, by_password, creates_all, must_not_complain, must_say};

/// What a host that is not let in says of it.
const SAID: [Expected; 1] =
    [Expected { parts: &["E0604"], why: "somebody must correct who the host is" }];

#[test]
fn who_is_not_let_in_lives_says_so_and_goes_on_trying() -> Result<()> {
    let scene = Scene::new("late")?;
    let folder = tempfile::tempdir()?;
    let stranger = folder.path().join("stranger.pem");
    fs::write(&stranger, Authority::new("Somebody else")?.pem()?)?;
    let (known, passwords) = (scene.guarded.authority(), scene.guarded.passwords());
    let by_password =
        |password, authority: &Path| by_password("late", &format!("\"{password}\""), authority);
    let rows = [
        (&passwords, by_password("guessed", &known), "SASL authentication error"),
        (&passwords, by_password("in time", &known), "SASL authentication error"),
        (&passwords, by_password("in time", &stranger), "certificate verify failed"),
        (&scene.guarded.certificates(), by_certificate(None, &known), "bad certificate"),
    ];
    let mut hosts = Vec::new();
    for (address, properties, cause) in &rows {
        let home = scene.home(address, "", properties)?;
        hosts.push((home.start(&[])?, home, *cause));
    }
    for (host, home, cause) in &mut hosts {
        let client = host.listens()?;
        must_say(&client, home, &["E0604", cause])?;
        let refused = client.send_text("/topics/late-orders?key=a", "echo").expect_err("nobody");
        ensure!(format!("{refused:#}").contains("E0426"), "{refused:#}");
    }

    scene.guarded.allow("late", &scene.rights(creates_all()))?;
    scene.guarded.admit("late", "in time")?;
    hosts[1].0.must_be_ready()?;
    for (host, home, _) in hosts {
        host.stop()?;
        must_not_complain(&home, &SAID)?;
        let log = fs::read_to_string(home.log())?;
        ensure!(log.contains("E0604"), "nothing said in the log:\n{log}");
    }
    Ok(())
}
