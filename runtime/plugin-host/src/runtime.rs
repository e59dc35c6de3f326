//! Owns the Wasm engine of the process, its pool of instance slots and its compiled code. It
//! never decides which plugin runs when.

use std::{fmt, path::PathBuf, sync::Arc};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    component::{Component, HasSelf, Linker},
};

use crate::{
    Error, LoadError, Plugin,
    alarm::Alarms,
    bindings::{TimedHandler, wasi::logging::logging},
    cache::{self, Cache},
    host::Host,
    plugin::{CORE_INSTANCES_MAX, MEMORIES_MAX, Origin, TABLES_MAX},
    seats::Seats,
    ticker::Ticker,
    wasi,
};

/// Most instances a runtime may be asked for: each slot costs some 4 GiB of address space.
const INSTANCES_MAX: u32 = 10_000;
/// Bytes of a fiber's stack beyond the guest's own, for the host's functions.
const HOST_STACK_BYTES: usize = 512 << 10;
/// Memory a slot keeps between two instances instead of giving it back to the system.
///
/// Only what the guest dirtied counts: 41 KiB for Rust, 160 KiB to 1.6 MiB for Go and JavaScript.
/// More would be kept by every slot that was ever used (source: ADR 2026-11-21, plugin host calls).
const MEMORY_BYTES_KEPT: usize = 2 << 20;
/// The same for tables.
const TABLE_BYTES_KEPT: usize = 256 << 10;

/// The Wasm engine. One per process; cloning shares it.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: RuntimeSettings,
    pub(crate) engine: Engine,
    pub(crate) seats: Seats,
    pub(crate) ticker: Ticker,
    pub(crate) alarms: Arc<Alarms>,
    linker: Linker<Host>,
    cache: Option<Cache>,
    pooled: bool,
}

/// What the engine is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// Where compiled code is kept; nowhere without. The directory must belong to this user and
    /// be writable by no other: what lies in it is executed.
    pub cache_dir: Option<PathBuf>,
    /// Instances alive at once, 1 to 10,000; calls beyond wait their turn. Default 1,000.
    pub instances_max: u32,
    /// Ceiling of [`Limits::memory_bytes`](crate::Limits); sizes the slots of the pool, which
    /// cost address space only. Default 64 MiB.
    pub memory_bytes_max: u64,
    /// Ceiling of [`Limits::table_elements`](crate::Limits). Default 20,000.
    pub table_elements_max: u32,
    /// Bytes of a component. Default 64 MiB.
    pub component_bytes_max: u64,
    /// Stack of a guest, in bytes. It is a property of the engine, hence no limit of one
    /// subscription. Default 512 KiB. Past it: class `trap`.
    pub stack_bytes: usize,
    /// Compiles guests with metering, which costs about a third of their speed. Default false.
    pub fuel: bool,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            cache_dir: None,
            instances_max: 1_000,
            memory_bytes_max: 64 << 20,
            table_elements_max: 20_000,
            component_bytes_max: 64 << 20,
            stack_bytes: 512 << 10,
            fuel: false,
        }
    }
}

impl Runtime {
    /// Starts the engine. Guests run on the threads that poll their calls; the only thread of the
    /// engine's own sleeps while no guest runs.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] when the machine refuses the settings, [`Error::Cache`] when the cache
    /// directory cannot be made or others may write to it.
    pub fn new(settings: RuntimeSettings) -> Result<Self, Error> {
        if !(1..=INSTANCES_MAX).contains(&settings.instances_max) {
            let what =
                format!("{} instances, 1 to {INSTANCES_MAX} are possible", settings.instances_max);
            return Err(Error::Engine(what.into()));
        }
        let (engine, pooled) = start(&settings)?;
        let linker = link(&engine).map_err(|error| Error::Link(error.into()))?;
        let cache = match &settings.cache_dir {
            Some(path) => Some(
                Cache::open(path, &engine)
                    .map_err(|source| Error::Cache { path: path.clone(), source })?,
            ),
            None => None,
        };
        let ticker = Ticker::start(engine.clone()).map_err(|error| Error::Engine(error.into()))?;
        let alarms = Alarms::start().map_err(|error| Error::Engine(error.into()))?;
        let alarms = Arc::new(alarms);
        let seats = Seats::new(settings.instances_max);
        let inner = Inner { settings, engine, seats, ticker, alarms, linker, cache, pooled };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Compiles `bytes`, or takes the compiled code from the cache, and checks the contract.
    /// Blocks for up to seconds: call it on a thread of its own.
    ///
    /// # Errors
    ///
    /// Why the bytes are no plugin; see [`LoadError`].
    pub fn load(&self, bytes: &[u8]) -> Result<Plugin, LoadError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        check_kind(bytes)?;
        let bytes_max = self.inner.settings.component_bytes_max;
        if size > bytes_max {
            return Err(LoadError::TooLarge { bytes: size, bytes_max });
        }
        let digest = cache::digest(bytes);
        let (component, compiled_from_cache) = self.compiled(&digest, bytes)?;
        let origin = Origin { digest, bytes: size, compiled_from_cache };
        Plugin::link(&component, &self.inner.linker, origin)
    }

