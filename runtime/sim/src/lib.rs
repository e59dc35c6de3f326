//! Lies: a deterministic world for the engine, and one checker per promise.
