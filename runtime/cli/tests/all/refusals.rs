//! Help, exit codes, and what is said when no host is there or it refuses.

use std::net::TcpListener;

use crate::support::Folder;

#[test]
fn help_names_every_exit_code_and_command() {
    let told = Folder::new().run("--help");
    for word in ["  0  ", "  1  ", "  2  ", "  3  ", "  130  ", "produce", "dlq", "completions"] {
        assert!(told.done().contains(word), "{word}: {told:?}");
    }
    assert!(told.out.starts_with("Consumes topics, runs a sandboxed plugin per event"), "{told:?}");
}

#[test]
fn a_wrong_command_line_is_2() {
    let folder = Folder::new();
    for line in [
        "",
        "frobnicate",
        "topics create",
        "topics create a --retention long",
        "produce t --json-key key",
        "produce t --key a --json-key /a",
        "produce t --header novalue",
        "consume t --max 0",
        "dlq redrive s --since yesterday",
        "check --schema host --config a",
        "run --listen here",
        "run --listen 0.0.0.0:0",
        "run --log a=b=c",
        "topics list --url https://localhost",
        "topics delete t",
        "topics grow t",
        "groups",
        "groups list",
        "groups reset g",
        "groups reset g --to-earliest --to-latest",
        "groups reset g --to-timestamp yesterday",
        "groups reset g --to-latest --partition 1",
        "groups reset g --to-latest --keep-state --clear-state",
        "groups reset g --to-latest --topic t --clear-state",
        "completions tcl",
    ] {
        assert_eq!(folder.run(line).code, Some(2), "{line}");
    }
}

#[test]
fn without_a_host_commands_say_where_they_looked() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = Folder::new();
    let expected = format!("error[E0558]: no host answers at http://{free}");
    for (line, code) in [
        ("topics list", 3),
        ("topics describe t", 3),
        ("plugins list", 3),
        ("plugins pause s", 3),
        ("subscriptions list", 3),
        ("groups list", 3),
        ("groups describe g", 3),
        ("topics grow t --partitions 2", 3),
        ("consume t", 3),
        ("consume t --follow", 3),
        ("dlq list", 3),
        ("dlq redrive s --yes", 3),
        ("health", 1),
    ] {
        let ran = folder.run(&format!("{line} --url {free}"));
        assert_eq!(ran.code, Some(code), "{line}: {ran:?}");
        assert!(ran.err.starts_with(&expected), "{line}: {ran:?}");
        assert!(ran.err.contains("hint: start one with `gristmill run`, or give --url\n"));
        assert_eq!(ran.out, "", "{line}");
    }
    let fed = folder.fed(&format!("produce t --url {free}"), "{}\n");
    assert_eq!((fed.code, fed.err.starts_with(&expected)), (Some(3), true), "{fed:?}");
    let error = folder.run(&format!("--json topics list --url {free}")).json();
    assert_eq!(error["error"]["code"], "E0558");
}

#[test]
fn groups_are_asked_for_where_the_configuration_says() {
    let folder = Folder::new();
    for line in ["groups list", "groups describe g", "groups reset g --to-earliest"] {
        let ran = folder.run(line);
        assert!(ran.err.starts_with("error[E0566]: find the cluster"), "{line}: {ran:?}");
    }
    let missing = folder.run("groups list --config other.toml");
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.err.contains("error[E0124]"), "{missing:?}");
    folder.write("gristmill.toml", "listen = \"127.0.0.1:0\"\n");
    for line in ["groups list", "groups describe g", "groups reset g --to-earliest --dry-run"] {
        let ran = folder.run(line);
        assert_eq!(ran.code, Some(1), "{line}: {ran:?}");
        assert!(ran.err.starts_with("error[E0427]: topics live in the host's own"), "{ran:?}");
        assert!(ran.err.contains("hint: `gristmill subscriptions list`"), "{ran:?}");
    }
    folder.write("wrong.toml", "[broker]\nkind = \"kafka\"\nbroker = [\"a:1\"]\n");
    let wrong = folder.run("groups list --config wrong.toml");
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.err.ends_with("nobody knows which cluster\n"), "{wrong:?}");
}

#[test]
fn without_a_broker_groups_say_so() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = Folder::new();
    let config = format!(
        "[broker]\nkind = \"kafka\"\nbrokers = [\"{free}\"]\n\
         properties = {{ \"socket.connection.setup.timeout.ms\" = 1000 }}\n"
    );
    folder.write("gristmill.toml", config);
    // Left over by a host that was killed.
    folder.write(".gristmill/address", format!("{free}\n"));
    let ran = folder.run("groups list");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.starts_with("error[E0603]: "), "{ran:?}");
}

#[test]
fn another_server_is_no_host() {
    use std::io::{Read, Write};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut request = [0; 1_024];
        assert!(peer.read(&mut request).unwrap() > 0);
        peer.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\n<html>").unwrap();
    });
    let ran = Folder::new().run(&format!("topics list --url {address}"));
    server.join().unwrap();
    assert!(ran.err.contains("answers with status 404, not as a Gristmill host"), "{ran:?}");
}

#[test]
fn every_shell_is_served() {
    let folder = Folder::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = folder.run(&format!("completions {shell}"));
        assert!(script.done().contains("redrive"), "{shell}");
    }
}
