-- Who may do what: tenants, principals and their secrets' hashes, one-time tickets.
CREATE SCHEMA IF NOT EXISTS registry;
GRANT USAGE ON SCHEMA registry TO spaces_registry;

CREATE TABLE registry.tenant (
    tenant_id  text PRIMARY KEY CHECK (tenant_id ~ '^[0-9a-z]{20,32}$'),
    name       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The tenant of whoever does not care about tenants. Its id is fixed, so that two installations agree on it.
INSERT INTO registry.tenant (tenant_id, name) VALUES ('default0000000000000000000', 'default');

CREATE TABLE registry.principal (
    principal_id  text PRIMARY KEY CHECK (principal_id ~ '^[0-9a-z]{20,32}$'),
    kind          text NOT NULL CHECK (kind IN ('admin', 'api_key', 'worker_token')),
    -- Empty for admins, and for a worker token whose spaces lie in several tenants.
    tenant_id     text REFERENCES registry.tenant,
    name          text NOT NULL,
    -- Only the hash of a secret is ever stored.
    secret_sha256 text NOT NULL UNIQUE CHECK (secret_sha256 ~ '^[0-9a-f]{64}$'),
    prefix        text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at    timestamptz,
    last_used_at  timestamptz,
    CHECK (CASE kind WHEN 'admin' THEN tenant_id IS NULL
                     WHEN 'api_key' THEN tenant_id IS NOT NULL
                     ELSE true END)
);
CREATE INDEX principal_by_tenant ON registry.principal (tenant_id, kind);

CREATE TABLE registry.ticket (
    ticket_sha256 text PRIMARY KEY CHECK (ticket_sha256 ~ '^[0-9a-f]{64}$'),
    principal_id  text NOT NULL REFERENCES registry.principal,
    expires_at    timestamptz NOT NULL
);
CREATE INDEX ticket_by_expiry ON registry.ticket (expires_at);

GRANT SELECT, INSERT, UPDATE ON registry.tenant, registry.principal TO spaces_registry;
GRANT SELECT, INSERT, DELETE ON registry.ticket TO spaces_registry;
