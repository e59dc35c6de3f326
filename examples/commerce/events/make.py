#!/usr/bin/env python3
"""Makes the recorded input of commerce. The same on every machine and every day.

Writes one file per topic, an event in its envelope per line: users, products, counts of stock,
carts, orders, what carriers say, and one payment that was paid back. Some are there twice, as
at-least-once producers send them. Of the orders some are for a product of which there is too
little, and some of somebody whose card is blocked; of the rest two cannot be carried out.
"""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
USERS = ["ada", "alan", "barbara", "donald", "edsger", "frances", "grace", "hermit", "john",
         "katherine", "mallory", "tony"]
# name, price in cents, pieces that are counted
PRODUCTS = {
    "tea": (1990, 9000), "cup": (450, 9000), "kettle": (3990, 9000), "sieve": (250, 9000),
    "honey": (890, 9000), "tin": (1290, 9000), "spoon": (190, 9000), "samovar": (49900, 1),
}
ORDERS = 72


def event(number, service, kind, minute, data, user=None):
    metadata = {"userId": user, "sessionId": f"s-{user}"} if user else {}
    return {
        "eventId": f"{service}-{number:03}", "eventType": kind, "eventVersion": "v1",
        "timestamp": f"2026-03-01T{8 + minute // 60:02}:{minute % 60:02}:00Z",
        "source": f"{service}-service", "correlationId": f"request-{service}-{number:03}",
        "causationId": None, "data": data, "metadata": metadata,
    }


def write(number, topic, events, twice):
    """Every so many-th event comes again, after the next one."""
    lines = []
    for at, line in enumerate(events):
        lines.append(line)
        if at % twice == twice - 1:
            lines.append(events[at - 1])
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (HERE / f"{number:02}-{topic}.jsonl").write_text(text)


users = [
    event(number, "user", "UserRegistered", number,
          {"userId": user, "email": f"{user}@example.com", "name": user.title()}, user)
    for number, user in enumerate(USERS)
]
users += [
    event(20, "user", "UserUpdated", 20, {"userId": "ada", "email": "ada@example.org"}, "ada"),
    event(21, "user", "UserUpdated", 21, {"userId": "nobody", "name": "Nobody"}, "nobody"),
    event(22, "user", "UserDeactivated", 22, {"userId": "tony", "reason": "moved away"}, "tony"),
]
write(1, "user-events", users, 5)

products = [
    event(number, "catalog", "ProductCreated", number,
          {"productId": product, "name": product.title(), "priceCents": price, "currency": "EUR"})
    for number, (product, (price, _)) in enumerate(PRODUCTS.items())
]
products += [
    event(20, "catalog", "ProductUpdated", 20, {"productId": "tea", "priceCents": 1890}),
    event(21, "catalog", "ProductUpdated", 21, {"productId": "cup", "priceCents": 0}),
    event(22, "catalog", "ProductDiscontinued", 22,
          {"productId": "tin", "reason": "out of fashion"}),
]
write(2, "catalog-events", products, 4)

counts = [
    event(number, "inventory", "InventoryAdjusted", number,
          {"productId": product, "change": count, "reason": "counted"})
    for number, (product, (_, count)) in enumerate(PRODUCTS.items())
]
counts.append(event(20, "inventory", "InventoryAdjusted", 30,
                    {"productId": "spoon", "change": -5, "reason": "lost"}))
write(3, "inventory-events", counts, 3)


def items(number):
    names = [name for name in PRODUCTS if name != "samovar"]
    chosen = [(names[number % 7], 1 + number % 3), (names[number * 3 % 7], 1)]
    chosen = chosen[:1 + number % 2]
    if number % 9 == 4:
        chosen.append(("samovar", 5))
    return [
        {"productId": name, "quantity": quantity, "priceCents": PRODUCTS[name][0]}
        for name, quantity in chosen
    ]


carts, orders = [], []
for number in range(ORDERS):
    user, minute = USERS[number % len(USERS)], 40 + number
    lines = items(number)
    if number % 3 == 0:
        cart = {"cartId": f"c-{number:03}", "userId": user, "items": lines[:1]}
        carts.append(event(2 * number, "cart", "CartCreated", minute - 5, cart, user))
        if number % 2 == 0:
            cart = cart | {"items": lines}
            carts.append(event(2 * number + 1, "cart", "CartUpdated", minute - 3, cart, user))
    if number % 12 == 3:
        continue
    order = {
        "orderId": f"o-{number:03}", "userId": user, "items": lines,
        "totalCents": sum(line["quantity"] * line["priceCents"] for line in lines),
        "currency": "EUR",
    }
    if number % 3 == 0:
        order["cartId"] = f"c-{number:03}"
    orders.append(event(number, "order", "OrderCreated", minute, order, user))
write(4, "cart-events", carts, 7)
write(5, "order-events", orders, 8)

parcels = []
for number in range(0, 36, 3):
    user = USERS[number % len(USERS)]
    parcel = {"shipmentId": f"s-o-{number:03}", "orderId": f"o-{number:03}", "userId": user}
    if number % 12 == 3 or user == "mallory" or number % 9 == 4:
        continue
    dispatched = parcel | {"carrier": "post"}
    parcels.append(event(2 * number, "carrier", "ShippingDispatched", 200, dispatched, user))
    if number % 2 == 0:
        parcels.append(event(2 * number + 1, "carrier", "ShippingDelivered", 300, parcel, user))
write(6, "shipping-events", parcels, 4)

refunded = {
    "paymentId": "pay-o-000", "orderId": "o-000", "userId": "ada",
    "amountCents": orders[0]["data"]["totalCents"], "currency": "EUR",
}
write(7, "payment-events", [event(0, "refund", "PaymentRefunded", 400, refunded, "ada")], 9)
