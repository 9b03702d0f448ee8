-- Direct workers' sessions with the broker, so that a revoked token's session can be cut and not only ignored.
CREATE TABLE registry.session (
    connection_id text PRIMARY KEY CHECK (connection_id ~ '^[0-9a-z]{20,32}$'),
    server_id     text NOT NULL,
    client_id     bigint NOT NULL,
    since         timestamptz NOT NULL DEFAULT clock_timestamp()
);

GRANT SELECT, INSERT, UPDATE, DELETE ON registry.session TO spaces_registry;
