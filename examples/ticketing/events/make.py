#!/usr/bin/env python3
"""Makes the recorded input of ticketing. The same on every machine and every day.

Writes one file per topic, a JSON object per line: {"key": …, "payload": …}. Of nine reservations
three are paid, one is paid twice over, one is sent twice, one has nobody's name, and one is for
a section whose name has a dash, which the first version of catalog cannot read.
"""

import json
import pathlib
import uuid

HERE = pathlib.Path(__file__).parent
SPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")

# customer, section, row, number, price, minute of creation, minute of payment
RESERVATIONS = [
    ("ada", "A", 1, 1, 80, 0, 4),
    ("ada", "A", 1, 2, 80, 0, None),
    ("grace", "B", 3, 7, 45.5, 1, 3),
    (None, "B", 3, 8, 45.5, 1, None),
    ("alan", "C", 9, 4, 20, 2, None),
    ("grace", "Balcony-Left", 1, 2, 60, 2, 6),
    ("edsger", "A", 2, 5, 80, 3, None),
    ("barbara", "C", 9, 5, 20, 4, None),
    ("alan", "B", 4, 1, 45.5, 5, None),
]


def name(*parts):
    return str(uuid.uuid5(SPACE, "/".join(map(str, parts))))


def at(minute):
    return f"2026-01-01T12:{minute:02}:00Z"


def line(payload):
    return json.dumps({"key": payload["seatId"].replace("-", ""), "payload": payload})


created, paid = [], []
for customer, section, row, number, price, minute, paid_minute in RESERVATIONS:
    seat_number = f"{section}-{row}-{number}"
    seat = name("seat", seat_number)
    reservation = name("reservation", seat_number)
    created.append({
        "eventId": name("created", seat_number), "reservationId": reservation,
        "customerId": customer, "seatId": seat, "seatNumber": seat_number, "section": section,
        "basePrice": price, "createdAt": at(minute), "expiresAt": at(minute + 10),
        "status": "active",
    })
    if paid_minute is not None:
        paid.append({
            "eventId": name("paid", seat_number), "reservationId": reservation,
            "orderId": name("order", seat_number), "customerId": customer, "seatId": seat,
            "amount": price, "paidAt": at(paid_minute),
        })

created.append(created[1])
paid.append(paid[0] | {"eventId": name("paid again")})

for topic, events in (("reservation-created", created), ("payment-succeeded", paid)):
    text = "".join(line(event) + "\n" for event in events)
    (HERE / f"{topic}.jsonl").write_text(text)

# The same as steps for the tests of single plugins, in the order of their moments.
steps = [(event["createdAt"], "reservation-created", event) for event in created]
steps += [(event["paidAt"], "payment-succeeded", event) for event in paid]
steps.sort(key=lambda step: step[0])
inputs = []
for time, topic, event in steps:
    key = event["seatId"].replace("-", "")
    inputs.append({"topic": topic, "key": key, "timestamp": time, "payload": event})
expired = []
for event in created[:-1]:
    if event["reservationId"] not in {payment["reservationId"] for payment in paid}:
        payload = {
            "eventId": "expired-" + event["reservationId"],
            "reservationId": event["reservationId"], "customerId": event["customerId"],
            "seatId": event["seatId"], "expiredAt": event["expiresAt"],
        }
        expired.append({
            "topic": "reservation-expired", "key": payload["seatId"].replace("-", ""),
            "timestamp": payload["expiredAt"], "payload": payload,
        })


def write_steps(plugin, steps):
    file = HERE.parent / "handlers" / plugin / "tests" / "recorded.events.jsonl"
    file.write_text("".join(json.dumps(step) + "\n" for step in steps))


for plugin in ("ordering", "catalog", "catalog-v2"):
    write_steps(plugin, inputs + expired)
write_steps("expiry", inputs + [{"advance": "2026-01-01T12:15:00Z"}])
