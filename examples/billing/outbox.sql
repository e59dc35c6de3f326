-- What the bank's service has in its own database, as Wolverine makes it: payments, and messages
-- that are to be sent. One transaction writes both. The host publishes what is committed in the
-- second table, and deletes it. Wolverine itself must send nothing then.

CREATE TABLE payments (
    id text PRIMARY KEY,
    data jsonb NOT NULL
);

CREATE SCHEMA wolverine;

CREATE TABLE wolverine.wolverine_outgoing_envelopes (
    id uuid PRIMARY KEY,
    owner_id integer NOT NULL,
    destination varchar NOT NULL,
    deliver_by timestamptz,
    body bytea NOT NULL,
    attempts integer DEFAULT 0,
    message_type varchar NOT NULL,
    -- Ids are drawn by chance. This is what rows are ordered by; Wolverine need not know of it.
    sequence bigint GENERATED ALWAYS AS IDENTITY
);
