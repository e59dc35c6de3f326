#!/usr/bin/env python3
"""Says what billing ends with, from its input alone: a model of the system, not a recording.

It reads all commands before any payment. Whatever the order in which topics are read, and however
often an event comes, what comes out is this. Files:
  topics.json        per topic and key, the events that handlers published, in their order
  state.json         per subscription and key, what is kept
  dead-letters.json  per subscription, ids, codes and classes of the events given up on
  checks.json        ids of the invoices that the credit bureau was asked about
"""

import json
import pathlib
import urllib.parse

HERE = pathlib.Path(__file__).parent
CHECKED_FROM = 1000.0
NO_CREDIT = "initech"
TYPES = {
    "Finalized": "InvoiceFinalized", "Paid": "InvoicePaid", "Cancelled": "InvoiceCancelled",
}
WANTED = {
    "FinalizeInvoice": "Finalized", "MarkInvoiceAsPaid": "Paid", "CancelInvoice": "Cancelled",
}

topics = {name: {} for name in (
    "dev.billing.public.invoices.v1", "dev.billing.public.invoices.v2",
    "dev.billing.internal.cashiers.v1", "dev.billing.internal.replies.v1",
    "dev.accounting.public.ledger-entries.v1",
)}
invoices, payments, receivables, cashiers = {}, {}, {}, {}
register, letters, checks = {}, {"billing-invoices": [], "billing-cashiers": []}, []


class Refused(Exception):
    pass


