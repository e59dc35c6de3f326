#!/usr/bin/env python3
"""Makes the schemas of pos: the envelope is the same in all, so it is written once, here."""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
TEXT = {"type": "string", "minLength": 1}
EMAIL = {"type": "string", "pattern": "^[^@ ]+@[^@ ]+$"}
COUNT = {"type": "integer", "minimum": 1}
CURRENCY = {"type": "string", "pattern": "^[A-Z]{3}$"}
STOCK = {"orderId": TEXT, "sku": TEXT, "quantity": COUNT}
PAYMENT = {"orderId": TEXT, "email": EMAIL, "currency": CURRENCY, "amount": COUNT}
LINE = {
    "type": "object", "required": ["sku", "quantity"],
    "properties": {"sku": TEXT, "quantity": COUNT},
}

TYPES = {
    "user.created.v1": {"userId": TEXT, "email": EMAIL, "fullName": TEXT},
    "order.placed.v1": {
        "orderId": TEXT, "userId": TEXT, "email": EMAIL, "card": TEXT, "currency": CURRENCY,
        "amount": COUNT, "lines": {"type": "array", "minItems": 1, "items": LINE},
    },
    "stock.delivered.v1": {"sku": TEXT, "quantity": COUNT},
    "stock.requested.v1": STOCK,
    "stock.reserved.v1": STOCK,
    "payment.accepted.v1": PAYMENT,
    "payment.declined.v1": PAYMENT | {"reason": TEXT},
    "mail.sent.v1": {"to": EMAIL, "template": TEXT, "about": TEXT},
    "counter.raised.v1": {"counter": TEXT, "by": COUNT},
}

for name, data in TYPES.items():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "type": "object",
        "required": ["eventId", "eventType", "eventVersion", "timestamp", "source", "data"],
        "properties": {
            "eventId": TEXT,
            "eventType": {"const": name},
            "eventVersion": {"type": "string", "pattern": "^1\\.[0-9]+\\.[0-9]+$"},
            "timestamp": {"type": "string", "format": "date-time"},
            "source": TEXT,
            "correlationId": TEXT,
            "traceId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "data": {"type": "object", "required": list(data), "properties": data},
        },
    }
    (HERE / f"{name}.json").write_text(json.dumps(schema, indent=2) + "\n")
