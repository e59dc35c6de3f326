//! Rebuilds shipments from their events: keeps what happened, in order, and plays it from the
//! beginning to say how a shipment stands. What it knows, it knows from events alone.

use gristmill_plugin::{Emission, Event, Failure, Host, Outcome, Timestamp, reject};
use serde::{Deserialize, Serialize};
use shipping_events::{
    Base, SHIPMENT_ADDED, SHIPMENT_CREATED, SHIPMENT_STATUS_CHANGED, SHIPPING_API, SHIPPING_EVENTS,
    ShipmentAdded, ShipmentChanged, ShipmentCreated, ShipmentStatusChanged, ShipmentUpdated,
    Status,
};

/// Name of the state that holds the [`Fact`]s of a shipment, in order and without a gap.
const HISTORY: &str = "history";
/// Name of the state that holds facts that came before others they follow.
const WAITING: &str = "waiting";
/// Name of the state that holds the [`Shipment`] that the history makes.
const SHIPMENT: &str = "shipment";

gristmill_plugin::export!(handle);

/// Something that happened to a shipment, whatever it was told by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// Its number among those of its shipment, from 1.
    pub sequence: u32,
    pub event_id: String,
    pub occurred_at: Timestamp,
    #[serde(flatten)]
    pub change: Change,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Change {
    ShipmentCreated {
        tracking_number: String,
        user_id: String,
        /// The request that created it; the first version of the event does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        correlation_id: Option<String>,
    },
    ShipmentUpdated {
        tracking_number: String,
    },
    ShipmentPickedUp,
    ShipmentInTransit,
    ShipmentDelivered,
}

/// How a shipment stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shipment {
    pub tracking_number: String,
    pub status: Status,
    pub user_id: String,
    /// Number of the last fact.
    pub sequence: u32,
    pub changed_at: Timestamp,
}

/// Takes in what happened. What follows something that was not read yet waits for it.
///
/// # Errors
///
/// Rejects a fact whose number another one has, as `sequence-taken`, a version that is not known,
/// as `version`, and what is no such event.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let fact = fact(event)?;
    let mut history: Vec<Fact> = host.state().get_json(HISTORY)?.unwrap_or_default();
    let mut waiting: Vec<Fact> = host.state().get_json(WAITING)?.unwrap_or_default();
    let known = history.iter().chain(&waiting).find(|known| known.sequence == fact.sequence);
    if let Some(known) = known {
        let reason = format!("event {} of it is {} already", fact.sequence, known.event_id);
        return if known.event_id == fact.event_id {
            Ok(())
        } else {
            Err(reject("sequence-taken", reason))
        };
    }
    let at = waiting.partition_point(|other| other.sequence < fact.sequence);
    waiting.insert(at, fact);
    while waiting.first().is_some_and(|next| follows(&history, next)) {
        history.push(waiting.remove(0));
        if let Some((last, shipment)) = history.last().zip(replay(&history)) {
            tell(event, host, (last, &shipment))?;
            host.state().set_json(SHIPMENT, &shipment)?;
        }
    }
    host.state().set_json(HISTORY, &history)?;
    if waiting.is_empty() {
        return Ok(host.state().delete(WAITING)?);
    }
    Ok(host.state().set_json(WAITING, &waiting)?)
}

fn follows(history: &[Fact], fact: &Fact) -> bool {
    history.last().map_or(1, |last| last.sequence + 1) == fact.sequence
}

/// What an event of any of the topics says.
fn fact(event: &Event) -> Result<Fact, Failure> {
    let (sequence, change) = match event.topic.as_str() {
        SHIPMENT_CREATED => (1, created(ShipmentCreated::read(event)?)),
        SHIPMENT_STATUS_CHANGED => {
            let ShipmentStatusChanged { sequence, status, .. } = event.json()?;
            (sequence, changed(status)?)
        }
        _updated => {
            let ShipmentUpdated { sequence, tracking_number, .. } = event.json()?;
            (sequence, Change::ShipmentUpdated { tracking_number })
        }
    };
    Ok(Fact { sequence, event_id: event.id.clone(), occurred_at: event.time, change })
}

