//! Owns a loaded component: compiled, checked against the contract and linked once. It never runs
//! a guest.

use std::{fmt, sync::Arc};

use wasmtime::component::{
    Component, InstancePre, Linker,
    types::{ComponentFunc, ComponentItem},
};

use crate::{
    LoadError,
    bindings::{
        exports::gristmill::plugin::{event_handler, timer_handler},
        gristmill::plugin::types::{Event, Failure, Timer},
    },
    host::Host,
};

/// Version of the contract this host serves.
const CONTRACT: &str = "0.1.0";
const EVENT_HANDLER: &str = "gristmill:plugin/event-handler@0.1.0";
const TIMER_HANDLER: &str = "gristmill:plugin/timer-handler@0.1.0";

/// Interfaces this host has, besides WASI 0.2.
const INTERFACES: [&str; 7] = [
    "gristmill:plugin/types@0.1.0",
    "gristmill:plugin/publish@0.1.0",
    "gristmill:plugin/state@0.1.0",
    "gristmill:plugin/timers@0.1.0",
    "wasi:logging/logging@0.1.0-draft",
    "wasi:logging/logging",
    "wasi:config/store@0.2.0-rc.1",
];

/// Packages of WASI 0.2 this host has, virtual and empty.
const WASI: [&str; 7] = [
    "wasi:io/",
    "wasi:clocks/",
    "wasi:random/",
    "wasi:cli/",
    "wasi:filesystem/",
    "wasi:sockets/",
    "wasi:http/",
];

/// Core instances, memories and tables of one component; what a slot of the pool has room for.
/// Python components are linked from some twenty core modules, others have up to four.
pub(crate) const CORE_INSTANCES_MAX: u32 = 64;
pub(crate) const MEMORIES_MAX: u32 = 2;
pub(crate) const TABLES_MAX: u32 = 8;

/// A component that compiled and speaks the contract. Cloning shares it.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) program: Arc<Program>,
}

/// What instances are made from.
pub(crate) struct Program {
    pub(crate) pre: InstancePre<Host>,
    pub(crate) on_event: event_handler::GuestIndices,
    pub(crate) on_timer: Option<timer_handler::GuestIndices>,
    digest: String,
    abi: Abi,
    imports: Vec<String>,
    exports: Vec<String>,
    bytes: u64,
    compiled_from_cache: bool,
}

/// Where a component came from.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) digest: String,
    pub(crate) bytes: u64,
    pub(crate) compiled_from_cache: bool,
}

/// Version of the contract a plugin speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Abi {
    /// `gristmill:plugin@0.1.0`.
    V0_1,
}

impl Plugin {
    /// SHA-256 of the component's bytes, in 64 lower-case hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.program.digest
    }

    /// Version of the contract it speaks.
    pub fn abi(&self) -> Abi {
        self.program.abi
    }

    /// True when it exports a timer handler.
    pub fn has_timers(&self) -> bool {
        self.program.on_timer.is_some()
    }

    /// Full names of the interfaces it imports, in the component's order.
    pub fn imports(&self) -> &[String] {
        &self.program.imports
    }

    /// Full names of the interfaces it exports, in the component's order.
    pub fn exports(&self) -> &[String] {
        &self.program.exports
    }

    /// True when it imports the state of a key.
    pub fn wants_state(&self) -> bool {
        self.imports_interface("gristmill:plugin/state@")
    }

    /// True when it imports the timers of a key.
    pub fn wants_timers(&self) -> bool {
        self.imports_interface("gristmill:plugin/timers@")
    }

    /// Size of the component, in bytes.
    pub fn bytes(&self) -> u64 {
        self.program.bytes
    }

    /// True when the compiled code was taken from the cache.
    pub fn compiled_from_cache(&self) -> bool {
        self.program.compiled_from_cache
    }

    /// Checks `component` against the contract and links it.
    pub(crate) fn link(
        component: &Component,
        linker: &Linker<Host>,
        origin: Origin,
    ) -> Result<Self, LoadError> {
        let engine = linker.engine();
        let ty = component.component_type();
        let imports: Vec<String> = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let exports: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_owned()).collect();
        check_names(&imports, &exports)?;
        check_resources(component)?;
        let mismatch = |error: wasmtime::Error| LoadError::Mismatch(error.into());
        let pre = linker.instantiate_pre(component).map_err(mismatch)?;
        let on_event = event_handler::GuestIndices::new(&pre).map_err(mismatch)?;
        let timers = exports.iter().any(|name| name == TIMER_HANDLER);
        let on_timer =
            timers.then(|| timer_handler::GuestIndices::new(&pre).map_err(mismatch)).transpose()?;
        check_shapes(&pre, timers).map_err(mismatch)?;
        let Origin { digest, bytes, compiled_from_cache } = origin;
        let abi = Abi::V0_1;
        let program = Program {
            pre,
            on_event,
            on_timer,
            digest,
            abi,
            imports,
            exports,
            bytes,
            compiled_from_cache,
        };
        Ok(Self { program: Arc::new(program) })
    }

    fn imports_interface(&self, prefix: &str) -> bool {
        self.program.imports.iter().any(|name| name.starts_with(prefix))
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Plugin").field("digest", &self.digest()).finish_non_exhaustive()
    }
}

