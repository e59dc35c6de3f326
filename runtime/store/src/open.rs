//! Decides whether a data directory may be opened, and brings what it holds into memory. It
//! repairs nothing but a torn tail.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use gristmill_engine::{Bytes as Size, Instant, Millis, PartitionId, SubscriptionId, TopicId};

use crate::{
    Error, Retention, Scope, Settings, Topic,
    codec::{Decoder, Encoder},
    disk::Disk,
    journal,
    key::meta,
    memory::{Bucket, Cells, Chunk, Log, MarkLog, Memory, Scopes, Topics},
    synced::Synced,
};

/// The format this version writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// An opened directory.
pub(crate) struct Opened {
    pub(crate) disk: Disk,
    pub(crate) memory: Arc<Memory>,
    /// `None` where commits are not synced.
    pub(crate) synced: Option<Synced>,
    /// The last durable checkpoint.
    pub(crate) checkpoint: u64,
    /// Held as long as the store is open.
    pub(crate) lock: File,
}

/// Opens the directory. The lock comes first, so that everything after it is undisturbed.
pub(crate) fn open(settings: &Settings) -> Result<Opened, Error> {
    let path = &settings.path;
    fs::create_dir_all(path).map_err(|source| directory(path, source))?;
    let lock = lock(path)?;
    let data = path.join("data");
    check_format(path, &data)?;
    let sidecar = path.join("synced");
    let (synced, noted) = open_synced(&sidecar, settings.commit_sync)?;
    let copy = check_data(path, &data, noted.unwrap_or(0))?;
    let memory = Arc::new(Memory::default());
    let disk = Disk::open(&data, settings.cache, &memory)
        .map_err(|source| Error::Open { path: data.clone(), source: source.into() })?;
    let checkpoint = load(&disk, &memory)?;
    if let Some(noted) = noted.filter(|noted| *noted > checkpoint) {
        let kept = copy.map(|copy| format!(" (its journal is kept as {})", copy.display()));
        let place = format!("{} after recovery{}", data.display(), kept.unwrap_or_default());
        return Err(Error::Damaged { place, synced: noted, readable: checkpoint });
    }
    if let Some(copy) = copy {
        fs::remove_file(&copy).map_err(|source| directory(&copy, source))?;
    }
    if let Some(synced) = &synced {
        // What was written last may be in the system's cache alone, and the note is never ahead.
        disk.sync().map_err(|source| Error::Open { path: data.clone(), source: source.into() })?;
        synced.note(checkpoint).map_err(|source| directory(&sidecar, source))?;
    }
    memory.published.store(checkpoint, Ordering::Release);
    memory.ready.store(true, Ordering::Release);
    Ok(Opened { disk, memory, synced, checkpoint, lock })
}

/// The sidecar and what it notes; nothing where commits are not synced, for then the end of the
/// journal proves nothing.
fn open_synced(path: &Path, sync: bool) -> Result<(Option<Synced>, Option<u64>), Error> {
    if !sync {
        return Ok((None, None));
    }
    let (synced, noted) = Synced::open(path).map_err(|source| directory(path, source))?;
    Ok((Some(synced), noted))
}

fn directory(path: &Path, source: io::Error) -> Error {
    Error::Directory { path: path.to_owned(), source: source.into() }
}

/// Takes the lock of the directory. The system gives it back when the process ends, however it
/// ends, so a lock file left behind stops nobody.
fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(|source| directory(&path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // A lock without a readable number is still a lock.
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(Error::Locked { path: folder.to_owned(), pid: pid.unwrap_or(0) });
        }
        Err(TryLockError::Error(source)) => return Err(directory(&path, source)),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|source| directory(&path, source))?;
    Ok(file)
}