fn created(event: ShipmentCreated) -> Change {
    match event {
        ShipmentCreated::V1(it) => Change::ShipmentCreated {
            tracking_number: it.tracking_number,
            user_id: it.created_by_user_id,
            correlation_id: None,
        },
        ShipmentCreated::V2(it) => Change::ShipmentCreated {
            tracking_number: it.tracking_number,
            user_id: it.created_by_user_id,
            correlation_id: Some(it.correlation_id),
        },
    }
}

fn changed(status: Status) -> Result<Change, Failure> {
    match status {
        Status::Created => Err(reject("status", "a shipment is created once")),
        Status::PickedUp => Ok(Change::ShipmentPickedUp),
        Status::InTransit => Ok(Change::ShipmentInTransit),
        Status::Delivered => Ok(Change::ShipmentDelivered),
    }
}

/// The shipment that a history makes; none before it was created.
fn replay(history: &[Fact]) -> Option<Shipment> {
    history.iter().fold(None, |shipment, fact| {
        let mut shipment = match &fact.change {
            Change::ShipmentCreated { tracking_number, user_id, .. } => Shipment {
                tracking_number: tracking_number.clone(),
                status: Status::Created,
                user_id: user_id.clone(),
                sequence: fact.sequence,
                changed_at: fact.occurred_at,
            },
            Change::ShipmentUpdated { tracking_number } => {
                Shipment { tracking_number: tracking_number.clone(), ..shipment? }
            }
            Change::ShipmentPickedUp => Shipment { status: Status::PickedUp, ..shipment? },
            Change::ShipmentInTransit => Shipment { status: Status::InTransit, ..shipment? },
            Change::ShipmentDelivered => Shipment { status: Status::Delivered, ..shipment? },
        };
        (shipment.sequence, shipment.changed_at) = (fact.sequence, fact.occurred_at);
        Some(shipment)
    })
}

/// Tells what a fact made of its shipment, and whose it is where it is new.
fn tell(event: &Event, host: &mut Host, (fact, shipment): (&Fact, &Shipment)) -> Outcome {
    let shipment_id = event.key_text().unwrap_or_default().to_owned();
    let following = |kind| Base::following(&fact.event_id, kind, SHIPPING_API, fact.occurred_at);
    let changed = ShipmentChanged {
        base: following(fact.change.kind()),
        shipment_id: shipment_id.clone(),
        sequence: fact.sequence,
        tracking_number: shipment.tracking_number.clone(),
        status: shipment.status,
    };
    host.emit(Emission::json(SHIPPING_EVENTS, &changed.base.event_type, &changed)?)?;
    if let Change::ShipmentCreated { user_id, .. } = &fact.change {
        let base = following("ShipmentAdded");
        let added = ShipmentAdded { base, user_id: user_id.clone(), shipment_id };
        let emission = Emission::json(SHIPMENT_ADDED, &added.base.event_type, &added)?;
        host.emit(emission.key(user_id))?;
    }
    Ok(())
}

