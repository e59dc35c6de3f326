//! Runs: Wasm components, sandboxed, limited and metered.
