-- Gateways and the connections of workers. Lock order: space, connection, then the scheduler's lane.
CREATE TABLE registry.gateway (
    gateway_id  text PRIMARY KEY CHECK (gateway_id ~ '^[0-9a-z]{20,32}$'),
    version     text NOT NULL DEFAULT '',
    connections integer NOT NULL DEFAULT 0,
    -- One lease for all sockets of the process.
    lease_until timestamptz NOT NULL,
    leaving     boolean NOT NULL DEFAULT false,
    since       timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE registry.connection (
    connection_id          text PRIMARY KEY CHECK (connection_id ~ '^[0-9a-z]{20,32}$'),
    space_id               text NOT NULL REFERENCES registry.space,
    principal_id           text NOT NULL REFERENCES registry.principal,
    gateway_id             text REFERENCES registry.gateway,  -- empty: a direct worker
    instance_id            text NOT NULL,
    instance_secret_sha256 text NOT NULL,
    route                  text NOT NULL,
    slots                  integer NOT NULL CHECK (slots > 0),
    agent                  jsonb NOT NULL,
    seat                   integer NOT NULL CHECK (seat >= 0),
    epoch                  bigint NOT NULL,
    since                  timestamptz NOT NULL DEFAULT clock_timestamp(),
    draining               boolean NOT NULL DEFAULT false,
    -- Set while somebody doubts that the worker is there, with the cause of the doubt.
    suspect_since          timestamptz,
    suspect_cause          text,
    -- A connection's own lease: always for direct workers, for sockets only while suspect.
    lease_until            timestamptz,
    ended_at               timestamptz,
    reason                 text,
    CHECK ((suspect_since IS NULL) = (suspect_cause IS NULL)),
    CHECK ((ended_at IS NULL) = (reason IS NULL)),
    CHECK (gateway_id IS NOT NULL OR lease_until IS NOT NULL)
);
-- Ten racing attaches give exactly one winner even if the lock on the space were forgotten.
CREATE UNIQUE INDEX connection_seat ON registry.connection (space_id, seat) WHERE ended_at IS NULL;
CREATE INDEX connection_live_by_gateway ON registry.connection (gateway_id) WHERE ended_at IS NULL;
CREATE INDEX connection_live_by_principal ON registry.connection (principal_id) WHERE ended_at IS NULL;
CREATE INDEX connection_lease ON registry.connection (lease_until)
    WHERE ended_at IS NULL AND lease_until IS NOT NULL;
CREATE INDEX connection_ended ON registry.connection (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX connection_ended_by_gateway ON registry.connection (gateway_id, ended_at)
    WHERE ended_at IS NOT NULL;

-- Which replica exports the figures that are read from the database.
CREATE TABLE registry.leader (
    duty        text PRIMARY KEY,
    holder      text NOT NULL,
    lease_until timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON registry.gateway, registry.connection, registry.leader
    TO spaces_registry;
