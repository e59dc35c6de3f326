//! Decides which files of the plugin directory are plugins and which of them changed. It reads
//! the directory and nothing else: what a changed pair means is decided in `directory`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The plugins of a directory by stem: `NAME.wasm` beside `NAME.toml`.
pub(super) type Scan = BTreeMap<String, Pair>;

/// The two files of one plugin; either may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pair {
    /// `NAME.wasm`.
    pub(super) component: Option<Seen>,
    /// `NAME.toml`.
    pub(super) manifest: Option<Seen>,
}

/// A file as one scan saw it. Equal stamps mean equal content: the change time moves with every
/// write, rename and link, and cannot be set back by a copying tool as the modification time can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    stamp: (u64, u64, u64, i64, i64),
}

/// Lists the plugins of `directory`. Editors' and copying tools' temporary files are passed over,
/// symbolic links are followed (Kubernetes swaps one to change a mounted directory).
pub(super) fn scan(directory: &Path) -> io::Result<Scan> {
    let mut found = Scan::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some((stem, kind)) = plugin_file(&path) else { continue };
        let seen = match see(&path) {
            Ok(Some(seen)) => seen,
            Ok(None) => continue,
            // Gone between listing and looking: the next scan tells.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let pair = found.entry(stem).or_default();
        match kind {
            Kind::Component => pair.component = Some(seen),
            Kind::Manifest => pair.manifest = Some(seen),
        }
    }
    Ok(found)
}

/// SHA-256 of `bytes` in lower-case hexadecimal: how contents are told apart.
pub(super) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Component,
    Manifest,
}

/// The stem and kind of a plugin's file, unless it is some tool's temporary file.
fn plugin_file(path: &Path) -> Option<(String, Kind)> {
    let name = path.file_name()?.to_str()?;
    if name.starts_with(['.', '#', '~']) {
        return None;
    }
    let kind = match path.extension()?.to_str()? {
        "wasm" => Kind::Component,
        "toml" => Kind::Manifest,
        _ => return None,
    };
    Some((path.file_stem()?.to_str()?.to_owned(), kind))
}

fn see(path: &Path) -> io::Result<Option<Seen>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let stamp =
        (metadata.dev(), metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec());
    Ok(Some(Seen { path: path.to_owned(), stamp }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plugins_files_count() {
        for (name, expected) in [
            ("ordering.wasm", Some(("ordering", Kind::Component))),
            ("ordering.toml", Some(("ordering", Kind::Manifest))),
            ("a.b.wasm", Some(("a.b", Kind::Component))),
            (".ordering.wasm.swp", None),
            (".ordering.toml", None),
            ("ordering.wasm~", None),
            ("ordering.toml.tmp", None),
            ("#ordering.toml", None),
            ("4913", None),
            ("..data", None),
            ("README.md", None),
        ] {
            let found = plugin_file(Path::new(name));
            let found = found.as_ref().map(|(stem, kind)| (stem.as_str(), kind));
            assert_eq!(found, expected.as_ref().map(|(s, k)| (*s, k)), "{name}");
        }
    }

    #[test]
    fn a_rewrite_a_rename_and_a_symlink_swap_are_seen() {
        let home = tempfile::tempdir().unwrap();
        let plugins = home.path().join("plugins");
        for version in ["one", "two"] {
            fs::create_dir_all(home.path().join(version)).unwrap();
            fs::write(home.path().join(version).join("p.wasm"), version).unwrap();
        }
        fs::create_dir(&plugins).unwrap();
        let data = plugins.join("..data");
        std::os::unix::fs::symlink(home.path().join("one"), &data).unwrap();
        std::os::unix::fs::symlink("..data/p.wasm", plugins.join("p.wasm")).unwrap();
        let first = scan(&plugins).unwrap();
        assert_eq!(scan(&plugins).unwrap(), first);

        let next = plugins.join("..next");
        std::os::unix::fs::symlink(home.path().join("two"), &next).unwrap();
        fs::rename(&next, &data).unwrap();
        let second = scan(&plugins).unwrap();
        assert_ne!(second, first);

        fs::remove_file(plugins.join("p.wasm")).unwrap();
        fs::write(plugins.join(".p.wasm.tmp"), "one").unwrap();
        assert!(scan(&plugins).unwrap().is_empty());
        fs::rename(plugins.join(".p.wasm.tmp"), plugins.join("p.wasm")).unwrap();
        assert_eq!(scan(&plugins).unwrap().len(), 1);
    }

    #[test]
    fn digests_are_sha_256() {
        assert_eq!(
            digest(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
