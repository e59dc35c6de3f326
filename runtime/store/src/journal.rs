//! Decides whether the journals still hold every checkpoint that was acknowledged. It reads them
//! before the storage engine does, and changes nothing but a torn tail.
//!
//! The engine's recovery stops at the first byte it cannot read, cuts the file there, and goes on
//! with the next journal: damage in the middle would become a silent gap. So the journals are
//! read here first. Their form is that of fjall 3 (`FJL\x03`): a batch is `1, count: u32, seqno:
//! u64`, then items, then `3, xxh3 of the items: u64, FJL\x03`, all little-endian. A test reads a
//! journal that fjall wrote, so a change of form fails it before it fails an operator.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use crate::{Error, key::meta};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8; 4] = b"FJL\x03";

/// What the journals hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The last checkpoint, if there is one.
    pub(crate) last: Option<u64>,
    /// A copy of the last journal, if it was cut and nothing in it says that it could be.
    pub(crate) copy: Option<PathBuf>,
}

/// Reads every journal in `folder` and compares with the checkpoint known to be synced. A torn
/// tail of the last journal, all of it later than `synced`, is cut off: nobody was told of it.
/// With `synced` 0 any tail may be torn, also where what was lost came before what was kept.
///
/// With no checkpoint in any journal all should be in tables, which only the engine can read:
/// then the journal is copied to `spare` before it is cut, and the caller looks again.
///
/// # Errors
///
/// [`Error::Damaged`] when checkpoints are missing, [`Error::Directory`] when a journal cannot be
/// read or cut.
pub(crate) fn check(folder: &Path, spare: &Path, synced: u64) -> Result<Checked, Error> {
    let journals = journals(folder).map_err(|source| directory(folder, source))?;
    if journals.is_empty() && synced > 0 {
        let place = format!("{}: no journal", folder.display());
        return Err(Error::Damaged { place, synced, readable: 0 });
    }
    let (mut last, mut copy) = (Tail::default(), None);
    for (index, path) in journals.iter().enumerate() {
        let scan = scan(path, last).map_err(|source| directory(path, source))?;
        last = scan.last;
        let readable = last.checkpoint;
        let newest = index + 1 == journals.len();
        let damaged = || Error::Damaged {
            place: format!("{} at byte {}", path.display(), scan.good),
            synced,
            readable: readable.unwrap_or(0),
        };
        match scan.stop {
            Stop::Clean => {}
            // A journal is synced as a whole before the next begins, also where commits are not;
            // and before any part of it goes into a table (fjall-rs/fjall#329).
            Stop::Torn if !newest => return Err(damaged()),
            Stop::Gap => return Err(damaged()),
            Stop::Torn if readable.is_some_and(|readable| readable < synced) => {
                return Err(damaged());
            }
            Stop::Torn => {
                if readable.is_none() && synced > 0 {
                    fs::copy(path, spare).map_err(|source| directory(spare, source))?;
                    copy = Some(spare.to_owned());
                }
                cut(path, scan.good).map_err(|source| directory(path, source))?;
                tracing::info!(journal = %path.display(), at = scan.good, "cut off a torn tail");
            }
        }
    }
    match (last.checkpoint, journals.last()) {
        (Some(readable), Some(path)) if readable < synced => {
            let place = format!("{} at its end", path.display());
            Err(Error::Damaged { place, synced, readable })
        }
        (last, _) => Ok(Checked { last, copy }),
    }
}

fn directory(path: &Path, source: io::Error) -> Error {
    Error::Directory { path: path.to_owned(), source: source.into() }
}

fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}

/// Journals of a folder by their number, oldest first. Other names are the engine's business.
fn journals(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl"));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Why reading a journal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// At its end, or at the zeros it was made with.
    Clean,
    /// At bytes that are no batch.
    Torn,
    /// At a batch that does not follow the one before.
    Gap,
}

/// What the batches up to here ended with.
#[derive(Debug, Clone, Copy, Default)]
struct Tail {
    /// The last checkpoint that follows without a gap.
    checkpoint: Option<u64>,
    /// The engine's number of the last batch. It is outside the batch's checksum, so all that
    /// can be told is that it must rise.
    seqno: Option<u64>,
}

impl Tail {
    fn followed_by(self, next: Batch) -> Option<Self> {
        let follows = match (self.checkpoint, next.checkpoint) {
            (Some(last), Some(number)) => number == last + 1,
            (_, _) => true,
        };
        let rises = self.seqno.is_none_or(|last| next.seqno > last);
        let checkpoint = next.checkpoint.or(self.checkpoint);
        (follows && rises).then_some(Self { checkpoint, seqno: Some(next.seqno) })
    }
}

/// One whole batch.
#[derive(Debug, Clone, Copy)]
struct Batch {
    checkpoint: Option<u64>,
    seqno: u64,
}

