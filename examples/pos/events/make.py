#!/usr/bin/env python3
"""Makes the recorded input of pos. The same on every machine and every day.

Writes one file per topic, an event per line. Of 72 users two have an address that is gone; of 80
orders every eighth is on a card without funds, two are in a currency that nobody takes. Some
events come twice, some belong to a chain that began elsewhere.
"""

import json
import pathlib
import uuid

HERE = pathlib.Path(__file__).parent
SPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
ARTICLES = {"tea": 450, "cup": 1200, "pot": 3900, "spoon": 250, "honey": 800, "sieve": 650}
GONE = "gone@example.com"


def name(*parts):
    return str(uuid.uuid5(SPACE, "/".join(map(str, ("pos", *parts)))))


def event(kind, number, source, data):
    moment = f"2026-03-{1 + number // 30:02}T{8 + number % 12:02}:{number % 60:02}:00Z"
    made = {
        "eventId": name(kind, number), "eventType": f"{kind}.v1", "eventVersion": "1.0.0",
        "timestamp": moment, "source": source,
    }
    if number % 3 == 0:
        made["correlationId"] = name("visit", kind, number)
    if number % 5 == 0:
        made["traceId"] = uuid.uuid5(SPACE, f"trace/{kind}/{number}").hex
    return made | {"data": data}


def mail_of(user):
    return GONE if user in (17, 52) else f"user-{user}@example.com"


def order(number):
    skus = sorted(ARTICLES)
    lines = [
        {"sku": skus[(number * 5 + place * 2) % len(skus)], "quantity": 1 + (number + place) % 3}
        for place in range(1 + number % 3)
    ]
    user = number * 7 % 72
    return {
        "orderId": f"o-{number:03}", "userId": f"u-{user:03}", "email": mail_of(user),
        "card": "card-without-funds" if number % 8 == 5 else f"card-{user:03}",
        "currency": "USD" if number in (22, 63) else "EUR",
        "amount": sum(ARTICLES[line["sku"]] * line["quantity"] for line in lines),
        "lines": lines,
    }


def twice(events, *places):
    return events + [events[place] for place in places]


users = [
    event("user.created", number, "auth", {
        "userId": f"u-{number:03}", "email": mail_of(number), "fullName": f"User {number}",
    })
    for number in range(72)
]
orders = [event("order.placed", number, "till", order(number)) for number in range(80)]
deliveries = [
    event("stock.delivered", number, "warehouse", {"sku": sku, "quantity": 25 + number})
    for number, sku in enumerate(sorted(ARTICLES) * 2)
]

for file, events in (
    ("01-identity.user.created", twice(users, 3, 17, 40)),
    ("02-sales.order.placed", twice(orders, 5, 22, 41, 60)),
    ("03-stock.item.delivered", twice(deliveries, 2)),
):
    (HERE / f"{file}.jsonl").write_text("".join(json.dumps(it) + "\n" for it in events))
