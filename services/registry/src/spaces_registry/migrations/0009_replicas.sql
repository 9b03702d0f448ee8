-- Processes of the platform that said that they live; gateways have their own table, with a lease.
CREATE TABLE registry.replica (
    replica_id text PRIMARY KEY CHECK (replica_id ~ '^[0-9a-z]{20,32}$'),
    service    text NOT NULL,
    version    text NOT NULL,
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    heard_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    failing    text[] NOT NULL DEFAULT '{}',
    leaving    boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON registry.replica TO spaces_registry;
