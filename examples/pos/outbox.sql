-- What the till has in its own database, as Prisma makes it: orders, and what is to be told of them.
-- One transaction writes both. The host publishes what is committed as PENDING, and sets PUBLISHED.

CREATE TABLE "Order" (
    id text PRIMARY KEY,
    data jsonb NOT NULL
);

CREATE TYPE "OutboxStatus" AS ENUM ('PENDING', 'PUBLISHED');

CREATE TABLE "OutboxEvent" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    "aggregateId" text,
    "eventType" text NOT NULL,
    "eventVersion" text,
    "eventData" jsonb NOT NULL,
    status "OutboxStatus" NOT NULL DEFAULT 'PENDING',
    "createdAt" timestamptz NOT NULL DEFAULT now(),
    "publishedAt" timestamptz,
    error text
);

CREATE INDEX "OutboxPending" ON "OutboxEvent" (id) WHERE status = 'PENDING';
