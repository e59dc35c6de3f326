#!/usr/bin/env python3
"""Says what commerce ends with, from its input alone: a model of the system, not a recording.

Whatever the order in which topics are read, and however often an event comes, it is this. Files:
  topics.json        per topic, every event that handlers publish; lists, where products or topics
                     that are read apart lead to events of one user
  state.json         per subscription and key, what is kept
  dead-letters.json  per subscription, ids and codes of the events given up on
Input is long past when it is published: carts and failed payments are too late for the windows.
"""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
BLOCKED, HERMIT = "mallory", "hermit"

topics, users, products, stock, history, parcels, letters = {}, {}, {}, {}, {}, {}, {}


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


def publish(topic, cause, kind, service, name, data, user=None):
    """An event that `cause` causes: at the same moment, in the same chain."""
    event = {
        "eventId": name, "eventType": kind, "eventVersion": "v1", "timestamp": cause["timestamp"],
        "source": f"{service}-service", "correlationId": cause["correlationId"],
        "causationId": cause["eventId"], "data": data,
    }
    if user:
        event["metadata"] = {"userId": user}
    topics.setdefault(topic, []).append({"type": kind, "data": event})
    return event


def give_up(subscription, event, code):
    letter = {"id": event["eventId"], "code": code, "class": "rejected"}
    letters.setdefault(subscription, []).append(letter)


def notify(cause, name, user, template, order=None):
    data = {"notificationId": name, "userId": user, "channel": "email", "template": template}
    if order:
        data |= {"orderId": order, "shipmentId": f"s-{order}"}
    kind = "NotificationSent"
    if user == HERMIT:
        kind, data["reason"] = "NotificationFailed", "nobody is there"
    return publish("notification-events", cause, kind, "notification", name, data, user)


def happen(order, kind, event, **more):
    """An event of an order, and what it makes of it."""
    kept = history.setdefault(order["userId"], {}).setdefault(
        f"order/{order['orderId']}", {"events": []})
    kept["status"] = kind.removeprefix("Order").lower()
    kept["events"].append([kind, event["timestamp"]])
    kept |= more


for event in read("01-user-events"):
    user, kind = event["data"], event["eventType"]
    key = user["userId"]
    if kind == "UserRegistered":
        users[key] = {"email": user["email"], "name": user["name"], "isActive": True}
        notify(event, f"{key}-welcome", key, "welcome")
    elif key not in users:
        give_up("commerce-users", event, "unknown-user")
    elif kind == "UserUpdated":
        users[key] |= {name: user[name] for name in ("email", "name") if name in user}
    else:
        users[key]["isActive"] = False

for event in read("02-catalog-events"):
    product, kind = event["data"], event["eventType"]
    key = product.pop("productId")
    if kind == "ProductCreated":
        products[key] = product | {"isOnSale": True}
    elif kind == "ProductDiscontinued":
        products[key]["isOnSale"] = False
    elif product["priceCents"] <= 0:
        give_up("commerce-products", event, "price")
    else:
        products[key] |= product

for event in read("03-inventory-events"):
    counted = event["data"]
    kept = stock.setdefault(counted["productId"], {"available": 0})
    kept["available"] += counted["change"]

TOO_LITTLE = {product for product, kept in stock.items() if kept["available"] < 5}


def reserve(created, order):
    """What of an order is set aside; none when anything is missing."""
    wanted = {}
    for item in order["items"]:
        wanted[item["productId"]] = wanted.get(item["productId"], 0) + item["quantity"]
    ids = {key: order[key] for key in ("orderId", "userId")}
    lines = {
        "eventId": created["eventId"], "lines": len(wanted), "totalCents": order["totalCents"],
        "currency": order["currency"],
    }
    items, answers, name = [], [], order["orderId"]
    for product, quantity in sorted(wanted.items()):
        item = {"productId": product, "quantity": quantity}
        request = {"order": ids | lines, "item": item}
        asked = publish("stock-requests", created, "StockRequested", "inventory",
                        f"{name}-wants-{product}", request)
        answers.append((asked, request | {"isThere": product not in TOO_LITTLE}))
        if product not in TOO_LITTLE:
            items.append(item)
    for asked, answer in answers:
        publish("stock-answers", asked, "StockAnswered", "inventory",
                f"{name}-has-{answer['item']['productId']}", answer, order["userId"])
    return items, sorted(set(wanted) & TOO_LITTLE)


