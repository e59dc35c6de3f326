#!/usr/bin/env python3
"""Says what ticketing ends with, from its input alone: a model of the system, not a recording.

Whatever the order in which topics are read, and however often an event comes, it is this. Lists
are sorted by reservation id. Files:
  carts.json         per cart, what is in it and what is paid
  catalog.json       per seat, version 1 of catalog: seats it could not read have no place
  catalog-v2.json    the same after version 2 was dropped in and the dead letters redriven
  dead-letters.json  per subscription, ids and codes of the events given up on by version 1
  expired.json       ids of all reservation-expired events
"""

import json
import pathlib

HERE = pathlib.Path(__file__).parent


def read(topic):
    lines = (HERE.parent / "events" / f"{topic}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


created = {line["payload"]["reservationId"]: line for line in read("reservation-created")}
paid = {line["payload"]["reservationId"]: line["payload"] for line in read("payment-succeeded")}

carts, catalogs, dead, expired = {}, ({}, {}), [], []
for reservation_id, line in sorted(created.items()):
    key, reservation = line["key"], line["payload"]
    cart = carts.setdefault(reservation["customerId"] or reservation_id, {"items": [], "paid": []})
    if reservation_id in paid:
        cart["paid"].append({
            "reservationId": reservation_id, "seatId": reservation["seatId"],
            "seatNumber": reservation["seatNumber"], "price": float(reservation["basePrice"]),
            "orderId": paid[reservation_id]["orderId"],
        })
        seat = {"availability": "sold", "reservationId": reservation_id}
    else:
        expired.append(f"expired-{reservation_id}")
        seat = {"availability": "available"}
    section, row, number = reservation["seatNumber"].rsplit("-", 2)
    place = {"place": {"section": section, "row": row, "number": int(number)}}
    catalogs[1][key] = seat | place
    if "-" in section:
        dead.append({"id": reservation["eventId"], "code": "seat-number", "class": "rejected"})
        catalogs[0][key] = seat
    else:
        catalogs[0][key] = seat | place

write("carts.json", carts)
write("catalog.json", catalogs[0])
write("catalog-v2.json", catalogs[1])
write("dead-letters.json", {"catalog": dead})
write("expired.json", sorted(expired))
