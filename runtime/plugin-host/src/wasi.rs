//! Decides what a guest finds behind WASI 0.2: clocks and randomness that repeat, streams that end
//! in the log, and otherwise nothing. It never opens a file; sockets are
//! opened for granted HTTP alone.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use wasmtime::{
    Result, bail,
    component::{HasSelf, Linker, Resource, ResourceTable},
};
use wasmtime_wasi::{
    WasiCtx, WasiCtxView, WasiView, async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{
        DynPollable, OutputStream, Pollable, StreamError, StreamResult, add_to_linker_async,
        bindings::{
            clocks::{monotonic_clock, wall_clock},
            random::{insecure, insecure_seed, random},
        },
        subscribe,
    },
};

use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::{
    RunnerSettings,
    alarm::Alarms,
    attempt::{Attempt, Seed},
    host::Host,
    log::Level,
    outgoing::{Outgoing, Told},
    random::Random,
};

/// Most random bytes one call may ask for.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Handles an instance may hold at once: streams, sleeps, requests, their headers and bodies. Each
/// costs the host memory, up to some 64 KiB for a body that waits.
const HANDLES_MAX: usize = 1_024;
/// Bytes of the headers of one request or answer.
const FIELDS_BYTES_MAX: usize = 32 << 10;

/// What one instance has of WASI.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    random: Random,
    /// The monotonic clock, in nanoseconds: only completed sleeps advance it.
    elapsed: Arc<AtomicU64>,
    stdout: Stream,
    stderr: Stream,
    outgoing: Outgoing,
    http: WasiHttpCtx,
}

/// Puts WASI into `linker`. What of it a component does not import costs it nothing.
pub(crate) fn link(linker: &mut Linker<Host>) -> Result<()> {
    add_to_linker_async(linker)?;
    // These replace the real clocks and randomness put in above.
    linker.allow_shadowing(true);
    wall_clock::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    monotonic_clock::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    random::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    insecure::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    insecure_seed::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    linker.allow_shadowing(false);
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

impl Wasi {
    fn new(settings: &Arc<RunnerSettings>, attempt: Option<&Attempt>) -> Self {
        let nobody = Seed { id: "", place: "", partition: 0, position: 0 };
        let seed = attempt.map_or(nobody, Attempt::seed);
        let stream_bytes_max = settings.limits.log_bytes;
        let (stdout, stderr) = (Stream::new(stream_bytes_max), Stream::new(stream_bytes_max));
        let mut ctx = WasiCtx::builder();
        ctx.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
        ctx.stdout(stdout.clone()).stderr(stderr.clone());
        let (mut table, mut http) = (ResourceTable::new(), WasiHttpCtx::new());
        table.set_max_capacity(HANDLES_MAX);
        http.set_field_size_limit(FIELDS_BYTES_MAX);
        Self {
            ctx: ctx.build(),
            table,
            random: Random::new(seed),
            elapsed: Arc::default(),
            stdout,
            stderr,
            outgoing: Outgoing::new(settings, attempt),
            http,
        }
    }

    /// Makes clocks and randomness what a fresh instance would see. Handles the guest holds stay.
    pub(crate) fn begin_attempt(&mut self, attempt: &Attempt) {
        self.outgoing.begin_attempt(attempt);
        self.random = Random::new(attempt.seed());
        self.elapsed.store(0, Ordering::Relaxed);
        self.stdout.clear();
        self.stderr.clear();
    }

    /// What became of the guest's requests since the last call; with `all`, of all.
    pub(crate) fn take_told(&mut self, all: bool) -> Told {
        self.outgoing.take_told(all)
    }

    /// Whole lines written since the last call; with `all`, what follows the last line too.
    pub(crate) fn take_lines(&mut self, all: bool) -> Vec<(&'static str, Level, String)> {
        let stdout = self.stdout.take_lines(all).into_iter();
        let stderr = self.stderr.take_lines(all).into_iter();
        stdout
            .map(|line| ("stdout", Level::Info, line))
            .chain(stderr.map(|line| ("stderr", Level::Warn, line)))
            .collect()
    }
}

impl Host {
    /// WASI of this instance, made at its first use.
    fn wasi(&mut self) -> &mut Wasi {
        let (attempt, settings) = (&self.attempt, &self.settings);
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(settings, attempt.as_ref())))
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Wasi { outgoing, table, http, .. } = self.wasi();
        WasiHttpCtxView { hooks: outgoing, table, ctx: http }
    }
}

