-- People: users, where they are signed in, invitations, wrong passwords, and the keys that sign access tokens.
CREATE TABLE registry.person (
    user_id       text PRIMARY KEY CHECK (user_id ~ '^[0-9a-z]{20,32}$'),
    email         text NOT NULL UNIQUE CHECK (email = lower(email)),
    -- A name with an @ could be somebody else's email.
    username      text NOT NULL DEFAULT '' CHECK (strpos(username, '@') = 0),
    -- argon2id, in the encoding that names its parameters.
    password_hash text NOT NULL,
    role          text NOT NULL CHECK (role IN ('admin', 'owner', 'member')),
    tenant_id     text REFERENCES registry.tenant,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    disabled_at   timestamptz,
    last_login_at timestamptz,
    CHECK ((role = 'admin') = (tenant_id IS NULL))
);
CREATE UNIQUE INDEX person_username ON registry.person (lower(username)) WHERE username <> '';
CREATE INDEX person_by_tenant ON registry.person (tenant_id, user_id);

-- A login is a principal; a key may be made by a person, and does not outlive their rights.
ALTER TABLE registry.principal
    ADD COLUMN user_id    text REFERENCES registry.person,
    ADD COLUMN scopes     text[],
    ADD COLUMN expires_at timestamptz,
    DROP CONSTRAINT principal_kind_check,
    DROP CONSTRAINT principal_check,
    ADD CONSTRAINT principal_kind_check CHECK (kind IN ('admin', 'api_key', 'worker_token', 'user')),
    ADD CONSTRAINT principal_check CHECK (
        CASE kind WHEN 'admin' THEN tenant_id IS NULL
                  WHEN 'api_key' THEN tenant_id IS NOT NULL
                  WHEN 'user' THEN tenant_id IS NULL AND user_id IS NOT NULL AND expires_at IS NOT NULL
                  ELSE true END);
CREATE INDEX principal_by_person ON registry.principal (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX principal_by_expiry ON registry.principal (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE registry.login (
    principal_id   text PRIMARY KEY REFERENCES registry.principal,
    -- A session's secret stands for the person by itself; a refresh secret only gets the next one.
    is_session     boolean NOT NULL,
    user_agent     text NOT NULL DEFAULT '',
    client_address text NOT NULL DEFAULT ''
);

-- Refresh secrets that were exchanged: one that comes again was stolen.
CREATE TABLE registry.spent_secret (
    secret_sha256 text PRIMARY KEY,
    principal_id  text NOT NULL REFERENCES registry.principal,
    spent_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX spent_secret_by_age ON registry.spent_secret (spent_at);

CREATE TABLE registry.invite (
    invite_id     text PRIMARY KEY CHECK (invite_id ~ '^[0-9a-z]{20,32}$'),
    invite_sha256 text NOT NULL UNIQUE CHECK (invite_sha256 ~ '^[0-9a-f]{64}$'),
    tenant_id     text NOT NULL REFERENCES registry.tenant,
    role          text NOT NULL CHECK (role IN ('owner', 'member')),
    email         text,
    created_by    text NOT NULL REFERENCES registry.principal,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at    timestamptz NOT NULL,
    used_at       timestamptz,
    used_by       text REFERENCES registry.person
);
CREATE INDEX invite_by_tenant ON registry.invite (tenant_id, invite_id);

-- Tries to sign in, by what they have in common; taken back when one succeeds.
CREATE TABLE registry.login_try (
    subject  text PRIMARY KEY,
    tries    integer NOT NULL,
    until    timestamptz NOT NULL
);
CREATE INDEX login_try_by_end ON registry.login_try (until);

CREATE TABLE registry.signing_key (
    kid         text PRIMARY KEY,
    private_jwk text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

GRANT SELECT, INSERT, UPDATE ON registry.person, registry.login, registry.invite TO spaces_registry;
GRANT SELECT, INSERT, UPDATE, DELETE ON registry.login_try TO spaces_registry;
GRANT SELECT, INSERT, DELETE ON registry.spent_secret, registry.signing_key TO spaces_registry;
GRANT DELETE ON registry.invite TO spaces_registry;
