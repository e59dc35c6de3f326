//! A plugin that fails, its dead letters, its correction, the redrive, the rollback.

use crate::{guest, support::Folder};

const HOST: &str = "[topics.orders]\npartitions = 2\nkey = \"/customerId\"\n";
const MANIFEST: &str = "[[subscription]]\nname = \"billing\"\ntopics = [\"orders\"]\n\
                        envelope = \"raw\"\n";

#[test]
fn a_dead_letter_is_found_understood_and_driven_again() {
    let mut folder = Folder::with_host(HOST);
    folder.write("plugins/billing.toml", MANIFEST);
    folder.write("plugins/billing.wasm", guest::trapping());
    let host = folder.host(&[]);
    folder.until("health", |ran| ran.code == Some(0));
    folder.fed("produce orders", "{\"customerId\":\"a\"}\n").done();
    let dead = folder.run("consume orders.billing.dlq --follow --from earliest --max 1");
    assert!(dead.done().contains("{\"customerId\":\"a\"}"), "{dead:?}");

    let id = inspect(&folder);
    assert_eq!(host.stop().0, Some(0));

    folder.write("plugins/billing.wasm", guest::succeeding());
    let host = folder.host(&[]);
    folder.until("plugins history billing --json", |ran| {
        ran.code == Some(0) && ran.json()["history"].as_array().is_some_and(|it| it.len() == 2)
    });
    drive(&folder, &id);
    operate(&folder);
    assert_eq!(host.stop().0, Some(0));
}

/// What is shown of the one dead letter; its id.
fn inspect(folder: &Folder) -> String {
    let totals = folder.run("dlq list");
    assert!(
        totals.done().contains("\nbilling             1  orders.billing.dlq     1"),
        "{totals:?}"
    );
    let listed = folder.run("dlq list billing --class trap --json").json();
    let id = listed["events"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(folder.run("dlq list billing --class timeout").done(), "no dead letters\n");
    assert!(folder.run("dlq list billing --since 1h").done().contains(&id));
    let shown = folder.run(&format!("dlq show billing {id}"));
    for told in
        ["class         trap\n", "attempts      2\n", "key           a\n", "came from     orders/"]
    {
        assert!(shown.done().contains(told), "{told}: {shown:?}");
    }
    let rehearsed = folder.run("dlq redrive billing --dry-run");
    assert_eq!(rehearsed.code, Some(1));
    assert!(rehearsed.out.starts_with("0 would succeed\n1 would fail: trap\n"), "{rehearsed:?}");
    let unsure = folder.run("dlq redrive billing");
    assert_eq!((unsure.code, unsure.err.contains("E0563")), (Some(2), true), "{unsure:?}");
    id
}

/// Drives it again, once.
fn drive(folder: &Folder, id: &str) {
    assert_eq!(folder.run("dlq redrive billing --dry-run").done(), "1 would succeed\n");
    let driven = folder.run(&format!("dlq redrive billing --id {id}"));
    assert_eq!(driven.done(), "1 dead letters of billing are driven again\n");
    assert_eq!(folder.run("dlq list billing").done(), "no dead letters\n");
    assert!(folder.run("dlq list billing --redriven").done().contains("redriven"));
    assert_eq!(
        folder.run("dlq redrive billing --yes").done(),
        "0 dead letters of billing are driven again\n"
    );
}

/// Pause, resume, rollback and what is shown of them.
fn operate(folder: &Folder) {
    let paused = folder.run("plugins pause billing");
    assert_eq!(paused.done(), "subscription billing is paused: operator\n");
    let listed = folder.run("subscriptions list");
    assert!(listed.done().contains("paused (operator)"), "{listed:?}");
    assert_eq!(folder.run("plugins resume billing").done(), "subscription billing runs\n");
    assert_eq!(folder.run("topics delete orders --yes").code, Some(1), "it is used");
    let rolled = folder.run("plugins rollback billing");
    assert!(rolled.done().starts_with("plugin billing runs "), "{rolled:?}");
    let listed = folder.run("plugins list");
    assert!(listed.done().contains("  yes     billing"), "{listed:?}");
    let unknown = folder.run("plugins rollback billing --to 0000");
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}
