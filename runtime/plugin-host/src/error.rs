//! Owns the errors of this crate and their codes, E0301 to E0399. A plugin's failure to handle an
//! event is no error: see [`Failure`](crate::Failure).

use std::{error, io, path::PathBuf};

/// What this crate cannot do, apart from refusing a component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The machine or the settings do not allow a Wasm engine.
    #[error("start the wasm engine")]
    Engine(#[source] Source),
    /// The host's interfaces could not be linked; a defect of this build.
    #[error("link the host's interfaces")]
    Link(#[source] Source),
    /// The directory of compiled code cannot be used.
    #[error("open the directory of compiled code {}", path.display())]
    Cache {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A limit of a subscription is beyond what the runtime was started with.
    #[error("start plugin {plugin:?} for subscription {subscription:?}: {what}")]
    Limit {
        /// The plugin's name.
        plugin: String,
        /// The subscription's name.
        subscription: String,
        /// Which limit, and what it may be.
        what: String,
    },
}

/// Why bytes are no plugin this host can run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are no WebAssembly at all.
    #[error("load component: these {bytes} bytes are not webassembly")]
    NotWasm {
        /// Size of what was given.
        bytes: usize,
    },
    /// A core module, not a component.
    #[error("load component: this is a core module, not a component")]
    CoreModule,
    /// More bytes than a component may have.
    #[error("load component: {bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// Size of what was given.
        bytes: u64,
        /// Most bytes allowed.
        bytes_max: u64,
    },
    /// The component does not compile.
    #[error("compile component")]
    Invalid(#[source] Source),
    /// The component is written for another version of the contract.
    #[error(
        "load component: it speaks version {theirs} of gristmill:plugin, this host speaks {ours}"
    )]
    Version {
        /// Version the component names.
        theirs: String,
        /// Version this host serves.
        ours: &'static str,
    },
    /// The component does not export what a plugin must.
    #[error("load component: it does not export {export}")]
    MissingExport {
        /// Full name of the missing interface.
        export: String,
    },
    /// The component needs an interface this host does not give.
    #[error("load component: it imports {import}, which this host does not have")]
    UnknownImport {
        /// Full name of the interface.
        import: String,
    },
    /// An interface has the right name and another shape.
    #[error("link component: an interface has another shape than this host's")]
    Mismatch(#[source] Source),
    /// The component needs more memories, tables or core instances than the pool's slots have.
    #[error("load component: it needs {what}")]
    Resources {
        /// What, and how much is allowed.
        what: String,
    },
}

/// The error beneath, of whatever kind: the Wasm engine's own types stay inside this crate.
pub type Source = Box<dyn error::Error + Send + Sync + 'static>;

impl Error {
    /// Stable code; `docs/errors/<code>.md` explains it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Engine(_) => "E0301",
            Self::Link(_) => "E0302",
            Self::Cache { .. } => "E0303",
            Self::Limit { .. } => "E0304",
        }
    }

    /// What to do, in one line.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Engine(_) => "lower the number or memory of instances, or lift the memory limit",
            Self::Link(_) => "this is a defect of gristmill; report it with the error's chain",
            Self::Cache { .. } => "make the directory writable, or configure another",
            Self::Limit { .. } => "lower the limit, or raise the host's ceiling",
        }
    }
}

impl LoadError {
    /// Stable code; `docs/errors/<code>.md` explains it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotWasm { .. } => "E0311",
            Self::CoreModule => "E0312",
            Self::TooLarge { .. } => "E0313",
            Self::Invalid(_) => "E0314",
            Self::Version { .. } => "E0315",
            Self::MissingExport { .. } => "E0316",
            Self::UnknownImport { .. } => "E0317",
            Self::Mismatch(_) => "E0318",
            Self::Resources { .. } => "E0319",
        }
    }

    /// What to do, in one line.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotWasm { .. } => "give the .wasm file that `gristmill plugin build` writes",
            Self::CoreModule => "build it with `gristmill plugin build`, which makes a component",
            Self::TooLarge { .. } => "strip debug information, or raise the ceiling",
            Self::Invalid(_) => "build it again; the file may be cut short",
            Self::Version { .. } => "build it against this host's contract, or upgrade the host",
            Self::MissingExport { .. } => "implement the world gristmill:plugin/handler",
            Self::UnknownImport { .. } => "remove the dependency that needs it",
            Self::Mismatch(_) => "build it against this host's copy of the contract",
            Self::Resources { .. } => "compose fewer modules into one component",
        }
    }
}
