//! Compiled code on disk: taken when it is what it says, made again when it is not.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, path::PathBuf};

use gristmill_plugin_host::{Error, Limits, Plugin, Runtime, RuntimeSettings};

use crate::{
    bench::{Memory, answer, call_on, logged, runner_with},
    guests,
};

fn runtime(dir: &Path, fuel: bool) -> Runtime {
    let cache_dir = Some(dir.to_owned());
    let settings = RuntimeSettings { cache_dir, fuel, instances_max: 2, ..Default::default() };
    Runtime::new(settings).unwrap()
}

fn load(dir: &Path) -> (Vec<String>, Plugin) {
    let component = guests::component("global-counter");
    logged(|| {
        let runtime = runtime(dir, false);
        let plugin = runtime.load(&component).unwrap();
        let runner = runner_with(&runtime, &plugin, Limits::default());
        assert_eq!(answer(&call_on(&runner, "", Memory::default())), "1");
        plugin
    })
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_restart_takes_compiled_code_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (_, first) = load(dir.path());
    assert!(!first.compiled_from_cache());
    let (lines, second) = load(dir.path());
    assert!(second.compiled_from_cache());
    assert_eq!(lines, Vec::<String>::new());
    assert_eq!(files(dir.path()).len(), 1, "no unfinished file stays");
}

#[test]
fn another_engine_does_not_take_it() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path());
    let component = guests::component("global-counter");
    let metered = runtime(dir.path(), true).load(&component).unwrap();
    assert!(!metered.compiled_from_cache());
    assert_eq!(files(dir.path()).len(), 2);
    assert!(load(dir.path()).1.compiled_from_cache(), "both are kept");
}

#[test]
fn a_corrupt_file_is_reported_and_compiled_again() {
    type Harm = fn(&mut Vec<u8>);
    let harms: [Harm; 3] = [
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.clear(),
    ];
    for harm in harms {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path());
        let path = files(dir.path()).remove(0);
        let mut bytes = fs::read(&path).unwrap();
        harm(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let (lines, plugin) = load(dir.path());
        assert!(!plugin.compiled_from_cache());
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("WARN") && lines[0].contains("discarded"), "{lines:?}");
        assert!(load(dir.path()).1.compiled_from_cache(), "and is kept again");
    }
}

#[test]
fn a_file_others_may_write_to_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path());
    let path = files(dir.path()).remove(0);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let (lines, plugin) = load(dir.path());
    assert!(!plugin.compiled_from_cache());
    assert!(lines[0].contains("others may write to it"), "{lines:?}");
}

#[test]
fn a_file_of_another_component_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    load(dir.path());
    let path = files(dir.path()).remove(0);
    let name = path.file_name().unwrap().to_str().unwrap();
    let foreign = format!("{}{}", "0".repeat(64), &name[64..]);
    fs::rename(&path, dir.path().join(foreign)).unwrap();
    assert!(!load(dir.path()).1.compiled_from_cache());
}

#[test]
fn a_directory_others_may_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let cache_dir = Some(dir.path().to_owned());
    let settings = RuntimeSettings { cache_dir, instances_max: 1, ..Default::default() };
    let error = Runtime::new(settings).unwrap_err();
    assert!(matches!(error, Error::Cache { .. }), "{error}");
    assert_eq!(error.code(), "E0303");
}

#[test]
fn a_missing_directory_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let nested = dir.path().join("a/b");
    load(&nested);
    assert_eq!(files(&nested).len(), 1);
}
