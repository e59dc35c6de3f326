//! Owns what tests of whole hosts share, and the two long ones: chaos and benchmarks. It sees a
//! host only as users do: its files, its signals, its HTTP.

pub mod bench;
pub mod chaos;
pub mod support;