    /// True when instances come from the pool, false when the machine refused it and each is
    /// allocated on demand.
    pub fn is_pooled(&self) -> bool {
        self.inner.pooled
    }

    /// True while no guest has run for some 20 ms: the engine's thread sleeps then.
    pub fn is_idle(&self) -> bool {
        self.inner.ticker.is_parked()
    }

    fn compiled(&self, digest: &str, bytes: &[u8]) -> Result<(Component, bool), LoadError> {
        let engine = &self.inner.engine;
        let invalid = |error: wasmtime::Error| LoadError::Invalid(error.into());
        let Some(cache) = &self.inner.cache else {
            return Ok((Component::from_binary(engine, bytes).map_err(invalid)?, false));
        };
        if let Some(component) = cache.read(digest, engine) {
            return Ok((component, true));
        }
        let compiled = engine.precompile_component(bytes).map_err(invalid)?;
        cache.write(digest, &compiled);
        drop(compiled);
        // Taken from the file at once: mapped code that does not run stays out of memory.
        match cache.read(digest, engine) {
            Some(component) => Ok((component, false)),
            None => Ok((Component::from_binary(engine, bytes).map_err(invalid)?, false)),
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { settings, pooled, .. } = &*self.inner;
        out.debug_struct("Runtime")
            .field("settings", settings)
            .field("pooled", pooled)
            .finish_non_exhaustive()
    }
}

/// Tells components from core modules and from what is no WebAssembly, by the eight bytes they
/// begin with (source: the component model's binary format).
fn check_kind(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => Err(LoadError::CoreModule),
        _ => Err(LoadError::NotWasm { bytes: bytes.len() }),
    }
}

/// Starts the engine with a pool, or without one where the machine refuses its address space.
fn start(settings: &RuntimeSettings) -> Result<(Engine, bool), Error> {
    let mut config = config(settings);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)?));
    match Engine::new(&config) {
        Ok(engine) => Ok((engine, true)),
        Err(error) => {
            let reason = format!("{error:#}");
            tracing::warn!(
                reason,
                "no pool of instances; each is allocated on demand, more slowly"
            );
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            let engine = Engine::new(&config).map_err(|error| Error::Engine(error.into()))?;
            Ok((engine, false))
        }
    }
}

fn config(settings: &RuntimeSettings) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Fresh instances cost 31 µs instead of 76 without it (source: measured, toolchains).
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(settings.fuel)
        .max_wasm_stack(settings.stack_bytes)
        .async_stack_size(settings.stack_bytes.saturating_add(HOST_STACK_BYTES))
        .memory_init_cow(true)
        // Relaxed instructions answer alike on every machine: a replay elsewhere is a replay.
        .relaxed_simd_deterministic(true);
    config
}

fn pool(settings: &RuntimeSettings) -> Result<PoolingAllocationConfig, Error> {
    let memory = usize::try_from(settings.memory_bytes_max).map_err(|e| Error::Engine(e.into()))?;
    let tables =
        usize::try_from(settings.table_elements_max).map_err(|e| Error::Engine(e.into()))?;
    let count = settings.instances_max;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(count)
        .total_core_instances(count.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(count.saturating_mul(MEMORIES_MAX))
        .total_tables(count.saturating_mul(TABLES_MAX))
        .total_stacks(count)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_module(MEMORIES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .max_memory_size(memory)
        .table_elements(tables)
        .linear_memory_keep_resident(MEMORY_BYTES_KEPT)
        .table_keep_resident(TABLE_BYTES_KEPT)
        .pagemap_scan(Enabled::Auto);
    Ok(pool)
}

/// Links everything this host has. What a component does not import costs it nothing.
fn link(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    TimedHandler::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    // SDKs of other hosts import logging without a version.
    linker.instance("wasi:logging/logging")?.func_wrap(
        "log",
        |mut store, (level, context, message): (logging::Level, String, String)| {
            logging::Host::log(store.data_mut(), level, context, message)
        },
    )?;
    wasi::link(&mut linker)?;
    Ok(linker)
}
