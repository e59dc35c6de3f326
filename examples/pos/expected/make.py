#!/usr/bin/env python3
"""Says what pos ends with, from its input alone: a model of the system, not a recording.

Whatever the order in which topics are read, and however often an event comes, it is this. Files:
  topics.json        per topic and key, every event that is published, in order; one list where
                     events of several keys cause those of one, and nothing orders them
  state.json         per subscription and key, what is kept
  dead-letters.json  per subscription, ids and codes of the events given up on
"""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
GONE, WITHOUT_FUNDS, CURRENCY = "gone@example.com", "card-without-funds", "EUR"

topics, shared, stock, counters, letters = {}, {}, {}, {}, {}


def read(file):
    lines = (HERE.parent / "events" / f"{file}.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return list({event["eventId"]: event for event in events}.values())


def write(name, value):
    """Each key of each topic or subscription is on a line of its own, or each event of a list."""
    def joined(parts, ends):
        return ends[0] + "\n" + ",\n".join(parts) + "\n" + ends[1]

    def show(inner):
        if isinstance(inner, list):
            return joined(map(json.dumps, inner), "[]") if inner else "[]"
        each = (f"{json.dumps(key)}: {json.dumps(it)}" for key, it in sorted(inner.items()))
        return joined(each, "{}")
    parts = (f"{json.dumps(key)}: {show(inner)}" for key, inner in sorted(value.items()))
    (HERE / name).write_text(joined(parts, "{}") + "\n")


def publish(to, topic, cause, kind, source, name, data, key=None):
    """An event that `cause` causes; it wears the envelope, and goes on with the chain."""
    event = {
        "eventId": f"{cause['eventId']}-{name}", "eventType": kind, "eventVersion": "1.0.0",
        "timestamp": cause["timestamp"], "source": source,
        "correlationId": cause.get("correlationId", cause["eventId"]), "data": data,
    }
    of_key = to.setdefault(topic, {}).setdefault(key or event["eventId"], [])
    of_key.append({"type": kind, "data": event})
    return event


def give_up(subscription, event, code):
    letter = {"id": event["eventId"], "code": code, "class": "rejected"}
    letters.setdefault(subscription, []).append(letter)


def mail(subscription, cause, template, to, about):
    if to == GONE:
        return give_up(subscription, cause, "http-422")
    data = {"to": to, "template": template, "about": about}
    publish(topics, "notification.mail.sent", cause, "mail.sent.v1", "notification", template, data)


def count(cause, what, by):
    counter = f"{what}-{cause['timestamp'][:10]}"
    data = {"counter": counter, "by": by}
    publish(shared, "analytics.counter.raised", cause, "counter.raised.v1", "analytics", what, data,
            counter)
    kept = counters.setdefault(counter, {"counter": {"events": 0, "total": 0}})["counter"]
    kept["events"] += 1
    kept["total"] += by


def reserve(cause, number, order_id, line):
    data = {"orderId": order_id} | line
    asked = publish(shared, "stock.item.requested", cause, "stock.requested.v1", "inventory",
                    f"line-{number}", data, line["sku"])
    publish(topics, "stock.item.reserved", asked, "stock.reserved.v1", "inventory", "reserved",
            data)
    keep(line["sku"], "reserved", line["quantity"])


def keep(sku, what, quantity):
    kept = stock.setdefault(sku, {"stock": {"delivered": 0, "reserved": 0}})["stock"]
    kept[what] += quantity


def pay(cause, order):
    if order["currency"] != CURRENCY:
        return give_up("pos-payment", cause, "currency")
    data = {name: order[name] for name in ("orderId", "email", "currency", "amount")}
    is_declined = order["card"] == WITHOUT_FUNDS
    kind = "payment.declined.v1" if is_declined else "payment.accepted.v1"
    if is_declined:
        data["reason"] = "no funds"
    settled = publish(topics, "billing.payment.settled", cause, kind, "payment", "payment", data)
    if is_declined:
        mail("pos-declined", settled, "declined", order["email"], order["orderId"])
    else:
        count(settled, "revenue", order["amount"])


for event in read("01-identity.user.created"):
    user = event["data"]
    mail("pos-welcome", event, "welcome", user["email"], user["userId"])
    count(event, "users", 1)

for event in read("02-sales.order.placed"):
    order = event["data"]
    mail("pos-confirmation", event, "confirmation", order["email"], order["orderId"])
    count(event, "orders", 1)
    pay(event, order)
    for number, line in enumerate(order["lines"]):
        reserve(event, number, order["orderId"], line)

for event in read("03-stock.item.delivered"):
    keep(event["data"]["sku"], "delivered", event["data"]["quantity"])

for topic, keys in shared.items():
    topics[topic] = [event for _, events in sorted(keys.items()) for event in events]

SUBSCRIPTIONS = [
    "pos-analytics", "pos-confirmation", "pos-counters", "pos-declined", "pos-inventory",
    "pos-payment", "pos-stock", "pos-welcome",
]
write("topics.json", topics)
write("state.json", {"pos-stock": stock, "pos-counters": counters})
write("dead-letters.json", {
    name: sorted(letters.get(name, []), key=lambda it: it["id"]) for name in SUBSCRIPTIONS
})