/// Checks the format file, or writes it into a new directory.
fn check_format(folder: &Path, data: &Path) -> Result<(), Error> {
    let path = folder.join("format");
    let wrong = |found: String| Error::Format { path: path.clone(), found, known: FORMAT };
    match fs::read_to_string(&path) {
        Ok(text) => {
            let text = text.trim();
            let number = text.strip_prefix("gristmill-store ").map(str::parse::<u32>);
            match number {
                Some(Ok(FORMAT)) => Ok(()),
                Some(_) | None => Err(wrong(format!("\"{}\"", text.escape_debug()))),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if data.try_exists().map_err(|source| directory(data, source))? {
                return Err(wrong("nothing, though there is data".to_owned()));
            }
            write_format(folder, &path).map_err(|source| directory(&path, source))
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(wrong("no text".to_owned()))
        }
        Err(source) => Err(directory(&path, source)),
    }
}

/// Whole or not at all: a half-written format file would lock the operator out.
fn write_format(folder: &Path, path: &Path) -> io::Result<()> {
    let draft = folder.join("format.new");
    let mut file = File::create(&draft)?;
    writeln!(file, "gristmill-store {FORMAT}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(folder)?.sync_all()
}

/// Checks the journals; gives the copy of one that was cut, if it may have to be restored.
///
/// A process killed while it made the engine's directory leaves one without version and
/// checkpoint, which the engine would refuse for ever: it is made anew.
fn check_data(folder: &Path, data: &Path, noted: u64) -> Result<Option<PathBuf>, Error> {
    let failed = |source| directory(data, source);
    if !data.try_exists().map_err(failed)? {
        return Ok(None);
    }
    let checked = journal::check(data, &folder.join("torn-journal"), noted)?;
    let made = data.join("version").try_exists().map_err(failed)?;
    if checked.last.is_none() && noted == 0 && !made {
        fs::remove_dir_all(data).map_err(failed)?;
    }
    Ok(checked.copy)
}

/// Reads the `meta` keyspace into memory and gives the number of the last checkpoint.
fn load(disk: &Disk, memory: &Memory) -> Result<u64, Error> {
    let mut topics = Topics::default();
    let mut scopes = Scopes::default();
    let mut chunks: Vec<(TopicId, PartitionId, Chunk)> = Vec::new();
    let mut cleaned: Vec<(TopicId, PartitionId, u64, u64)> = Vec::new();
    let mut checkpoint = 0;
    for guard in disk.meta.iter() {
        let read = |source: fjall::Error| Error::Read { what: "index", source: source.into() };
        let (key, value) = guard.into_inner().map_err(read)?;
        let mut from = Decoder::of("index", value);
        if &*key == meta::CHECKPOINT {
            checkpoint = from.u64()?;
            continue;
        }
        let Some((tag, rest)) = key.split_first() else { continue };
        let mut at = Decoder::new("index", bytes::Bytes::copy_from_slice(rest));
        match *tag {
            tag if [tag] == *meta::COUNTERS => {
                topics.next = from.u32()?;
                scopes.next_subscription = from.u32()?;
                scopes.next_cell = from.u32()?;
            }
            meta::TOPIC => {
                let topic = decode_topic(TopicId(at.u32()?), &mut from)?;
                topics.by_name.insert(topic.name.clone(), topic.id);
                topics.by_id.insert(topic.id, Arc::new(Log::new(topic)));
            }
            meta::CHUNK => {
                let (topic, partition) = (TopicId(at.u32()?), PartitionId(at.u32()?));
                chunks.push((topic, partition, decode_chunk(at.u64()?, &mut from)?));
            }
            meta::CLEANED => {
                let (topic, partition) = (TopicId(at.u32()?), PartitionId(at.u32()?));
                cleaned.push((topic, partition, from.u64()?, from.u64()?));
            }
            meta::SUBSCRIPTION => {
                let Ok(name) = std::str::from_utf8(rest) else {
                    return Err(from.corrupt("a subscription is not UTF-8"));
                };
                scopes.subscriptions.insert(name.to_owned(), from.u32()?);
            }
            meta::SCOPE => {
                let (subscription, partition) = (at.u32()?, at.u32()?);
                let scope = Scope {
                    subscription: SubscriptionId(subscription),
                    partition: PartitionId(partition),
                };
                scopes.cells.insert(scope, decode_cells(&mut from)?);
            }
            meta::MARKS => {
                let cell = at.u32()?;
                let bucket = decode_bucket(at.u64()?, &mut from)?;
                let log: &mut MarkLog = scopes.marks.entry(cell).or_default();
                log.held += bucket.count;
                log.buckets.push_back(bucket);
            }
            meta::DOCUMENT => {}
            _ => return Err(from.corrupt("it has an unknown kind of entry")),
        }
    }
    place_chunks(&topics, chunks, &cleaned);
    *memory.topics_mut() = topics;
    *memory.scopes_mut() = scopes;
    Ok(checkpoint)
}

/// Chunks come in key order: by topic, partition and base. Those of deleted topics are dropped.
fn place_chunks(
    topics: &Topics,
    chunks: Vec<(TopicId, PartitionId, Chunk)>,
    cleaned: &[(TopicId, PartitionId, u64, u64)],
) {
    let find = |topic: TopicId| topics.by_id.get(&topic);
    let mut chunks = chunks.into_iter().peekable();
    while let Some((topic, partition, first)) = chunks.next() {
        let mut run = VecDeque::from([first]);
        while let Some((_, _, chunk)) =
            chunks.next_if(|(next, number, _)| (*next, *number) == (topic, partition))
        {
            run.push_back(chunk);
        }
        if let Some(Ok(found)) = find(topic).map(|log| log.partition(partition)) {
            found.set_chunks(run);
        }
    }
    for (topic, partition, offset, due) in cleaned {
        if let Some(Ok(found)) = find(*topic).map(|log| log.partition(*partition)) {
            found.cleaned.store(*offset, Ordering::Relaxed);
            found.tombstone_due.store(*due, Ordering::Relaxed);
        }
    }
}

pub(crate) fn encode_topic(topic: &Topic) -> Vec<u8> {
    let mut out = Encoder::default();
    out.bytes(topic.name.as_bytes()).u32(topic.partitions);
    out.option_u64(topic.retention.age.map(|age| age.0));
    out.option_u64(topic.retention.bytes.map(|size| size.0));
    out.u8(u8::from(topic.compacted)).u64(topic.created.0);
    out.finish()
}

fn decode_topic(id: TopicId, from: &mut Decoder) -> Result<Topic, Error> {
    let (name, partitions) = (from.text()?, from.u32()?);
    let age = from.option_u64()?.map(Millis);
    let bytes = from.option_u64()?.map(Size);
    Ok(Topic {
        id,
        name: name.into(),
        partitions,
        retention: Retention { age, bytes },
        compacted: from.flag()?,
        created: Instant(from.u64()?),
    })
}

pub(crate) fn encode_chunk(chunk: &Chunk) -> Vec<u8> {
    let mut out = Encoder::with_capacity(48);
    out.u64(chunk.end).u64(chunk.events).u64(chunk.bytes);
    out.u64(chunk.oldest).u64(chunk.youngest).u64(chunk.opened);
    out.finish()
}

fn decode_chunk(base: u64, from: &mut Decoder) -> Result<Chunk, Error> {
    Ok(Chunk {
        base,
        end: from.u64()?,
        events: from.u64()?,
        bytes: from.u64()?,
        oldest: from.u64()?,
        youngest: from.u64()?,
        opened: from.u64()?,
    })
}

pub(crate) fn encode_cells(cells: &Cells) -> Vec<u8> {
    let mut out = Encoder::with_capacity(20);
    for cell in cells.all() {
        out.u32(cell);
    }
    out.finish()
}

fn decode_cells(from: &mut Decoder) -> Result<Cells, Error> {
    Ok(Cells {
        state: from.u32()?,
        timers: from.u32()?,
        parked: from.u32()?,
        marks: from.u32()?,
        progress: from.u32()?,
    })
}

pub(crate) fn encode_bucket(bucket: &Bucket) -> Vec<u8> {
    let mut out = Encoder::with_capacity(24);
    out.u64(bucket.count).u64(bucket.oldest).u64(bucket.youngest);
    out.finish()
}

fn decode_bucket(first: u64, from: &mut Decoder) -> Result<Bucket, Error> {
    let count = from.u64()?;
    Ok(Bucket { first, count, oldest: from.u64()?, youngest: from.u64()? })
}
