//! Tokens from where they are made to where they are asked for.

use crate::support::Folder;

/// A token, and the lines that admit it.
fn made(folder: &Folder, line: &str) -> (String, String) {
    let made = folder.run(&format!("--json token new {line}"));
    assert_eq!(made.code, Some(0), "{made:?}");
    let made = made.json();
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    (text("token"), text("configuration"))
}

#[test]
fn a_host_serves_whoever_has_a_token_that_it_admits() {
    let maker = Folder::new();
    let (shop, shop_lines) = made(&maker, "shop --role publish --role read --topic ord*");
    let (ops, ops_lines) = made(&maker, "ops --role operate --role read");
    let config = format!("[topics.orders]\n[topics.carts]\n{shop_lines}{ops_lines}");
    let mut folder = Folder::with_host(&config);
    folder.write("shop", format!("{shop}\n"));
    folder.write("ops", &ops);
    let host = folder.host(&[]);
    folder.until("health", |ran| ran.code == Some(0));
    let refused = folder.run("topics list");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.starts_with("error[E0441]"), "{refused:?}");
    assert!(folder.fed("produce orders --token-file shop", "{}\n").done().contains("orders/"));
    let refused = folder.fed("produce carts --token-file shop", "{}\n");
    assert!(refused.err.contains("[E0442]") && refused.err.contains("\"shop\""), "{refused:?}");
    assert!(folder.run("consume orders --token-file shop").done().contains("{}"));
    assert!(folder.run("topics list --token-file ops").done().contains("carts"));
    let gone = folder.run("topics delete carts --yes --token-file ops");
    assert_eq!(gone.done(), "topic carts is deleted\n");
    let missing = folder.run("topics list --token-file nothing");
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.err.starts_with("error[E0569]"), "{missing:?}");
    let (code, log) = host.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("an operator's change is asked for") && log.contains("ops"), "{log}");
    for secret in [shop, ops] {
        assert!(!log.contains(&secret), "a secret is in the log");
    }
}

#[test]
fn a_token_is_shown_once_with_the_lines_that_admit_it() {
    let folder = Folder::new();
    let made = folder.run("token new shop --expires 2027-01-31T00:00:00Z");
    let token = made.done().trim();
    assert!(token.starts_with("gristmill_") && token.len() == 74, "{made:?}");
    assert!(!made.err.contains(token), "{made:?}");
    for line in ["[tokens.shop]", "roles = [\"read\"]", "expires = \"2027-01-31T00:00:00Z\""] {
        assert!(made.err.contains(line), "no {line}: {made:?}");
    }
    let refused = folder.run("token new Shop");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.starts_with("error[E0568]"), "{refused:?}");
}
