-- Spaces, and which of them a worker token may serve.
CREATE TABLE registry.space (
    space_id    text PRIMARY KEY CHECK (space_id ~ '^[0-9a-z]{20,32}$'),
    tenant_id   text NOT NULL REFERENCES registry.tenant,
    name        text NOT NULL,
    description text NOT NULL DEFAULT '',
    enabled     boolean NOT NULL DEFAULT true,
    inputs      text[] NOT NULL,
    policy      jsonb NOT NULL,
    -- The epoch of the newest connection; each attach takes the next one.
    last_epoch  bigint NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at  timestamptz
);
-- A deleted space gives its name back.
CREATE UNIQUE INDEX space_name_in_tenant ON registry.space (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX space_by_name ON registry.space (name) WHERE deleted_at IS NULL;
CREATE INDEX space_page ON registry.space (tenant_id, space_id) WHERE deleted_at IS NULL;

CREATE TABLE registry.worker_token_space (
    principal_id text NOT NULL REFERENCES registry.principal,
    space_id     text NOT NULL REFERENCES registry.space,
    PRIMARY KEY (principal_id, space_id)
);
CREATE INDEX worker_token_space_by_space ON registry.worker_token_space (space_id);

GRANT SELECT, INSERT, UPDATE ON registry.space TO spaces_registry;
GRANT SELECT, INSERT ON registry.worker_token_space TO spaces_registry;
