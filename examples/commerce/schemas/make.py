#!/usr/bin/env python3
"""Makes the schemas of commerce: the envelope is the same in all, so it is written once, here.

Prints the tables of gristmill.toml that bind them, one for each type.
"""

import json
import pathlib
import re

HERE = pathlib.Path(__file__).parent
TEXT = {"type": "string", "minLength": 1}
CENTS = {"type": "integer", "minimum": 1}
COUNT = {"type": "integer", "minimum": 1}
CURRENCY = {"type": "string", "pattern": "^[A-Z]{3}$"}
# RFC 3339, or milliseconds since 1970.
MOMENT = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer", "minimum": 0}]}


def record(**fields):
    return {"type": "object", "required": list(fields), "properties": fields}


def several(item, least):
    return {"type": "array", "minItems": least, "items": item}


ORDER = {"orderId": TEXT, "userId": TEXT}
STOCK = record(productId=TEXT, quantity=COUNT)
PAYMENT = {"paymentId": TEXT, **ORDER, "amountCents": CENTS, "currency": CURRENCY}

TOPICS = {
    "order-events": {
        "OrderCreated": {
            **ORDER, "items": several(record(productId=TEXT, quantity=COUNT, priceCents=CENTS), 1),
            "totalCents": CENTS, "currency": CURRENCY,
        },
        "OrderConfirmed": ORDER,
        "OrderShipped": {**ORDER, "shipmentId": TEXT},
        "OrderCancelled": {**ORDER, "reason": TEXT},
    },
    "payment-events": {
        "PaymentInitiated": PAYMENT,
        "PaymentProcessed": PAYMENT,
        "PaymentFailed": {**PAYMENT, "reason": TEXT},
        "PaymentRefunded": PAYMENT,
    },
    "inventory-events": {
        "InventoryAdjusted": {"productId": TEXT, "change": {"type": "integer"}, "reason": TEXT},
        "InventoryReserved": {
            **ORDER, "items": several(STOCK, 1), "totalCents": CENTS, "currency": CURRENCY,
        },
        "InventoryReleased": {**ORDER, "items": several(STOCK, 0), "reason": TEXT},
    },
}

for topic, types in TOPICS.items():
    for name, data in types.items():
        envelope = record(
            eventId=TEXT, eventType={"const": name}, eventVersion={"const": "v1"},
            timestamp=MOMENT, source=TEXT, data=record(**data),
        )
        envelope["properties"] |= {
            "correlationId": {"type": ["string", "null"]},
            "causationId": {"type": ["string", "null"]},
            "metadata": {"type": "object", "properties": {"userId": TEXT, "sessionId": TEXT}},
        }
        draft = "https://json-schema.org/draft/2020-12/schema"
        schema = {"$schema": draft, "title": name} | envelope
        file = re.sub("(?<=.)([A-Z])", r"-\1", name).lower()
        (HERE / f"{file}.json").write_text(json.dumps(schema, indent=2) + "\n")
        print(f'[schemas.{file}]\ntopics = ["{topic}"]\ntypes = ["{name}"]')
        print(f'schema = "schemas/{file}.json"\n')
