-- Made by `make generate` from the services' migrations; do not edit.
CREATE SCHEMA registry;

CREATE TABLE registry.audit (
    audit_id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    action text NOT NULL,
    principal_id text,
    principal_kind text,
    principal_name text DEFAULT ''::text NOT NULL,
    user_id text,
    client_address text DEFAULT ''::text NOT NULL,
    tenant_id text,
    object_id text,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    outcome text
);

ALTER TABLE registry.audit ALTER COLUMN audit_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME registry.audit_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

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

CREATE TABLE registry.invite (
    invite_id text NOT NULL,
    invite_sha256 text NOT NULL,
    tenant_id text NOT NULL,
    role text NOT NULL,
    email text,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    used_by text,
    CONSTRAINT invite_invite_id_check CHECK ((invite_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT invite_invite_sha256_check CHECK ((invite_sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT invite_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'member'::text])))
);

CREATE TABLE registry.join_token (
    join_id text NOT NULL,
    join_sha256 text NOT NULL,
    tenant_id text,
    name text NOT NULL,
    prefix text NOT NULL,
    space_ids text[] NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    used_at timestamp with time zone,
    used_by text,
    CONSTRAINT join_token_check CHECK (((used_at IS NULL) = (used_by IS NULL))),
    CONSTRAINT join_token_join_id_check CHECK ((join_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT join_token_join_sha256_check CHECK ((join_sha256 ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT join_token_space_ids_check CHECK ((cardinality(space_ids) > 0))
);

CREATE TABLE registry.leader (
    duty text NOT NULL,
    holder text NOT NULL,
    lease_until timestamp with time zone NOT NULL
);

CREATE TABLE registry.login (
    principal_id text NOT NULL,
    is_session boolean NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL,
    client_address text DEFAULT ''::text NOT NULL
);

CREATE TABLE registry.login_try (
    subject text NOT NULL,
    tries integer NOT NULL,
    until timestamp with time zone NOT NULL
);

CREATE TABLE registry.person (
    user_id text NOT NULL,
    email text NOT NULL,
    username text DEFAULT ''::text NOT NULL,
    password_hash text NOT NULL,
    role text NOT NULL,
    tenant_id text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    disabled_at timestamp with time zone,
    last_login_at timestamp with time zone,
    CONSTRAINT person_check CHECK (((role = 'admin'::text) = (tenant_id IS NULL))),
    CONSTRAINT person_email_check CHECK ((email = lower(email))),
    CONSTRAINT person_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'owner'::text, 'member'::text]))),
    CONSTRAINT person_user_id_check CHECK ((user_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT person_username_check CHECK ((strpos(username, '@'::text) = 0))
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
    user_id text,
    scopes text[],
    expires_at timestamp with time zone,
    CONSTRAINT principal_check CHECK (
CASE kind
    WHEN 'admin'::text THEN (tenant_id IS NULL)
    WHEN 'api_key'::text THEN (tenant_id IS NOT NULL)
    WHEN 'user'::text THEN ((tenant_id IS NULL) AND (user_id IS NOT NULL) AND (expires_at IS NOT NULL))
    ELSE true
END),
    CONSTRAINT principal_kind_check CHECK ((kind = ANY (ARRAY['admin'::text, 'api_key'::text, 'worker_token'::text, 'user'::text]))),
    CONSTRAINT principal_principal_id_check CHECK ((principal_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT principal_secret_sha256_check CHECK ((secret_sha256 ~ '^[0-9a-f]{64}$'::text))
);

CREATE TABLE registry.quota (
    holder text NOT NULL,
    holder_id text NOT NULL,
    tenant_id text NOT NULL,
    requests_per_minute integer,
    concurrent integer,
    queued integer,
    stored_bytes bigint,
    CONSTRAINT quota_concurrent_check CHECK ((concurrent >= 0)),
    CONSTRAINT quota_holder_check CHECK ((holder = ANY (ARRAY['tenant'::text, 'key'::text]))),
    CONSTRAINT quota_holder_id_check CHECK ((holder_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT quota_queued_check CHECK ((queued >= 0)),
    CONSTRAINT quota_requests_per_minute_check CHECK ((requests_per_minute >= 0)),
    CONSTRAINT quota_stored_bytes_check CHECK ((stored_bytes >= 0))
);

CREATE TABLE registry.replica (
    replica_id text NOT NULL,
    service text NOT NULL,
    version text NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    heard_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    failing text[] DEFAULT '{}'::text[] NOT NULL,
    leaving boolean DEFAULT false NOT NULL,
    CONSTRAINT replica_replica_id_check CHECK ((replica_id ~ '^[0-9a-z]{20,32}$'::text))
)
WITH (fillfactor='50');

CREATE TABLE registry.session (
    connection_id text NOT NULL,
    server_id text NOT NULL,
    client_id bigint NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT session_connection_id_check CHECK ((connection_id ~ '^[0-9a-z]{20,32}$'::text))
);

CREATE TABLE registry.signing_key (
    kid text NOT NULL,
    private_jwk text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
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
    visibility text DEFAULT 'tenant'::text NOT NULL,
    created_by text,
    cover jsonb,
    CONSTRAINT space_space_id_check CHECK ((space_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT space_visibility_check CHECK ((visibility = ANY (ARRAY['tenant'::text, 'private'::text])))
);

CREATE TABLE registry.spent_secret (
    secret_sha256 text NOT NULL,
    principal_id text NOT NULL,
    spent_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE registry.stored_bytes (
    tenant_id text NOT NULL,
    day date NOT NULL,
    size_bytes bigint NOT NULL,
    CONSTRAINT stored_bytes_size_bytes_check CHECK ((size_bytes >= 0))
);

CREATE TABLE registry.stored_bytes_of_key (
    key_id text NOT NULL,
    day date NOT NULL,
    size_bytes bigint NOT NULL,
    CONSTRAINT stored_bytes_of_key_size_bytes_check CHECK ((size_bytes >= 0))
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

CREATE TABLE registry.usage_window (
    subject text NOT NULL,
    window_start timestamp with time zone NOT NULL,
    window_end timestamp with time zone NOT NULL,
    used bigint NOT NULL,
    cap bigint NOT NULL,
    granted bigint NOT NULL,
    CONSTRAINT usage_window_granted_check CHECK ((granted >= 0)),
    CONSTRAINT usage_window_used_check CHECK ((used >= 0))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.05');

CREATE TABLE registry.worker_token_space (
    principal_id text NOT NULL,
    space_id text NOT NULL
);

ALTER TABLE ONLY registry.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (audit_id);

ALTER TABLE ONLY registry.connection
    ADD CONSTRAINT connection_pkey PRIMARY KEY (connection_id);

ALTER TABLE ONLY registry.gateway
    ADD CONSTRAINT gateway_pkey PRIMARY KEY (gateway_id);

ALTER TABLE ONLY registry.invite
    ADD CONSTRAINT invite_invite_sha256_key UNIQUE (invite_sha256);

ALTER TABLE ONLY registry.invite
    ADD CONSTRAINT invite_pkey PRIMARY KEY (invite_id);

ALTER TABLE ONLY registry.join_token
    ADD CONSTRAINT join_token_join_sha256_key UNIQUE (join_sha256);

ALTER TABLE ONLY registry.join_token
    ADD CONSTRAINT join_token_pkey PRIMARY KEY (join_id);

ALTER TABLE ONLY registry.leader
    ADD CONSTRAINT leader_pkey PRIMARY KEY (duty);

ALTER TABLE ONLY registry.login
    ADD CONSTRAINT login_pkey PRIMARY KEY (principal_id);

ALTER TABLE ONLY registry.login_try
    ADD CONSTRAINT login_try_pkey PRIMARY KEY (subject);

ALTER TABLE ONLY registry.person
    ADD CONSTRAINT person_email_key UNIQUE (email);

ALTER TABLE ONLY registry.person
    ADD CONSTRAINT person_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY registry.principal
    ADD CONSTRAINT principal_pkey PRIMARY KEY (principal_id);

ALTER TABLE ONLY registry.principal
    ADD CONSTRAINT principal_secret_sha256_key UNIQUE (secret_sha256);

ALTER TABLE ONLY registry.quota
    ADD CONSTRAINT quota_pkey PRIMARY KEY (holder, holder_id);

ALTER TABLE ONLY registry.replica
    ADD CONSTRAINT replica_pkey PRIMARY KEY (replica_id);

ALTER TABLE ONLY registry.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (connection_id);

ALTER TABLE ONLY registry.signing_key
    ADD CONSTRAINT signing_key_pkey PRIMARY KEY (kid);

ALTER TABLE ONLY registry.space
    ADD CONSTRAINT space_pkey PRIMARY KEY (space_id);

ALTER TABLE ONLY registry.spent_secret
    ADD CONSTRAINT spent_secret_pkey PRIMARY KEY (secret_sha256);

ALTER TABLE ONLY registry.stored_bytes_of_key
    ADD CONSTRAINT stored_bytes_of_key_pkey PRIMARY KEY (key_id, day);

ALTER TABLE ONLY registry.stored_bytes
    ADD CONSTRAINT stored_bytes_pkey PRIMARY KEY (tenant_id, day);

ALTER TABLE ONLY registry.tenant
    ADD CONSTRAINT tenant_name_key UNIQUE (name);

ALTER TABLE ONLY registry.tenant
    ADD CONSTRAINT tenant_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY registry.ticket
    ADD CONSTRAINT ticket_pkey PRIMARY KEY (ticket_sha256);

ALTER TABLE ONLY registry.usage_window
    ADD CONSTRAINT usage_window_pkey PRIMARY KEY (subject, window_start);

ALTER TABLE ONLY registry.worker_token_space
    ADD CONSTRAINT worker_token_space_pkey PRIMARY KEY (principal_id, space_id);

CREATE INDEX audit_by_age ON registry.audit USING btree (at);

CREATE INDEX audit_by_tenant ON registry.audit USING btree (tenant_id, audit_id);

CREATE INDEX connection_ended ON registry.connection USING btree (ended_at) WHERE (ended_at IS NOT NULL);

CREATE INDEX connection_ended_by_gateway ON registry.connection USING btree (gateway_id, ended_at) WHERE (ended_at IS NOT NULL);

CREATE INDEX connection_lease ON registry.connection USING btree (lease_until) WHERE ((ended_at IS NULL) AND (lease_until IS NOT NULL));

CREATE INDEX connection_live_by_gateway ON registry.connection USING btree (gateway_id) WHERE (ended_at IS NULL);

CREATE INDEX connection_live_by_principal ON registry.connection USING btree (principal_id) WHERE (ended_at IS NULL);

CREATE UNIQUE INDEX connection_seat ON registry.connection USING btree (space_id, seat) WHERE (ended_at IS NULL);

CREATE INDEX invite_by_tenant ON registry.invite USING btree (tenant_id, invite_id);

CREATE INDEX join_token_by_tenant ON registry.join_token USING btree (tenant_id, join_id);

CREATE INDEX login_try_by_end ON registry.login_try USING btree (until);

CREATE INDEX person_by_tenant ON registry.person USING btree (tenant_id, user_id);

CREATE UNIQUE INDEX person_username ON registry.person USING btree (lower(username)) WHERE (username <> ''::text);

CREATE INDEX principal_by_expiry ON registry.principal USING btree (expires_at) WHERE (expires_at IS NOT NULL);

CREATE INDEX principal_by_person ON registry.principal USING btree (user_id) WHERE (user_id IS NOT NULL);

CREATE INDEX principal_by_tenant ON registry.principal USING btree (tenant_id, kind);

CREATE INDEX quota_by_tenant ON registry.quota USING btree (tenant_id);

CREATE INDEX space_by_name ON registry.space USING btree (name) WHERE (deleted_at IS NULL);

CREATE UNIQUE INDEX space_name_in_tenant ON registry.space USING btree (tenant_id, name) WHERE (deleted_at IS NULL);

CREATE INDEX space_page ON registry.space USING btree (tenant_id, space_id) WHERE (deleted_at IS NULL);

CREATE INDEX spent_secret_by_age ON registry.spent_secret USING btree (spent_at);

CREATE INDEX stored_bytes_by_day ON registry.stored_bytes USING btree (day);

CREATE INDEX stored_bytes_of_key_by_day ON registry.stored_bytes_of_key USING btree (day);

CREATE INDEX ticket_by_expiry ON registry.ticket USING btree (expires_at);

CREATE INDEX usage_window_by_end ON registry.usage_window USING btree (window_end);

CREATE INDEX worker_token_space_by_space ON registry.worker_token_space USING btree (space_id);

ALTER TABLE ONLY registry.connection
    ADD CONSTRAINT connection_gateway_id_fkey FOREIGN KEY (gateway_id) REFERENCES registry.gateway(gateway_id);

ALTER TABLE ONLY registry.connection
    ADD CONSTRAINT connection_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.connection
    ADD CONSTRAINT connection_space_id_fkey FOREIGN KEY (space_id) REFERENCES registry.space(space_id);

ALTER TABLE ONLY registry.invite
    ADD CONSTRAINT invite_created_by_fkey FOREIGN KEY (created_by) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.invite
    ADD CONSTRAINT invite_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES registry.tenant(tenant_id);

ALTER TABLE ONLY registry.invite
    ADD CONSTRAINT invite_used_by_fkey FOREIGN KEY (used_by) REFERENCES registry.person(user_id);

ALTER TABLE ONLY registry.join_token
    ADD CONSTRAINT join_token_created_by_fkey FOREIGN KEY (created_by) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.join_token
    ADD CONSTRAINT join_token_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES registry.tenant(tenant_id);

ALTER TABLE ONLY registry.join_token
    ADD CONSTRAINT join_token_used_by_fkey FOREIGN KEY (used_by) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.login
    ADD CONSTRAINT login_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.person
    ADD CONSTRAINT person_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES registry.tenant(tenant_id);

ALTER TABLE ONLY registry.principal
    ADD CONSTRAINT principal_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES registry.tenant(tenant_id);

ALTER TABLE ONLY registry.principal
    ADD CONSTRAINT principal_user_id_fkey FOREIGN KEY (user_id) REFERENCES registry.person(user_id);

ALTER TABLE ONLY registry.quota
    ADD CONSTRAINT quota_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES registry.tenant(tenant_id);

ALTER TABLE ONLY registry.space
    ADD CONSTRAINT space_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES registry.tenant(tenant_id);

ALTER TABLE ONLY registry.spent_secret
    ADD CONSTRAINT spent_secret_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.stored_bytes
    ADD CONSTRAINT stored_bytes_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES registry.tenant(tenant_id);

ALTER TABLE ONLY registry.ticket
    ADD CONSTRAINT ticket_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.worker_token_space
    ADD CONSTRAINT worker_token_space_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES registry.principal(principal_id);

ALTER TABLE ONLY registry.worker_token_space
    ADD CONSTRAINT worker_token_space_space_id_fkey FOREIGN KEY (space_id) REFERENCES registry.space(space_id);

GRANT USAGE ON SCHEMA registry TO spaces_registry;

GRANT SELECT,INSERT ON TABLE registry.audit TO spaces_registry;

GRANT UPDATE(tenant_id) ON TABLE registry.audit TO spaces_registry;

GRANT UPDATE(object_id) ON TABLE registry.audit TO spaces_registry;

GRANT UPDATE(outcome) ON TABLE registry.audit TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.connection TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.gateway TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.invite TO spaces_registry;

GRANT SELECT,INSERT,UPDATE ON TABLE registry.join_token TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.leader TO spaces_registry;

GRANT SELECT,INSERT,UPDATE ON TABLE registry.login TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.login_try TO spaces_registry;

GRANT SELECT,INSERT,UPDATE ON TABLE registry.person TO spaces_registry;

GRANT SELECT,INSERT,UPDATE ON TABLE registry.principal TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.quota TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.replica TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.session TO spaces_registry;

GRANT SELECT,INSERT,DELETE ON TABLE registry.signing_key TO spaces_registry;

GRANT SELECT,INSERT,UPDATE ON TABLE registry.space TO spaces_registry;

GRANT SELECT,INSERT,DELETE ON TABLE registry.spent_secret TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.stored_bytes TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.stored_bytes_of_key TO spaces_registry;

GRANT SELECT,INSERT,UPDATE ON TABLE registry.tenant TO spaces_registry;

GRANT SELECT,INSERT,DELETE ON TABLE registry.ticket TO spaces_registry;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE registry.usage_window TO spaces_registry;

GRANT SELECT,INSERT ON TABLE registry.worker_token_space TO spaces_registry;
