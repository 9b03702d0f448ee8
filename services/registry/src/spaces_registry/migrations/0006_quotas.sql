-- What tenants and keys may use, and the counts that all gateways share.
CREATE TABLE registry.quota (
    holder              text NOT NULL CHECK (holder IN ('tenant', 'key')),
    holder_id           text NOT NULL CHECK (holder_id ~ '^[0-9a-z]{20,32}$'),
    tenant_id           text NOT NULL REFERENCES registry.tenant,
    -- Empty: the platform's default for a tenant, no limit of its own for a key.
    requests_per_minute integer CHECK (requests_per_minute >= 0),
    concurrent          integer CHECK (concurrent >= 0),
    queued              integer CHECK (queued >= 0),
    stored_bytes        bigint CHECK (stored_bytes IS NULL OR stored_bytes >= 0 AND holder = 'tenant'),
    PRIMARY KEY (holder, holder_id)
);
CREATE INDEX quota_by_tenant ON registry.quota (tenant_id);

-- What was taken of a limit in one window of time. A subject is any string: a tenant, a key, an address that logs in.
CREATE TABLE registry.usage_window (
    subject      text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    used         bigint NOT NULL CHECK (used >= 0),
    -- Of the last take: its limit, and what it was given of what it wanted. A statement that inserts or updates can
    -- read back only what it wrote.
    cap          bigint NOT NULL,
    granted      bigint NOT NULL CHECK (granted >= 0),
    PRIMARY KEY (subject, window_start)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX usage_window_by_end ON registry.usage_window (window_end);

-- Bytes of uploaded files by the day whose files are removed together.
CREATE TABLE registry.stored_bytes (
    tenant_id  text NOT NULL REFERENCES registry.tenant,
    day        date NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    PRIMARY KEY (tenant_id, day)
);
CREATE INDEX stored_bytes_by_day ON registry.stored_bytes (day);

GRANT SELECT, INSERT, UPDATE, DELETE ON registry.quota, registry.usage_window, registry.stored_bytes
    TO spaces_registry;