def release(cause, order, items, reason):
    name, user = order["orderId"], order["userId"]
    for item in items:
        data = {"orderId": name, "productId": item["productId"]}
        publish("stock-requests", cause, "StockReturned", "inventory",
                f"{name}-returns-{item['productId']}", data)
    data = {"orderId": name, "userId": user, "items": items, "reason": reason}
    released = publish("inventory-events", cause, "InventoryReleased", "inventory",
                       f"{name}-released", data, user)
    data = {"orderId": name, "userId": user, "reason": reason}
    publish("order-events", released, "OrderCancelled", "order", f"{name}-cancelled", data, user)
    happen(order, "OrderCancelled", released, reason=reason)


for created in read("05-order-events"):
    order = created["data"]
    name, user = order["orderId"], order["userId"]
    happen(order, "OrderCreated", created,
           **{key: order[key] for key in ("items", "totalCents", "currency")})
    items, missing = reserve(created, order)
    if missing:
        release(created, order, items, f"no stock of {', '.join(missing)}")
        continue
    ids = {"orderId": name, "userId": user}
    money = {"totalCents": order["totalCents"], "currency": order["currency"]}
    reserved = publish("inventory-events", created, "InventoryReserved", "inventory",
                       f"{name}-reserved", ids | {"items": items} | money, user)
    payment = {"paymentId": f"pay-{name}", **ids, "amountCents": order["totalCents"],
               "currency": order["currency"]}
    publish("payment-events", reserved, "PaymentInitiated", "payment", f"{name}-paying", payment,
            user)
    if user == BLOCKED:
        failed = payment | {"reason": "the card is blocked"}
        failed = publish("payment-events", reserved, "PaymentFailed", "payment", f"{name}-paid",
                         failed, user)
        topics.setdefault("payment-alerts-late", []).append(
            {"type": "PaymentFailed", "data": failed["data"]})
        release(failed, order, items, "the card is blocked")
        continue
    for item in items:
        kept = stock[item["productId"]]
        kept["available"] -= item["quantity"]
        kept[f"held/{name}"] = item["quantity"]
    paid = publish("payment-events", reserved, "PaymentProcessed", "payment", f"{name}-paid",
                   payment, user)
    publish("order-events", paid, "OrderConfirmed", "order", f"{name}-confirmed", ids, user)
    happen(order, "OrderConfirmed", paid)
    parcel = {"shipmentId": f"s-{name}", **ids, "trackingNumber": f"GM-{name}"}
    label = publish("shipping-events", paid, "ShippingCreated", "shipping", f"{name}-label", parcel,
                    user)
    parcels.setdefault(user, {})[f"parcel/s-{name}"] = "labelled"
    told = notify(label, f"{name}-told", user, "order-shipped", name)
    publish("order-events", told, "OrderShipped", "order", f"{name}-shipped",
            ids | {"shipmentId": f"s-{name}"}, user)
    happen(order, "OrderShipped", told, shipmentId=f"s-{name}")

for event in read("06-shipping-events"):
    parcel = event["data"]
    place = event["eventType"].removeprefix("Shipping").lower()
    parcels[parcel["userId"]][f"parcel/{parcel['shipmentId']}"] = place

for event in read("04-cart-events") + read("05-order-events"):
    topics.setdefault("carts-late", []).append({"type": event["eventType"], "data": event["data"]})

SUBSCRIPTIONS = [
    "abandoned-carts", "commerce-fulfilment", "commerce-inventory", "commerce-notifications",
    "commerce-order-history", "commerce-orders", "commerce-parcels", "commerce-payments",
    "commerce-picking", "commerce-products", "commerce-shipping", "commerce-stock",
    "commerce-users", "payment-alerts", "revenue", "revenue-payments",
]
write("topics.json", topics)
write("state.json", {
    "commerce-users": {key: {"user": kept} for key, kept in users.items()},
    "commerce-products": {key: {"product": kept} for key, kept in products.items()},
    "commerce-stock": stock,
    "commerce-order-history": history,
    "commerce-parcels": parcels,
})
write("dead-letters.json", {
    name: sorted(letters.get(name, []), key=lambda it: it["id"]) for name in SUBSCRIPTIONS
})
