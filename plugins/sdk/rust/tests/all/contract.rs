//! The SDK carries a copy of the contract, so that it builds outside of the repository.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Every file below `folder` by its path from `root`.
fn files(root: &Path, folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(root, &path));
        } else {
            let name = path.strip_prefix(root).unwrap().to_owned();
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    found
}

#[test]
fn the_copy_of_the_contract_is_the_contract() {
    let copy = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
    let copied = files(&copy, &copy);
    assert!(copied.contains_key(Path::new("plugin.wit")));
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit");
    // A published crate has the copy alone.
    if contract.is_dir() {
        assert_eq!(copied, files(&contract, &contract), "copy wit/ to plugins/sdk/rust/wit");
    }
}
