//! Lies: a deterministic world for the engine, and one checker per promise. It never runs in
//! production and never shares code with what it checks.
//!
//! A [`history`] is a [`script`](script::Script) made from a seed, played in a
//! [`world`](world::World) around real engines, and watched by the [`checkers`]. Each checker is
//! proved by a [planted](planted::Planted) bug.

pub mod broker;
pub mod changelog;
pub mod checkers;
pub mod explore;
pub mod history;
pub mod planted;
pub mod plugin;
pub mod random;
pub mod script;
pub mod shrink;
pub mod story;
pub mod topic;
pub mod world;
