//! Makes an attempt that has no effects: the request and world of an event outside any lane. It
//! is run by whoever asked, never staged.

use std::sync::{Arc, Mutex};

use gristmill_engine::{PartitionId, Position};
use gristmill_plugin_host::{Failure, Request, World};
use gristmill_store::{Scope, Stored};

use super::overlay::Overlay;
use super::part::{Content, Held, Slot};
use super::request;
use super::world::AttemptWorld;
use crate::binding::Binding;
use crate::shared::Shared;
use crate::topics;

/// What a redriven event's first attempt would be given; reads go to the committed state.
///
/// # Errors
///
/// The failure of class `invalid`, when its envelope does not hold.
pub(crate) fn rehearsal(
    shared: &Arc<Shared>,
    binding: &Arc<Binding>,
    partition: PartitionId,
    stored: Stored,
) -> Result<(Request, Box<dyn World>), Failure> {
    let now = shared.clock.now();
    let topic = binding.sources.last().map_or(gristmill_engine::TopicId(0), |last| last.topic);
    let read_at = Position { topic, partition, offset: stored.offset };
    let held = Held::new(&topics::redrive_name(shared, &binding.name).into(), read_at, stored);
    let held = held.of(binding.config.state_of);
    let mut slot = Slot::new(Content::Record(Arc::new(held)), now);
    let request = request::request((shared, binding), partition.0, &mut slot, 1)?;
    let world = AttemptWorld {
        shared: Arc::clone(shared),
        binding: Arc::clone(binding),
        scope: Scope { subscription: binding.subscription, partition },
        owner: slot.content.owner(),
        key: slot.content.key(),
        overlay: Arc::new(Mutex::new(Overlay::default())),
        event_time: slot.content.event_time(),
        now,
        timers: 0,
    };
    Ok((request, Box::new(world)))
}
