//! Remembers: embedded topics and state.
