-- One-use tokens with which a machine that just started gets a worker token of its own.
CREATE TABLE registry.join_token (
    join_id     text PRIMARY KEY CHECK (join_id ~ '^[0-9a-z]{20,32}$'),
    join_sha256 text NOT NULL UNIQUE CHECK (join_sha256 ~ '^[0-9a-f]{64}$'),
    -- Empty when its spaces lie in several tenants.
    tenant_id   text REFERENCES registry.tenant,
    name        text NOT NULL,
    prefix      text NOT NULL,
    space_ids   text[] NOT NULL CHECK (cardinality(space_ids) > 0),
    -- What a maker may no longer do, their join tokens do not do for them.
    created_by  text NOT NULL REFERENCES registry.principal,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz,
    used_at     timestamptz,
    used_by     text REFERENCES registry.principal,
    CHECK ((used_at IS NULL) = (used_by IS NULL))
);
CREATE INDEX join_token_by_tenant ON registry.join_token (tenant_id, join_id);

GRANT SELECT, INSERT, UPDATE ON registry.join_token TO spaces_registry;
