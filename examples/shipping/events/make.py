#!/usr/bin/env python3
"""Makes the recorded input of shipping. The same on every machine and every day.

Writes a file per topic, NN-TOPIC.jsonl, a payload per line. They are numbered so that what comes
last is published first: shipments move before they are created, and users have shipments before
anybody knows them, which must come to the same end. Of 24 shipments the even ones are told in
version 2. Besides:
  duplicates          every sixth event is there twice
  full@example.com    its mailbox takes nothing
  nobody@example.com  there is no such address
  version 3           of one shipment, which nobody knows yet
  a taken number      two events of one shipment both say that they are its second
  a nameless user     whose name is a blank
"""

import json
import pathlib
import uuid

HERE = pathlib.Path(__file__).parent
SPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")

USERS = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Edsger Dijkstra", "Barbara Liskov",
         "Donald Knuth", "Full Mailbox", "Nobody Known"]
ADDRESSES = {6: "full@example.com", 7: "nobody@example.com"}
STEPS = ["picked-up", "in-transit", "delivered"]
SHIPMENTS = 24


def name(*parts):
    return str(uuid.uuid5(SPACE, "/".join(map(str, parts))))


def at(minute):
    return f"2026-01-15T{8 + minute // 60:02}:{minute % 60:02}:00Z"


def base(kind, service, minute, *parts):
    return {"EventId": name(kind, *parts), "OccurredAt": at(minute), "EventType": kind,
            "SourceService": service}


def user_id(user):
    return f"auth0|{100 + user}"


def email(user):
    return ADDRESSES.get(user, USERS[user].split()[0].lower() + "@example.com")


def user(kind, number, minute, full_name):
    return base(kind, "identity-api", minute, number, minute) | {
        "userId": user_id(number), "name": full_name, "email": email(number)}


def shipment(kind, number, minute, *parts):
    return base(kind, "shipping-api", minute, number, *parts) | {
        "shipmentId": name("shipment", number)}


def created(number, owner, minute):
    event = shipment("ShipmentCreated", number, minute) | {
        "trackingNumber": f"TRACK{number:03}", "status": "created", "createdAt": at(minute),
        "createdByUserId": user_id(owner), "createdByEmail": email(owner)}
    if number % 2 == 0:
        event |= {"correlationId": name("request", number), "version": 2}
    if number == 23:
        event |= {"correlationId": name("request", number), "version": 3}
    return event


topics = {topic: [] for topic in (
    "shipping.shipment.status-changed", "shipping.shipment.updated", "shipping.shipment.created",
    "identity.user.deactivated", "identity.user.updated", "identity.user.created")}
for number in range(SHIPMENTS):
    # The users whose mails fail have one shipment each; the others share the rest.
    owner = {6: 6, 7: 7}.get(number, number % 6)
    minute, sequence = 10 * number, 1
    topics["shipping.shipment.created"].append(created(number, owner, minute))
    if number % 3 == 0:
        sequence += 1
        topics["shipping.shipment.updated"].append(
            shipment("ShipmentUpdated", number, minute + 1)
            | {"sequence": sequence, "trackingNumber": f"TRACK{number:03}-B"})
    for step, status in enumerate(STEPS[:number % 4]):
        sequence += 1
        topics["shipping.shipment.status-changed"].append(
            shipment("ShipmentStatusChanged", number, minute + 2 + step, status)
            | {"sequence": sequence, "status": status})
taken = topics["shipping.shipment.status-changed"][0]
topics["shipping.shipment.status-changed"].append(
    taken | {"EventId": name("taken"), "status": "delivered"})
for number, full_name in enumerate(USERS):
    topics["identity.user.created"].append(user("UserCreated", number, number, full_name))
    if number % 2 == 1:
        for time, changed in ((20, full_name + ", Dr."), (21, "Dr. " + full_name)):
            topics["identity.user.updated"].append(
                user("UserUpdated", number, time + number, changed))
    if number % 4 == 3:
        event = base("UserDeactivated", "identity-api", 200 + number, number)
        topics["identity.user.deactivated"].append(event | {"userId": user_id(number)})
topics["identity.user.updated"].append(user("UserUpdated", 0, 40, "  "))

for position, (topic, events) in enumerate(topics.items()):
    repeated = events + events[::6]
    text = "".join(json.dumps(event) + "\n" for event in repeated)
    (HERE / f"{position + 1:02}-{topic}.jsonl").write_text(text)

# The same as steps for the tests of single plugins.
KEYS = {"shipping": "shipmentId", "identity": "userId"}
for plugin, prefix, limit in (("history", "shipping", 8), ("users", "identity", 4)):
    steps = []
    for topic, events in topics.items():
        if topic.startswith(prefix):
            key = KEYS[prefix]
            steps += [{"topic": topic, "key": event[key], "payload": event}
                      for event in events[:limit] + events[-1:]]
    file = HERE.parent / "handlers" / plugin / "tests" / "recorded.events.jsonl"
    file.write_text("".join(json.dumps(step) + "\n" for step in steps))
