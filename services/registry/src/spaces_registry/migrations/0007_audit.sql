-- Who did what to which object, from where. Rows are only added, and get their outcome.
CREATE TABLE registry.audit (
    audit_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    action         text NOT NULL,
    -- Empty ids: somebody who was not known (yet).
    principal_id   text,
    principal_kind text,
    principal_name text NOT NULL DEFAULT '',
    user_id        text,
    client_address text NOT NULL DEFAULT '',
    -- Whose data it is about; empty for the platform's own.
    tenant_id      text,
    object_id      text,
    details        jsonb NOT NULL DEFAULT '{}',
    -- Empty while it is being done, and for ever when a process died doing it.
    outcome        text
);
CREATE INDEX audit_by_tenant ON registry.audit (tenant_id, audit_id);
CREATE INDEX audit_by_age ON registry.audit (at);

GRANT SELECT, INSERT, UPDATE (outcome, tenant_id, object_id) ON registry.audit TO spaces_registry;