/// What one journal holds.
#[derive(Debug)]
struct Scan {
    last: Tail,
    /// Where the last whole batch ends.
    good: u64,
    stop: Stop,
}

fn scan(path: &Path, before: Tail) -> io::Result<Scan> {
    let file = File::open(path)?;
    let mut reader = Reader { from: BufReader::with_capacity(1 << 20, file), at: 0 };
    let mut scan = Scan { last: before, good: 0, stop: Stop::Clean };
    loop {
        match reader.batch() {
            Ok(Some(batch)) => {
                let Some(last) = scan.last.followed_by(batch) else {
                    scan.stop = Stop::Gap;
                    return Ok(scan);
                };
                scan.last = last;
                scan.good = reader.at;
            }
            Ok(None) => {
                scan.stop = if reader.only_zeros()? { Stop::Clean } else { Stop::Torn };
                return Ok(scan);
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                scan.stop = if reader.at == scan.good { Stop::Clean } else { Stop::Torn };
                return Ok(scan);
            }
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                scan.stop = Stop::Torn;
                return Ok(scan);
            }
            Err(error) => return Err(error),
        }
    }
}

struct Reader<R> {
    from: R,
    /// Bytes read so far.
    at: u64,
}

impl<R: Read> Reader<R> {
    fn take(&mut self, into: &mut [u8]) -> io::Result<()> {
        // Not `read_exact`: how far a short read came tells a clean end from a torn one.
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let count = self.from.read(rest)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += count;
            self.at += u64::try_from(count).unwrap_or(0);
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut out = [0; N];
        self.take(&mut out)?;
        Ok(out)
    }

    /// Reads a batch; `None` at a zero where one should begin.
    fn batch(&mut self) -> io::Result<Option<Batch>> {
        match self.array()? {
            [0] => return Ok(None),
            [START] => {}
            [_] => return Err(ErrorKind::InvalidData.into()),
        }
        let count = u32::from_le_bytes(self.array()?);
        let seqno = u64::from_le_bytes(self.array()?);
        let mut checkpoint = None;
        let mut sum = Xxh3::new();
        let mut buffer = Vec::new();
        for _ in 0..count {
            buffer.clear();
            if let Some(number) = self.item(&mut buffer)? {
                checkpoint = Some(number);
            }
            sum.update(&buffer);
        }
        let [end] = self.array()?;
        let expected = u64::from_le_bytes(self.array()?);
        let trailer: [u8; 4] = self.array()?;
        if end != END || expected != sum.digest() || trailer != *TRAILER {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Some(Batch { checkpoint, seqno }))
    }

    /// Reads an item into `buffer` as it is on disk and gives the checkpoint, if it is that.
    fn item(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<u64>> {
        let [tag] = self.array()?;
        buffer.push(tag);
        if tag == CLEAR {
            buffer.extend_from_slice(&self.array::<8>()?);
            return Ok(None);
        }
        // Type, compression, keyspace, length of key, of value, of value on disk.
        let head: [u8; 20] = self.array()?;
        let key_length = [head[10], head[11]];
        let value_length = [head[16], head[17], head[18], head[19]];
        // Lengths of a damaged item may be anything; what they ask for must be possible first.
        let key_length = usize::from(u16::from_le_bytes(key_length));
        let value_length = usize::try_from(u32::from_le_bytes(value_length)).unwrap_or(usize::MAX);
        if tag != ITEM || head[0] > 3 || head[1] > 1 {
            return Err(ErrorKind::InvalidData.into());
        }
        buffer.extend_from_slice(&head);
        let start = buffer.len();
        self.append(buffer, key_length)?;
        let value = buffer.len();
        self.append(buffer, value_length)?;
        let is_checkpoint = buffer.get(start..value) == Some(meta::CHECKPOINT);
        let number = buffer.get(value..).and_then(|value| value.first_chunk::<8>());
        Ok(number.filter(|_| is_checkpoint).map(|number| u64::from_be_bytes(*number)))
    }

    /// Appends `length` bytes, in steps, so that a damaged length costs no memory.
    fn append(&mut self, buffer: &mut Vec<u8>, length: usize) -> io::Result<()> {
        const STEP: usize = 1 << 20;
        let mut left = length;
        while left > 0 {
            let step = left.min(STEP);
            let filled = buffer.len();
            buffer.resize(filled + step, 0);
            if let Some(room) = buffer.get_mut(filled..) {
                self.take(room)?;
            }
            left -= step;
        }
        Ok(())
    }

    fn only_zeros(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = self.from.read(&mut buffer)?;
            let read = buffer.get(..count).unwrap_or_default();
            if count == 0 {
                return Ok(true);
            }
            if read.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
    }
}