def read(name):
    """The events of a file, each once."""
    seen, events = set(), []
    for line in (HERE.parent / "events" / f"{name}.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["id"] not in seen:
            events.append(event)
        seen.add(event["id"])
    return events


def key_of(data, name):
    return ":".join(urllib.parse.quote(data[it], safe="") for it in ("tenantId", name))


def tell(topic, key, event_type, data):
    event = {"type": event_type, "data": json.loads(json.dumps(data))}
    topics[topic].setdefault(key, []).append(event)


def reply(key, event_type, data):
    tell("dev.billing.internal.replies.v1", key, event_type, data)


def keep(key, tenant, invoice, event_type):
    invoices[key] = invoice
    register.setdefault(tenant, {})[f"invoice/{invoice['invoiceId']}"] = invoice
    tell("dev.billing.public.invoices.v2", key, event_type,
         {"tenantId": tenant, "invoice": invoice})
    old = {name: value for name, value in invoice.items() if name != "total"} | invoice["total"]
    tell("dev.billing.public.invoices.v1", key, event_type, {"tenantId": tenant, "invoice": old})


def create(key, data, time):
    new = {
        "invoiceId": data["invoiceId"], "name": data["name"], "status": "Draft",
        "total": {"amount": data["amount"], "currency": data.get("currency", "USD")},
        "createdDateUtc": time, "updatedDateUtc": time, "version": 1,
    } | {name: data[name] for name in ("dueDate", "cashierId") if name in data}
    if key in invoices:
        kept = invoices[key]
        if any(kept.get(it) != new.get(it) for it in ("name", "total", "dueDate", "cashierId")):
            raise Refused("invoice-exists")
        return reply(key, "Invoice", kept)
    if data["amount"] >= CHECKED_FROM:
        checks.append(data["invoiceId"])
        if data["tenantId"] == NO_CREDIT:
            raise Refused("credit-declined")
    reply(key, "Invoice", new)
    keep(key, data["tenantId"], new, "InvoiceCreated")
    receivables[key] = new["total"]
    booked = {name: data[name] for name in ("tenantId", "invoiceId")} | {"total": new["total"]}
    tell("dev.accounting.public.ledger-entries.v1", key, "LedgerEntryBooked", booked)


def change(key, data, status, time):
    if key not in invoices:
        raise Refused("no-such-invoice")
    kept = invoices[key]
    if kept["status"] in ("Cancelled", "Paid"):
        raise Refused(f"invoice-{kept['status'].lower()}")
    if (kept["status"], status) == ("Draft", "Paid"):
        raise Refused("invoice-draft")
    new = kept | {"status": status, "updatedDateUtc": time, "version": kept["version"] + 1}
    reply(key, "Invoice", new)
    keep(key, data["tenantId"], new, TYPES[status])


def pay(data):
    key = key_of(data, "invoiceId")
    names = ("tenantId", "invoiceId", "paymentId", "total", "receivedAt")
    payment = {name: data[name] for name in names}
    payments.setdefault(key, []).append(payment)
    kept, received = invoices[key], sum(it["total"]["amount"] for it in payments[key])
    if kept["status"] == "Finalized" and round(received, 2) >= kept["total"]["amount"]:
        new = kept | {
            "status": "Paid", "updatedDateUtc": data["receivedAt"], "version": kept["version"] + 1,
        }
        keep(key, data["tenantId"], new, "InvoicePaid")


def command(event):
    data, time = event["data"], event["time"]
    key = key_of(data, "invoiceId")
    match event["type"]:
        case "CreateInvoice":
            create(key, data, time)
        case "SimulatePayment":
            payment = {name: data[name] for name in ("tenantId", "invoiceId", "paymentId")}
            total = {"amount": data["amount"], "currency": data.get("currency", "USD")}
            payment |= {"total": total, "receivedAt": time}
            reply(key, "Payment", payment)
            simulated.append(payment)
        case wish:
            change(key, data, WANTED[wish], time)


def cashier(event):
    data, key = event["data"], key_of(event["data"], "cashierId")
    new = {name: data[name] for name in ("cashierId", "name", "email", "currencies")
           if name in data}
    kept = cashiers.get(key)
    if event["type"] != "CreateCashier" and kept is None:
        raise Refused("no-such-cashier")
    if event["type"] == "DeleteCashier":
        reply(key, "Cashier", cashiers.pop(key))
        return tell("dev.billing.internal.cashiers.v1", key, "CashierDeleted", data)
    if event["type"] == "CreateCashier" and kept is not None:
        raise Refused("cashier-exists")
    cashiers[key] = new | {"version": kept["version"] + 1 if kept else 1}
    reply(key, "Cashier", cashiers[key])
    event_type = "CashierUpdated" if kept else "CashierCreated"
    tell("dev.billing.internal.cashiers.v1", key, event_type,
         {"tenantId": data["tenantId"], "cashier": cashiers[key]})


def handle(subscription, handler, events):
    for event in events:
        try:
            handler(event)
        except Refused as refused:
            letter = {"id": event["id"], "code": str(refused), "class": "rejected"}
            letters[subscription].append(letter)
    letters[subscription].sort(key=lambda it: it["id"])


def write(name, value, depth):
    (HERE / f"{name}.json").write_text(lines(value, depth) + "\n")


def lines(value, depth, indent=""):
    """JSON with a line for each value at `depth`."""
    if depth == 0:
        return json.dumps(value, sort_keys=True)
    deeper = indent + "  "
    inner = [f"{deeper}{json.dumps(name)}: {lines(value[name], depth - 1, deeper)}"
             for name in sorted(value)]
    return "{\n" + ",\n".join(inner) + f"\n{indent}}}"


simulated = []
handle("billing-cashiers", cashier, read("01-CashierCommand"))
handle("billing-invoices", command, read("02-InvoiceCommand"))
for event in read("03-Payment"):
    data = event["data"]
    pay(data | {"total": {"amount": data["amount"], "currency": data["currency"]}})
for event in read("04-PaymentV2"):
    pay(event["data"])
for payment in simulated:
    pay(payment)

state = {}
for key, invoice in invoices.items():
    state[key] = {"invoice": invoice, "local:billing-ledger:receivable": receivables[key]}
    if key in payments:
        state[key]["payments"] = payments[key]
write("topics", topics, 2)
write("state", {
    "billing-invoices": state, "billing-register": register,
    "billing-cashiers": {key: {"cashier": kept} for key, kept in cashiers.items()},
}, 2)
write("dead-letters", letters, 1)
write("checks", sorted(checks), 0)