impl Change {
    const fn kind(&self) -> &'static str {
        match self {
            Self::ShipmentCreated { .. } => "ShipmentCreated",
            Self::ShipmentUpdated { .. } => "ShipmentUpdated",
            Self::ShipmentPickedUp => "ShipmentPickedUp",
            Self::ShipmentInTransit => "ShipmentInTransit",
            Self::ShipmentDelivered => "ShipmentDelivered",
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use shipping_events::SHIPMENT_UPDATED;

    use super::*;

    fn told(topic: &str, id: &str, members: &str) -> Event {
        let payload = format!(r#"{{"EventId":"{id}","shipmentId":"s1",{members}}}"#);
        event(topic, payload).with_key("s1").with_id(id)
    }

    fn created(version: Option<&str>) -> Event {
        let members = r#""trackingNumber":"T1","status":"created","correlationId":"c1",
            "createdAt":"2026-01-15T10:30:00Z","createdByUserId":"ada","createdByEmail":"eyJ""#;
        let mut event = told(SHIPMENT_CREATED, "e1", members);
        event.version = version.map(str::to_owned);
        event
    }

    fn moved(id: &str, sequence: u32, status: &str) -> Event {
        let members = format!(r#""sequence":{sequence},"status":"{status}""#);
        told(SHIPMENT_STATUS_CHANGED, id, &members)
    }

    fn story() -> [Event; 5] {
        let members = r#""sequence":3,"trackingNumber":"T2""#;
        [
            created(None),
            moved("e2", 2, "picked-up"),
            told(SHIPMENT_UPDATED, "e3", members),
            moved("e4", 4, "in-transit"),
            moved("e5", 5, "delivered"),
        ]
    }

    fn told_of(host: &TestHost) -> Vec<String> {
        let emissions = host.emissions().iter().filter(|it| it.topic == SHIPPING_EVENTS);
        emissions.map(|it| it.event_type.clone()).collect()
    }

    #[test]
    fn whatever_is_read_first_the_story_is_told_in_its_order() {
        for first in 0..5 {
            let mut host = TestHost::new();
            let events = story();
            let (before, after) = events.split_at(first);
            for event in after.iter().chain(before.iter().rev()) {
                host.handle(handle, event).unwrap();
            }
            let expected = [
                "ShipmentCreated",
                "ShipmentPickedUp",
                "ShipmentUpdated",
                "ShipmentInTransit",
                "ShipmentDelivered",
            ];
            assert_eq!(told_of(&host), expected, "beginning with event {first}");
            let shipment: Shipment = host.state_json("s1", SHIPMENT).unwrap();
            let stands = (&*shipment.tracking_number, shipment.status, shipment.sequence);
            assert_eq!(stands, ("T2", Status::Delivered, 5));
            assert_eq!(host.state_names("s1"), [HISTORY, SHIPMENT], "nothing waits");
        }
    }

    #[test]
    fn what_follows_a_gap_waits_and_is_told_later() {
        let mut host = TestHost::new();
        let [first, second, third, ..] = story();
        for event in [&first, &third] {
            host.handle(handle, event).unwrap();
        }
        assert_eq!(told_of(&host), ["ShipmentCreated"]);
        let waiting: Vec<Fact> = host.state_json("s1", WAITING).unwrap();
        assert_eq!(waiting.len(), 1);
        host.handle(handle, &second).unwrap();
        assert_eq!(told_of(&host).len(), 3);
    }

    #[test]
    fn both_versions_are_the_same_shipment_and_the_second_says_more() {
        for (version, correlation) in [(None, None), (Some("1"), None), (Some("2"), Some("c1"))] {
            let mut host = TestHost::new();
            host.handle(handle, &created(version)).unwrap();
            let history: Vec<Fact> = host.state_json("s1", HISTORY).unwrap();
            let Change::ShipmentCreated { correlation_id, tracking_number, .. } =
                &history[0].change
            else {
                panic!("{history:?}")
            };
            assert_eq!((correlation_id.as_deref(), &**tracking_number), (correlation, "T1"));
            let added = &host.emissions()[1];
            assert_eq!((&*added.topic, added.key.as_deref()), (SHIPMENT_ADDED, Some(&b"ada"[..])));
        }
    }

    #[test]
    fn a_number_belongs_to_one_event() {
        let mut host = TestHost::new();
        let [first, second, ..] = story();
        for event in [&first, &second, &second] {
            host.handle(handle, event).unwrap();
        }
        for (event, code) in [
            (moved("other", 2, "delivered"), "sequence-taken"),
            (moved("e9", 3, "created"), "status"),
            (created(Some("3")), "version"),
        ] {
            let failure = host.handle(handle, &event).unwrap_err();
            assert_eq!(failure.code(), Some(code), "{failure}");
        }
        assert_eq!(told_of(&host).len(), 2);
    }
}
