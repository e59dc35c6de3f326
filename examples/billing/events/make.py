#!/usr/bin/env python3
"""Makes the recorded input of billing. The same on every machine and every day.

    events/make.py                writes the files NUMBER-TOPIC.jsonl, a CloudEvent per line, and
                                  steps for the tests of single plugins
    events/make.py --load N       prints N commands to create invoices, for a load test

Three tenants, one of which has a colon in its name; a fourth gets no credit. Every fate of an
invoice is there, payments come in both versions, some events come twice and some commands ask for
what cannot be.
"""

import argparse
import json
import pathlib
import uuid

HERE = pathlib.Path(__file__).parent
SPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
TENANTS = ["acme", "globex", "wayne:west"]
FATES = [
    "draft", "finalized", "paid", "paid-1", "cancelled", "marked", "parts", "simulated", "part-1",
]


def event(event_type, number, data, source="/desk", **more):
    """A CloudEvent at minute `number` of the day."""
    at = f"2026-01-05T{8 + number // 60:02}:{number % 60:02}:00Z"
    name = json.dumps([event_type, number, data, more], sort_keys=True)
    return {
        "specversion": "1.0", "id": str(uuid.uuid5(SPACE, name)), "source": source,
        "type": event_type, "time": at, "datacontenttype": "application/json", **more,
        "data": data,
    }


def payment(version, number, invoice, part, amount):
    data = invoice | {"paymentId": f"p-{number}-{part}"}
    money = {"amount": amount, "currency": "USD"}
    data |= money if version == "1" else {"total": money}
    at = f"2026-01-06T{8 + number // 60:02}:{number % 60:02}:{part:02}Z"
    return event(
        "PaymentReceived", number, data | {"receivedAt": at}, "/bank", eventversion=version
    )


def invoices():
    """Commands, payments of the first and payments of the second version."""
    commands, first, second = [], [], []
    fates = [(tenant, fate) for tenant in TENANTS for fate in FATES]
    for number, (tenant, fate) in enumerate(fates):
        invoice = {"tenantId": tenant, "invoiceId": f"i-{number:03}"}
        amount = round(19.99 + 61.37 * (number * 7 % 23), 2)
        create = invoice | {"name": f"Milling, part {number}", "amount": amount}
        if number % 3:
            create |= {"currency": "USD", "dueDate": "2026-02-01", "cashierId": "c-1"}
        commands.append(event("CreateInvoice", number, create))
        if fate not in ("draft", "cancelled"):
            commands.append(event("FinalizeInvoice", number, invoice))
        match fate:
            case "cancelled":
                commands.append(event("CancelInvoice", number, invoice))
            case "marked":
                commands.append(event("MarkInvoiceAsPaid", number, invoice))
            case "simulated":
                simulate = invoice | {"paymentId": f"p-{number}-s", "amount": amount}
                commands.append(event("SimulatePayment", number, simulate))
            case "paid":
                second.append(payment("2", number, invoice, 0, amount))
            case "paid-1":
                first.append(payment("1", number, invoice, 0, amount))
            case "parts":
                half = round(amount / 2, 2)
                second.append(payment("2", number, invoice, 0, half))
                second.append(payment("2", number, invoice, 1, round(amount - half, 2)))
            case "part-1":
                first.append(payment("1", number, invoice, 0, 0.5))
    return commands, first, second


def refused():
    """Commands that ask for what cannot be: each becomes a dead letter."""
    declined = {"tenantId": "initech", "invoiceId": "i-900"}
    draft = {"tenantId": "acme", "invoiceId": "i-000"}
    cancelled = {"tenantId": "acme", "invoiceId": "i-004"}
    marked = {"tenantId": "acme", "invoiceId": "i-005"}
    return [
        event("CreateInvoice", 90, declined | {"name": "A mill", "amount": 250000.0}),
        event("FinalizeInvoice", 90, declined),
        event("MarkInvoiceAsPaid", 91, draft),
        event("FinalizeInvoice", 91, cancelled),
        event("CancelInvoice", 91, marked),
        event("CreateInvoice", 91, draft | {"name": "Another invoice", "amount": 7.0}),
    ]


def cashiers():
    commands = []
    for number, tenant in enumerate(TENANTS):
        for cashier in ("c-1", "c-2"):
            of = {"tenantId": tenant, "cashierId": cashier}
            about = {"name": f"Cashier {number}", "email": f"{cashier}@till{number}.example"}
            commands.append(event("CreateCashier", number, of | about))
            about |= {"currencies": ["USD", "EUR"]}
            commands.append(event("UpdateCashier", number, of | about))
        commands.append(event("DeleteCashier", number, {"tenantId": tenant, "cashierId": "c-2"}))
    nobody = {"tenantId": "acme", "cashierId": "c-9"}
    other = {"name": "Somebody else", "email": "c-1@other.example"}
    commands.append(event("DeleteCashier", 91, nobody))
    commands.append(event("CreateCashier", 91, {"tenantId": "acme", "cashierId": "c-1"} | other))
    return commands


def write(name, events):
    (HERE / f"{name}.jsonl").write_text("".join(json.dumps(it) + "\n" for it in events))


def steps(plugin, name, events):
    """The same as steps for the test of one plugin."""
    made = []
    for topic, it in events:
        ids = [it["data"]["tenantId"], it["data"].get("invoiceId") or it["data"]["cashierId"]]
        step = {"topic": topic, "key": ":".join(ids), "id": it["id"], "type": it["type"]}
        step |= {"source": it["source"], "time": it["time"], "timestamp": it["time"]}
        if "eventversion" in it:
            step["version"] = it["eventversion"]
        made.append(json.dumps(step | {"payload": it["data"]}) + "\n")
    folder = HERE.parent / "handlers" / plugin / "tests"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.events.jsonl").write_text("".join(made))


def of_acme(topic, events):
    return [(topic, it) for it in events if it["data"]["tenantId"] == "acme"]


def record():
    commands, first, second = invoices()
    # A sender that sent again: the same event, and the same wish as another event. Whoever asks for
    # an invoice that was paid meanwhile is answered with that, so these are not paid.
    again = commands[::9]
    unpaid = [it["data"] for it in commands if it["type"] == "CreateInvoice"][::9]
    wishes = [event("CreateInvoice", 95, data) for data in unpaid]
    write("01-CashierCommand", cashiers())
    write("02-InvoiceCommand", commands + again + wishes + refused())
    write("03-Payment", first + first[::2])
    write("04-PaymentV2", second + second[::3])
    asked = of_acme("InvoiceCommand", commands + refused())
    steps("invoices", "recorded", asked + of_acme("PaymentV2", second))
    steps("cashiers", "recorded", of_acme("CashierCommand", cashiers()))


def load(count):
    for number in range(count):
        data = {
            "tenantId": f"tenant-{number % 50}", "invoiceId": f"load-{number}",
            "name": f"Invoice {number}", "amount": 1.0 + number % 900,
        }
        print(json.dumps(event("CreateInvoice", number % 600, data, "/load")))


def main():
    words = argparse.ArgumentParser(description="Makes the recorded input of billing.")
    words.add_argument("--load", type=int, metavar="N")
    count = words.parse_args().load
    if count is None:
        record()
    else:
        load(count)


if __name__ == "__main__":
    main()