/// Checks versions first: a component for another version lacks the rest as well.
fn check_names(imports: &[String], exports: &[String]) -> Result<(), LoadError> {
    for name in exports.iter().chain(imports) {
        let interface = name.strip_prefix("gristmill:plugin/");
        let Some((_, version)) = interface.and_then(|rest| rest.split_once('@')) else { continue };
        if version != CONTRACT {
            return Err(LoadError::Version { theirs: version.to_owned(), ours: CONTRACT });
        }
    }
    if !exports.iter().any(|name| name == EVENT_HANDLER) {
        return Err(LoadError::MissingExport { export: EVENT_HANDLER.to_owned() });
    }
    let unknown = |name: &&String| !INTERFACES.contains(&name.as_str()) && !is_wasi(name);
    match imports.iter().find(unknown) {
        Some(import) => Err(LoadError::UnknownImport { import: import.clone() }),
        None => Ok(()),
    }
}

fn is_wasi(name: &str) -> bool {
    let version = name.split_once('@').map_or("", |(_, version)| version);
    let known = WASI.iter().any(|package| name.starts_with(package));
    known && (version == "0.2" || version.starts_with("0.2.")) && !version.contains('-')
}

fn check_resources(component: &Component) -> Result<(), LoadError> {
    // Nothing is known of components that import core modules; the contract has none to give.
    let Some(needed) = component.resources_required() else { return Ok(()) };
    let bounds = [
        ("memories", needed.num_memories, MEMORIES_MAX),
        ("tables", needed.num_tables, TABLES_MAX),
    ];
    match bounds.into_iter().find(|(_, needed, allowed)| needed > allowed) {
        Some((what, needed, allowed)) => Err(LoadError::Resources {
            what: format!("{needed} {what}, at most {allowed} are allowed"),
        }),
        None => Ok(()),
    }
}

/// Checks the signatures of the handlers once, so that a mismatch is found before the first event.
fn check_shapes(pre: &InstancePre<Host>, timers: bool) -> wasmtime::Result<()> {
    let component = pre.component();
    let types = pre.instance_type();
    function(component, (EVENT_HANDLER, "handle"))?
        .typecheck::<(Event<'_>,), (Result<(), Failure>,)>(&types)?;
    if timers {
        function(component, (TIMER_HANDLER, "on-timer"))?
            .typecheck::<(Timer<'_>,), (Result<(), Failure>,)>(&types)?;
    }
    Ok(())
}

fn function(
    component: &Component,
    (interface, name): (&str, &str),
) -> wasmtime::Result<ComponentFunc> {
    let missing = || wasmtime::format_err!("{interface} has no function {name}");
    let (_, parent) = component.get_export(None, interface).ok_or_else(missing)?;
    let (item, _) = component.get_export(Some(&parent), name).ok_or_else(missing)?;
    let ComponentItem::ComponentFunc(function) = item else { return Err(missing()) };
    Ok(function)
}
