-- What the shipping service has in its own database: shipments, and what is to be told of them. One
-- transaction writes both. The host publishes what is committed in the second table, and marks it.

CREATE TABLE "Shipments" (
    "Id" text PRIMARY KEY,
    "Status" text NOT NULL
);

CREATE TABLE "OutboxEvents" (
    "Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "Topic" text NOT NULL,
    "Key" text,
    "EventType" text NOT NULL,
    "Payload" text NOT NULL,
    "CreatedAt" timestamptz NOT NULL DEFAULT now(),
    "CorrelationId" text,
    "PublishedAt" timestamptz,
    "Error" text
);

CREATE INDEX "OutboxPending" ON "OutboxEvents" ("Id") WHERE "PublishedAt" IS NULL;
