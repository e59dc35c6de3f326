//! Damages, kills and removes snapshots on a real disk. It knows no store.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use gristmill_engine::PartitionId;

use super::{FolderWriter, Reader, clear, head, list, remove};
use crate::{Error, changelog::Entry};

const ONE: PartitionId = PartitionId(1);

fn entries() -> Vec<Entry> {
    let entry = |key: &str, value: &str| Entry {
        key: Bytes::from(key.to_owned()),
        value: Some(Bytes::from(value.to_owned())),
    };
    vec![entry("sa", "1"), entry("sb", ""), entry("tc", "three")]
}

fn write(path: &Path) {
    let folder = FolderWriter::begin(path).unwrap();
    let mut file = folder.file(ONE, b"who").unwrap();
    for entry in entries() {
        file.put(&entry).unwrap();
    }
    let so_far = file.bytes();
    assert_eq!(file.finish().unwrap(), so_far + 32);
    assert!(folder.finish().unwrap());
}

fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let (mut reader, _) = Reader::open(path, ONE)?;
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        found.push(entry);
    }
    Ok(found)
}

#[test]
fn a_snapshot_is_read_back_as_it_was_written() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tally").join("first");
    write(&path);
    assert_eq!(read(&path).unwrap(), entries());
    let found = head(&path, ONE).unwrap();
    assert_eq!(&found.document[..], b"who");
    assert_eq!(found.bytes, fs::metadata(path.join("1.snapshot")).unwrap().len());
    assert!(matches!(head(&path, PartitionId(2)), Err(Error::SnapshotRead { .. })));
}

#[test]
fn a_byte_more_less_or_other_is_found() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tally").join("first");
    write(&path);
    let file = path.join("1.snapshot");
    let whole = fs::read(&file).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&file, bytes).unwrap();
        let read = read(&path);
        assert!(matches!(read, Err(Error::SnapshotDamaged { .. })), "{what}: {read:?}");
    };
    for at in 0..whole.len() {
        refused(&whole[..at], &format!("cut at {at}"));
        let mut other = whole.clone();
        other[at] ^= 0x10;
        refused(&other, &format!("byte {at} is another"));
    }
    refused(&[&whole[..], b"x"].concat(), "a byte more");
    fs::write(&file, &whole).unwrap();
    assert_eq!(read(&path).unwrap(), entries());
}

#[test]
fn a_snapshot_is_there_as_a_whole_or_not_at_all() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("snapshots");
    let (folder, path) = (root.join("tally"), root.join("tally").join("first"));
    assert_eq!(list(&folder).unwrap(), []);
    assert!(!remove(&path).unwrap());
    // One that is given up, and one whose host is killed.
    drop(FolderWriter::begin(&path).unwrap());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    let killed = FolderWriter::begin(&path).unwrap();
    drop(killed.file(ONE, b"who").unwrap());
    let _never_dropped = std::mem::ManuallyDrop::new(killed);
    assert_eq!(list(&folder).unwrap(), []);
    clear(&root).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    write(&path);
    assert_eq!(list(&folder).unwrap(), [("first".to_owned(), vec![ONE])]);
    // Its name is taken.
    let second = FolderWriter::begin(&path).unwrap();
    assert!(!second.finish().unwrap());
    assert_eq!(read(&path).unwrap(), entries());
    clear(&root).unwrap();
    assert!(remove(&path).unwrap());
    assert_eq!(list(&folder).unwrap(), []);
}

#[test]
fn one_that_is_removed_is_read_to_its_end() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tally").join("first");
    write(&path);
    let (mut reader, _) = Reader::open(&path, ONE).unwrap();
    assert!(remove(&path).unwrap());
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        found.push(entry);
    }
    assert_eq!(found, entries());
}
