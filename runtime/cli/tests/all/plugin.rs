//! `gristmill plugin`: a new plugin builds and passes as it is, and what is wrong is told.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    guest,
    support::{Folder, Ran},
};

const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/sdk/rust");

/// Where guests are compiled; kept between runs, so that the standard library is built once.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/guests");

/// Runs the binary with the environment of this test: building needs the machine's cargo.
fn gristmill(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", TARGET);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The code of an error, as it is printed.
fn told(ran: &Ran) -> &str {
    let label = ran.err.lines().find_map(|line| line.strip_prefix("error["));
    label.and_then(|rest| rest.split(']').next()).unwrap_or_default()
}

/// One test, as all of it shares a compilation of the SDK.
#[test]
fn a_new_plugin_builds_and_passes_as_it_is() {
    let dir = TempDir::new().unwrap();
    let run = |arguments: &[&str]| gristmill(dir.path(), arguments);
    for (name, option) in [("geo", None), ("late-2", Some("--timed"))] {
        let arguments = ["plugin", "new", name, "--sdk-path", SDK].into_iter().chain(option);
        let made = run(&arguments.collect::<Vec<&str>>());
        assert!(made.done().contains("gristmill plugin build"), "{made:?}");
        let built = run(&["plugin", "build", name]);
        assert!(built.done().starts_with("built "), "{built:?}");
        let tested = run(&["plugin", "test", name]);
        assert!(tested.done().starts_with(&format!("passed {name}: sample, ")), "{tested:?}");
    }
    unchanged_is_left_alone(dir.path());
    wants_are_told(dir.path());
    difference_is_shown(dir.path());
    broken_source_is_refused(dir.path());
}

fn unchanged_is_left_alone(dir: &Path) {
    let written = || fs::metadata(dir.join("geo/geo.wasm")).unwrap().modified().unwrap();
    let before = written();
    let built = gristmill(dir, &["plugin", "build", "geo"]);
    assert!(built.done().starts_with("unchanged "), "{built:?}");
    assert_eq!(written(), before);
    let built = gristmill(dir, &["plugin", "build", "geo", "--out", "plugins/other.wasm"]);
    assert!(built.done().contains("plugins/other.wasm"), "{built:?}");
    assert_eq!(
        fs::read(dir.join("plugins/other.wasm")).unwrap(),
        fs::read(dir.join("geo/geo.wasm")).unwrap()
    );
}

fn wants_are_told(dir: &Path) {
    let geo = gristmill(dir, &["plugin", "inspect", "geo/geo.wasm", "--json"]).json();
    assert_eq!(geo["world"], "handler");
    assert_eq!(geo["version"], "0.1.0");
    assert_eq!(geo["grants"][1], "state = true");
    // A handler of this size fits into 150,000 bytes, names of functions included.
    assert!(geo["bytes"].as_u64().unwrap() < 150_000, "{geo}");
    let late = gristmill(dir, &["plugin", "inspect", "late-2/late-2.wasm", "--json"]).json();
    assert_eq!(late["world"], "timed-handler");
    assert_eq!(late["grants"][1], "timers = true");
}

fn difference_is_shown(dir: &Path) {
    let golden = dir.join("geo/tests/sample.golden.json");
    let right = fs::read_to_string(&golden).unwrap();
    fs::write(&golden, right.replace("\"amount\": 7", "\"amount\": 8")).unwrap();
    let tested = gristmill(dir, &["plugin", "test", "geo"]);
    assert_eq!(tested.code, Some(1));
    assert!(tested.out.contains("\"amount\": 8\n") && tested.out.contains("\"amount\": 7\n"));
    assert!(!tested.out.contains('\u{1b}'), "no colours without a terminal: {tested:?}");
    let answer = gristmill(dir, &["plugin", "test", "geo", "--json"]).json();
    assert_eq!(answer[0]["verdict"], "failed");
    let updated = gristmill(dir, &["plugin", "test", "geo", "--update"]);
    assert!(updated.done().starts_with("updated geo: sample"), "{updated:?}");
    assert_eq!(fs::read_to_string(&golden).unwrap(), right);
}

fn broken_source_is_refused(dir: &Path) {
    let source = dir.join("geo/src/lib.rs");
    let right = fs::read_to_string(&source).unwrap();
    fs::write(&source, format!("{right}\nfn broken(")).unwrap();
    let built = gristmill(dir, &["plugin", "build", "geo"]);
    assert_eq!((built.code, told(&built)), (Some(1), "E0506"), "{built:?}");
    let timers = "host.timers().set(\"t\", event.time, \"\")?;\n    host.emit(";
    fs::write(&source, right.replace("host.emit(", timers)).unwrap();
    let built = gristmill(dir, &["plugin", "build", "geo"]);
    assert_eq!((built.code, told(&built)), (Some(1), "E0508"), "{built:?}");
    fs::write(&source, "//! Exports nothing.\n").unwrap();
    let built = gristmill(dir, &["plugin", "build", "geo"]);
    assert_eq!((built.code, told(&built)), (Some(1), "E0507"), "{built:?}");
}

#[test]
fn a_wrong_request_is_2_and_a_missing_file_3() {
    let folder = Folder::new();
    folder.write("text.wasm", "text");
    folder.write("there/file", "");
    folder.write("geo/tests/a.events.jsonl", "{\"topic\": \"a\"}\n");
    folder.write("odd/tests/a.events.jsonl", "{}\n");
    folder.write("odd/odd.wasm", guest::succeeding());
    folder.write("odd/odd.toml", "[[subscription]]\ntopics = [\"orders\"]\n");
    for (line, code, error) in [
        ("plugin new Geo", 2, "E0501"),
        ("plugin new there", 2, "E0502"),
        ("plugin new geo2 --sdk-path nowhere", 2, "E0509"),
        ("plugin build there", 2, "E0503"),
        ("plugin inspect text.wasm", 2, "E0513"),
        ("plugin inspect none.wasm", 3, "E0509"),
        ("plugin test there", 2, "E0512"),
        ("plugin test geo", 3, "E0509"),
        ("plugin test odd", 2, "E0511"),
    ] {
        let ran = folder.run(line);
        assert_eq!((ran.code, told(&ran)), (Some(code), error), "{line}: {ran:?}");
        assert!(ran.err.contains("\nhint: ") || error == "E0509", "{line}: {ran:?}");
    }
}

#[test]
fn no_host_is_asked_which_fields_a_plugin_may_see() {
    let folder = Folder::new();
    folder.write("geo/geo.wasm", guest::succeeding());
    let manifest = "[[subscription]]\ntopics = [\"orders\"]\ngrants.decrypt = [\"emails\"]\n";
    folder.write("geo/geo.toml", manifest);
    folder.write("geo/tests/a.events.jsonl", "{\"topic\": \"orders\", \"payload\": 1}\n");
    folder.run("plugin test geo --update").done();
}

#[test]
fn a_trap_is_an_outcome_like_any_other() {
    let folder = Folder::new();
    folder.write("geo/geo.wasm", guest::trapping());
    folder.write("geo/geo.toml", "[[subscription]]\ntopics = [\"orders\"]\n");
    folder.write("geo/tests/a.events.jsonl", "{\"topic\": \"orders\", \"payload\": 1}\n");
    folder.run("plugin test geo --update").done();
    let golden = fs::read_to_string(folder.path("geo/tests/a.golden.json")).unwrap();
    assert!(golden.contains("\"outcome\": \"trap\""), "{golden}");
    folder.run("plugin test geo").done();
}
