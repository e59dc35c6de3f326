//! Does: drives engine, plugins and store under tokio.

mod envelope;
