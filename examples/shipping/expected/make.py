#!/usr/bin/env python3
"""Says what shipping ends with, from its input alone: a model of the system, not a recording.

Whatever the order in which topics are read, and however often an event comes, it is this. Files:
  topics.json        what plugins publish: by key in order where a key has one, else in any
  state.json         by subscription and key, what is kept
  dead-letters.json  by subscription, the events that are given up on
"""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
UNDELIVERABLE = {"full@example.com": (None, "retryable"),
                 "nobody@example.com": ("http-422", "rejected")}
NAMES = {"picked-up": "ShipmentPickedUp", "in-transit": "ShipmentInTransit",
         "delivered": "ShipmentDelivered"}
ACTIVITY = "identity-api-shipmentcreated-consumer"
LOG = "identity-api-useractivitylogged-consumer"
USERS = "shipping-api-user-consumer"
HISTORY = "shipping-api-shipment-consumer"


def read(topic):
    """The events of a topic, each once."""
    (file,) = (HERE.parent / "events").glob(f"*-{topic}.jsonl")
    events = [json.loads(line) for line in file.read_text().splitlines()]
    return list({event["EventId"]: event for event in events}.values())


def write(file, value):
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    (HERE / file).write_text(text + "\n")


def following(kind, service, event, moment):
    return {"EventId": f"{event['EventId']}/{kind}", "OccurredAt": moment, "EventType": kind,
            "SourceService": service}


def published(data):
    return {"type": data["EventType"], "data": data}


dead = {ACTIVITY: [], LOG: [], USERS: [], HISTORY: []}


def give_up(subscription, event, code, reason="rejected"):
    dead[subscription].append({"id": event["EventId"], "code": code, "class": reason})


# Identity: what users did, and mails.
identity_events, activities = [], {}
for event in read("shipping.shipment.created"):
    if event.get("version", 1) > 2:
        give_up(ACTIVITY, event, "version")
        continue
    if event["createdByEmail"] in UNDELIVERABLE:
        give_up(ACTIVITY, event, *UNDELIVERABLE[event["createdByEmail"]])
        continue
    user, shipment = event["createdByUserId"], event["shipmentId"]
    about = {"userId": user, "shipmentId": shipment}
    moment = event["createdAt"]
    for kind, more in (("UserActivityLogged", {"activity": "shipment-created"}),
                       ("ConfirmationSent", {})):
        data = following(kind, "identity-api", event, moment) | about | more
        identity_events.append(published(data))
    activities.setdefault(user, []).append(
        {"occurredAt": moment, "activity": "shipment-created", "shipmentId": shipment})
for entries in activities.values():
    entries.sort(key=lambda entry: (entry["occurredAt"], entry["shipmentId"]))

# Shipping: what happened to each shipment, by number.
facts = {}
for event in read("shipping.shipment.created"):
    if event.get("version", 1) > 2:
        give_up(HISTORY, event, "version")
        continue
    fact = {"type": "ShipmentCreated", "trackingNumber": event["trackingNumber"],
            "userId": event["createdByUserId"]}
    if "correlationId" in event:
        fact["correlationId"] = event["correlationId"]
    facts.setdefault(event["shipmentId"], {})[1] = (event, fact)
for event in read("shipping.shipment.updated"):
    fact = {"type": "ShipmentUpdated", "trackingNumber": event["trackingNumber"]}
    facts.setdefault(event["shipmentId"], {})[event["sequence"]] = (event, fact)
for event in read("shipping.shipment.status-changed"):
    of_shipment = facts.setdefault(event["shipmentId"], {})
    if event["sequence"] in of_shipment:
        give_up(HISTORY, event, "sequence-taken")
        continue
    of_shipment[event["sequence"]] = (event, {"type": NAMES[event["status"]]})

shipping_events, added, histories, shipments_of = {}, [], {}, {}
statuses = {kind: status for status, kind in NAMES.items()} | {"ShipmentCreated": "created"}
for shipment, numbered in facts.items():
    history, waiting, stands, told = [], [], None, []
    for sequence, (event, fact) in sorted(numbered.items()):
        entry = {"sequence": sequence, "eventId": event["EventId"],
                 "occurredAt": event["OccurredAt"]} | fact
        if sequence != len(history) + 1:
            waiting.append(entry)
            continue
        history.append(entry)
        if sequence == 1:
            user = fact["userId"]
            stands = {"userId": user, "status": "created"}
            data = following("ShipmentAdded", "shipping-api", event, event["OccurredAt"])
            added.append(published(data | {"userId": user, "shipmentId": shipment}))
            shipments_of.setdefault(user, []).append(shipment)
        stands |= {"sequence": sequence, "changedAt": event["OccurredAt"],
                   "status": statuses.get(fact["type"], stands["status"]),
                   "trackingNumber": fact.get("trackingNumber", stands.get("trackingNumber"))}
        data = following(fact["type"], "shipping-api", event, event["OccurredAt"])
        told.append(published(data | {
            "shipmentId": shipment, "sequence": sequence, "status": stands["status"],
            "trackingNumber": stands["trackingNumber"]}))
    kept = {"history": history}
    if stands:
        kept["shipment"] = stands
        shipping_events[shipment] = told
    if waiting:
        kept["waiting"] = waiting
    histories[shipment] = kept

# Shipping's copy of users.
users = {}
for event in read("identity.user.created") + read("identity.user.updated"):
    if not event["name"].strip():
        give_up(USERS, event, "name")
        continue
    user = users.setdefault(event["userId"], {"name": None, "toldAt": ""})
    if event["OccurredAt"] >= user["toldAt"]:
        user |= {"name": event["name"], "toldAt": event["OccurredAt"]}
gone = {event["userId"]: event["OccurredAt"] for event in read("identity.user.deactivated")}
copies = {
    key: {"user": user | {"deactivatedAt": gone.get(key),
                          "shipments": sorted(shipments_of.get(key, []))}}
    for key, user in users.items()}

write("topics.json", {
    "identity-events": identity_events, "shipping.user.shipment-added": added,
    "shipping-events": shipping_events})
write("state.json", {
    LOG: {user: {"activity": entries} for user, entries in activities.items()},
    HISTORY: histories, USERS: copies})
write("dead-letters.json", {
    subscription: sorted(letters, key=lambda letter: letter["id"])
    for subscription, letters in dead.items()})
