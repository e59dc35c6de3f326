//! Decides what a component is: makes one of a core module, and reads names, digest and needs
//! off its bytes. It compiles and runs nothing.

use serde::Serialize;
use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{Resolve, WorldId, WorldItem, WorldKey};

use crate::{plugin::names, problem::Problem};

/// Where the eight bytes that tell components from modules hold the difference.
const LAYER: usize = 6;

const STATE: &str = "gristmill:plugin/state@";
const TIMERS: &str = "gristmill:plugin/timers@";
const PUBLISH: &str = "gristmill:plugin/publish@";
const CONFIG: &str = "wasi:config/store@";
const HTTP: &str = "wasi:http/outgoing-handler@";
const EVENT_HANDLER: &str = "gristmill:plugin/event-handler@";
const TIMER_HANDLER: &str = "gristmill:plugin/timer-handler@";

/// What to do about a module that exports no handler.
pub(crate) const EXPORT_HINT: &str = "call gristmill_plugin::export!(…) once in the crate";

/// What can be read off a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Description {
    /// World of the contract it fits: `handler` or `timed-handler`, none when it is no plugin.
    pub(crate) world: Option<&'static str>,
    /// Version of the contract it is written for.
    pub(crate) version: Option<String>,
    /// Full names of the interfaces it imports.
    pub(crate) imports: Vec<String>,
    /// Full names of the interfaces it exports.
    pub(crate) exports: Vec<String>,
    /// Size in bytes.
    pub(crate) bytes: usize,
    /// SHA-256 of the bytes, in hexadecimal digits.
    pub(crate) digest: String,
    /// Lines of `[subscription.grants]` without which some call is refused.
    pub(crate) grants: Vec<&'static str>,
}

/// Makes a component of what the compiler wrote; a component stays what it is.
///
/// # Errors
///
/// E0507 when the module lacks the contract's marks or uses an import nobody declared.
pub(crate) fn encode(module: Vec<u8>) -> Result<Vec<u8>, Problem> {
    if module.get(LAYER) == Some(&1) {
        return Ok(module);
    }
    let encoded = names::shorten(&module)
        .map_err(Into::into)
        .and_then(|module| ComponentEncoder::default().validate(true).module(&module)?.encode());
    encoded.map_err(|source: anyhow::Error| {
        Problem::failed("E0507", "make a component of the compiled module")
            .hint(EXPORT_HINT)
            .source(source)
    })
}

/// Reads what `component` is.
///
/// # Errors
///
/// E0513 when the bytes are no component.
pub(crate) fn describe(component: &[u8]) -> Result<Description, Problem> {
    let refused = || {
        let hint = "give the .wasm file that `gristmill plugin build` writes";
        Problem::usage("E0513", "read the file as a component").hint(hint)
    };
    let decoded = wit_component::decode(component).map_err(|source| refused().source(source))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(refused().source("it is a WIT package"));
    };
    Ok(Description::new(&resolve, world, component))
}

impl Description {
    /// Whether it asks for an interface whose name begins with `prefix`.
    fn wants(&self, prefix: &str) -> bool {
        self.imports.iter().any(|name| name.starts_with(prefix))
    }

    /// Whether it can set timers and has nothing to run when one fires.
    pub(crate) fn lacks_timer_handler(&self) -> bool {
        let handles = self.exports.iter().any(|name| name.starts_with(TIMER_HANDLER));
        self.wants(TIMERS) && !handles
    }

    fn new(resolve: &Resolve, world: WorldId, component: &[u8]) -> Self {
        let world = resolve.worlds.get(world);
        let names = |items: Option<Vec<String>>| items.unwrap_or_default();
        let imports = names(world.map(|world| interfaces(resolve, &world.imports)));
        let exports = names(world.map(|world| interfaces(resolve, &world.exports)));
        let version = exports.iter().find_map(|name| name.strip_prefix(EVENT_HANDLER));
        let version = version.map(ToOwned::to_owned);
        let timed = exports.iter().any(|name| name.starts_with(TIMER_HANDLER));
        let fits = if timed { "timed-handler" } else { "handler" };
        let mut description = Self {
            world: version.is_some().then_some(fits),
            version,
            imports,
            exports,
            bytes: component.len(),
            digest: digest(component),
            grants: Vec::new(),
        };
        description.grants = [
            (PUBLISH, "emit = [\"TOPIC\", …]"),
            (STATE, "state = true"),
            (TIMERS, "timers = true"),
            (CONFIG, "config = { KEY = \"VALUE\", … }"),
            (HTTP, "http = [\"https://HOST\", …]"),
        ]
        .into_iter()
        .filter_map(|(prefix, line)| description.wants(prefix).then_some(line))
        .collect();
        description
    }
}

/// SHA-256 of `bytes`, in 64 hexadecimal digits.
fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let digits = [byte >> 4, byte & 15];
        text.extend(digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or('?')));
    }
    text
}

/// Names of the interfaces among a world's items that have functions, and of loose functions.
fn interfaces<'a>(
    resolve: &Resolve,
    items: impl IntoIterator<Item = (&'a WorldKey, &'a WorldItem)>,
) -> Vec<String> {
    let counts = |item: &WorldItem| match item {
        WorldItem::Interface { id, .. } => {
            resolve.interfaces.get(*id).is_some_and(|interface| !interface.functions.is_empty())
        }
        WorldItem::Function(_) => true,
        WorldItem::Type { .. } => false,
    };
    let items = items.into_iter().filter(|(_, item)| counts(item));
    items.map(|(key, _)| resolve.name_world_key(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_refused_with_its_code() {
        assert_eq!(encode(b"not wasm".to_vec()).unwrap_err().code, "E0507");
        assert_eq!(describe(b"not wasm").unwrap_err().code, "E0513");
    }

    #[test]
    fn a_component_passes_unchanged() {
        let component = b"\0asm\x0d\0\x01\0".to_vec();
        assert_eq!(encode(component.clone()).unwrap(), component);
    }

    #[test]
    fn a_plugin_that_sets_timers_and_has_no_timer_handler_is_found() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        for (imports, exports, lacks) in [
            (&["gristmill:plugin/timers@0.1.0"][..], &[][..], true),
            (&["gristmill:plugin/timers@0.1.0"], &["gristmill:plugin/timer-handler@0.1.0"], false),
            (&["gristmill:plugin/state@0.1.0"], &[], false),
        ] {
            let description = Description {
                world: Some("handler"),
                version: None,
                imports: names(imports),
                exports: names(exports),
                bytes: 0,
                digest: String::new(),
                grants: Vec::new(),
            };
            assert_eq!(description.lacks_timer_handler(), lacks, "{imports:?} {exports:?}");
        }
    }
}