impl wall_clock::Host for Host {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        let now = if self.settings.grants.wall_clock {
            machine_time()
        } else {
            Duration::from_millis(self.attempt()?.world.event_time())
        };
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for Host {
    fn now(&mut self) -> Result<u64> {
        Ok(self.wasi().elapsed.load(Ordering::Relaxed))
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        let alarms = Arc::clone(&self.alarms);
        let wasi = self.wasi();
        let now = wasi.elapsed.load(Ordering::Relaxed);
        let nanos = when.saturating_sub(now);
        let until = Instant::now().checked_add(Duration::from_nanos(nanos));
        let elapsed = Arc::clone(&wasi.elapsed);
        let sleep = Sleep { until, when: now.max(when), elapsed, alarms };
        let sleep = wasi.table.push(sleep)?;
        subscribe(&mut wasi.table, sleep)
    }

    fn subscribe_duration(&mut self, nanos: u64) -> Result<Resource<DynPollable>> {
        let now = self.wasi().elapsed.load(Ordering::Relaxed);
        self.subscribe_instant(now.saturating_add(nanos))
    }
}

impl random::Host for Host {
    fn get_random_bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        random_bytes(&mut self.wasi().random, length)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        Ok(self.wasi().random.number())
    }
}

impl insecure::Host for Host {
    fn get_insecure_random_bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        random_bytes(&mut self.wasi().random, length)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        Ok(self.wasi().random.number())
    }
}

impl insecure_seed::Host for Host {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        let random = &mut self.wasi().random;
        Ok((random.number(), random.number()))
    }
}

fn random_bytes(random: &mut Random, length: u64) -> Result<Vec<u8>> {
    match usize::try_from(length) {
        Ok(bytes) if length <= RANDOM_BYTES_MAX => Ok(random.bytes(bytes)),
        _ => bail!("{length} random bytes asked for, at most {RANDOM_BYTES_MAX} are given at once"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the grant `clock = \"wall\"` asks for this clock")]
fn machine_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A sleep of a guest: real, and when it ends the guest's clock shows it.
struct Sleep {
    /// `None` when the end is beyond what the machine can count to.
    until: Option<Instant>,
    /// What the guest's clock shows afterwards, in nanoseconds.
    when: u64,
    elapsed: Arc<AtomicU64>,
    alarms: Arc<Alarms>,
}

#[async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        match self.until {
            Some(until) => self.alarms.sleep_until(until).await,
            None => std::future::pending().await,
        }
        self.elapsed.fetch_max(self.when, Ordering::Relaxed);
    }
}

/// A stream that ends in the log. What exceeds the log's limit is dropped, less one byte that
/// makes the log say so.
#[derive(Clone)]
struct Stream {
    written: Arc<Mutex<Vec<u8>>>,
    bytes_max: usize,
}

impl Stream {
    fn new(bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX).saturating_add(1);
        Self { written: Arc::default(), bytes_max }
    }

    fn clear(&self) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take_lines(&self, all: bool) -> Vec<String> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let end = match written.iter().rposition(|byte| *byte == b'\n') {
            _ if all => written.len(),
            Some(newline) => newline + 1,
            None => 0,
        };
        let lines: Vec<u8> = written.drain(..end).collect();
        String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect()
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut written = self.written.lock().map_err(|_poisoned| StreamError::Closed)?;
        let room = self.bytes_max.saturating_sub(written.len()).min(bytes.len());
        written.extend_from_slice(bytes.get(..room).unwrap_or_default());
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}
