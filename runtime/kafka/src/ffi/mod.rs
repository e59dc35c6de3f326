//! Holds what rdkafka does not offer and librdkafka does: the only unsafe code of this crate. Each
//! file gives one safe function or type, and keeps every pointer to itself.

pub(crate) mod group_offsets;
pub(crate) mod headers;
pub(crate) mod membership;
mod owned;
pub(crate) mod queue;
pub(crate) mod topic_ids;
