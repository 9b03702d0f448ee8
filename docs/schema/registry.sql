-- Made by `make generate` from the services' migrations; do not edit.
CREATE SCHEMA registry;

CREATE TABLE registry.connection (
    connection_id text NOT NULL,
    space_id text NOT NULL,
    principal_id text NOT NULL,
    gateway_id text,
    instance_id text NOT NULL,
    instance_secret_sha256 text NOT NULL,
    route text NOT NULL,
    slots integer NOT NULL,
    agent jsonb NOT NULL,
    seat integer NOT NULL,
    epoch bigint NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    draining boolean DEFAULT false NOT NULL,
    suspect_since timestamp with time zone,
    suspect_cause text,
    lease_until timestamp with time zone,
    ended_at timestamp with time zone,
    reason text,
    CONSTRAINT connection_check CHECK (((suspect_since IS NULL) = (suspect_cause IS NULL))),
    CONSTRAINT connection_check1 CHECK (((ended_at IS NULL) = (reason IS NULL))),
    CONSTRAINT connection_check2 CHECK (((gateway_id IS NOT NULL) OR (lease_until IS NOT NULL))),
    CONSTRAINT connection_connection_id_check CHECK ((connection_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT connection_seat_check CHECK ((seat >= 0)),
    CONSTRAINT connection_slots_check CHECK ((slots > 0))
);

CREATE TABLE registry.gateway (
    gateway_id text NOT NULL,
    version text DEFAULT ''::text NOT NULL,
    connections integer DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    leaving boolean DEFAULT false NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT gateway_gateway_id_check CHECK ((gateway_id ~ '^[0-9a-z]{20,32}$'::text))
);

CREATE TABLE registry.leader (
    duty text NOT NULL,
    holder text NOT NULL,
    lease_until timestamp with time zone NOT NULL
);

CREATE TABLE registry.principal (
    principal_id text NOT NULL,
    kind text NOT NULL,
    tenant_id text,
    name text NOT NULL,
    secret_sha256 text NOT NULL,
    prefix text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    CONSTRAINT principal_check CHECK (
CASE kind
    WHEN 'admin'::text THEN (tenant_id IS NULL)
    WHEN 'api_key'::text THEN (tenant_id IS NOT NULL)
    ELSE true
END),
    CONSTRAINT principal_kind_check CHECK ((kind = ANY (ARRAY['admin'::text, 'api_key'::text, 'worker_token'::text]))),
    CONSTRAINT principal_principal_id_check CHECK ((principal_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT principal_secret_sha256_check CHECK ((secret_sha256 ~ '^[0-9a-f]{64}$'::text))
);

CREATE TABLE registry.session (
    connection_id text NOT NULL,
    server_id text NOT NULL,
    client_id bigint NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT session_connection_id_check CHECK ((connection_id ~ '^[0-9a-z]{20,32}$'::text))
);

CREATE TABLE registry.space (
    space_id text NOT NULL,
    tenant_id text NOT NULL,
    name text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    inputs text[] NOT NULL,
    policy jsonb NOT NULL,
    last_epoch bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT space_space_id_check CHECK ((space_id ~ '^[0-9a-z]{20,32}$'::text))
);

CREATE TABLE registry.tenant (
    tenant_id text NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT tenant_tenant_id_check CHECK ((tenant_id ~ '^[0-9a-z]{20,32}$'::text))
);

CREATE TABLE registry.ticket (
    ticket_sha256 text NOT NULL,
    principal_id text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT ticket_ticket_sha256_check CHECK ((ticket_sha256 ~ '^[0-9a-f]{64}$'::text))
);

CREATE TABLE registry.worker_token_space (
    principal_id text NOT NULL,
    space_id text NOT NULL
);

ALTER TABLE ONLY registry.connection
    ADD CONSTRAINT connection_pkey PRIMARY KEY (connection_id);

ALTER TABLE ONLY registry.gateway
    ADD CONSTRAINT gateway_pkey PRIMARY KEY (gateway_id);

ALTER TABLE ONLY registry.leader
    ADD CONSTRAINT leader_pkey PRIMARY KEY (duty);

ALTER TABLE ONLY registry.principal
    ADD CONSTRAINT principal_pkey PRIMARY KEY (principal_id);

ALTER TABLE ONLY registry.principal
    ADD CONSTRAINT principal_secret_sha256_key UNIQUE (secret_sha256);

ALTER TABLE ONLY registry.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (connection_id);

ALTER TABLE ONLY registry.space
    ADD CONSTRAINT space_pkey PRIMARY KEY (space_id);

ALTER TABLE ONLY registry.tenant
    ADD CONSTRAINT tenant_name_key UNIQUE (name);

ALTER TABLE ONLY registry.tenant
    ADD CONSTRAINT tenant_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY registry.ticket
    ADD CONSTRAINT ticket_pkey PRIMARY KEY (ticket_sha256);

ALTER TABLE ONLY registry.worker_token_space
    ADD CONSTRAINT worker_token_space_pkey PRIMARY KEY (principal_id, space_id);

CREATE INDEX connection_ended ON registry.connection USING btree (ended_at) WHERE (ended_at IS NOT NULL);

CREATE INDEX connection_ended_by_gateway ON registry.connection USING btree (gateway_id, ended_at) WHERE (ended_at IS NOT NULL);

CREATE INDEX connection_lease ON registry.connection USING btree (lease_until) WHERE ((ended_at IS NULL) AND (lease_until IS NOT NULL));

CREATE INDEX connection_live_by_gateway ON registry.connection USING btree (gateway_id) WHERE (ended_at IS NULL);

CREATE INDEX connection_live_by_principal ON registry.connection USING btree (principal_id) WHERE (ended_at IS NULL);

CREATE UNIQUE INDEX connection_seat ON registry.connection USING btree (space_id, seat) WHERE (ended_at IS NULL);

CREATE INDEX principal_by_tenant ON registry.principal USING btree (tenant_id, kind);

CREATE INDEX space_by_name ON registry.space USING btree (name) WHERE (deleted_at IS NULL);

CREATE UNIQUE INDEX space_name_in_tenant ON registry.space USING btree (tenant_id, name) WHERE (deleted_at IS NULL);

CREATE INDEX space_page ON registry.space USING btree (tenant_id, space_id) WHERE (deleted_at IS NULL);

CREATE INDEX ticket_by_expiry ON registry.ticket USING btree (expires_at);

CREATE INDEX worker_token_space_by_space ON registry.worker_token_space USING btree (space_id);

ALTER TABLE ONLY registry.connection
    ADD CONSTRAINT connection_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES registry.gateway(gateway_id);

ALTER TABLE ONLY registry.connection
    ADD CONSTRAINT connection_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.connection
    ADD CONSTRAINT connection_space_id_fkey FOREIGN KEY (space_id) REFERENCES registry.space(space_id);

ALTER TABLE ONLY registry.principal
    ADD CONSTRAINT principal_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES registry.tenant(tenant_id);

ALTER TABLE ONLY registry.space
    ADD CONSTRAINT space_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES registry.tenant(tenant_id);

ALTER TABLE ONLY registry.ticket
    ADD CONSTRAINT ticket_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.worker_token_space
    ADD CONSTRAINT worker_token_space_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.worker_token_space
    ADD CONSTRAINT worker_token_space_space_id_fkey FOREIGN KEY (space_id) REFERENCES registry.space(space_id);

GRANT USAGE ON SCHEMA registry TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.connection TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.gateway TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.leader TO spaces_registry;

GRANT SELECT,INSERT,UPDATE ON TABLE registry.principal TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.session TO spaces_registry;

GRANT SELECT,INSERT,UPDATE ON TABLE registry.space TO spaces_registry;

GRANT SELECT,INSERT,UPDATE ON TABLE registry.tenant TO spaces_registry;

GRANT SELECT,INSERT,DELETE ON TABLE registry.ticket TO spaces_registry;

GRANT SELECT,INSERT ON TABLE registry.worker_token_space TO spaces_registry;
