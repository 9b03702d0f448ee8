-- Requests from submit to result. Only the functions of this schema write; services read.
-- Lock order everywhere: lane (ids sorted, in a statement of its own), connection, request, assignment.
CREATE SCHEMA IF NOT EXISTS scheduler;

-- One permanent row for each space: its lock, its order, its counters and a copy of its rules.
CREATE TABLE scheduler.lane (
    space_id          text PRIMARY KEY CHECK (space_id ~ '^[0-9a-z]{20,32}$'),
    tenant_id         text NOT NULL,
    enabled           boolean NOT NULL,
    closed_at         timestamptz,  -- the space was deleted
    inputs            text[] NOT NULL,
    when_offline      text NOT NULL CHECK (when_offline IN ('reject', 'queue')),
    max_queue         integer NOT NULL,
    queue_timeout_s   float8 NOT NULL,
    run_timeout_s     float8 NOT NULL,
    timeout_s         float8 NOT NULL,
    max_attempts      integer NOT NULL,
    retry_after_start boolean NOT NULL,
    next_seq          bigint NOT NULL DEFAULT 1,
    queued            integer NOT NULL DEFAULT 0 CHECK (queued >= 0),
    running           integer NOT NULL DEFAULT 0 CHECK (running >= 0),
    mean_run_s        float8  -- moving average of what succeeded; empty until something did
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
-- What the mass-change loop looks at. No index names a counter: updates of counters stay in their page.
CREATE INDEX lane_shut ON scheduler.lane (space_id) WHERE NOT enabled OR closed_at IS NOT NULL;

-- The scheduler's copy of what it needs to know of a worker's connection.
CREATE TABLE scheduler.connection (
    connection_id text PRIMARY KEY CHECK (connection_id ~ '^[0-9a-z]{20,32}$'),
    space_id      text NOT NULL REFERENCES scheduler.lane,
    instance_id   text NOT NULL,
    route         text NOT NULL,
    slots         integer NOT NULL CHECK (slots > 0),
    age           bigint GENERATED ALWAYS AS IDENTITY,  -- the older of two equals is served first
    live          boolean NOT NULL DEFAULT true,
    draining      boolean NOT NULL DEFAULT false,
    refusals      integer NOT NULL DEFAULT 0,  -- in a row
    paused_until  timestamptz,  -- after a refusal, by the deadline clock
    attached_at   timestamptz NOT NULL,  -- by the deadline clock
    ended_at      timestamptz
) WITH (fillfactor = 70);
CREATE INDEX connection_live ON scheduler.connection (space_id, age) WHERE live;
CREATE INDEX connection_paused ON scheduler.connection (paused_until)
    WHERE live AND paused_until IS NOT NULL;

-- payload, files and error are JSON text as bytes, passed through unread: jsonb and text refuse \u0000.
-- due_at, total_due_at, queued_at and cancel_requested_at are by the deadline clock.
CREATE TABLE scheduler.request (
    request_id          text PRIMARY KEY CHECK (request_id ~ '^[0-9a-z]{20,32}$'),
    space_id            text NOT NULL,
    tenant_id           text NOT NULL,
    principal_id        text NOT NULL,
    state               text NOT NULL CHECK
        (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
    priority            integer NOT NULL,
    seq                 bigint NOT NULL,
    attempt             integer NOT NULL DEFAULT 0,  -- rises with each dispatch, never reused
    tries               integer NOT NULL DEFAULT 0 CHECK (tries >= 0),  -- counts against max_attempts
    queue_timeout_s     float8 NOT NULL,
    run_timeout_s       float8 NOT NULL,
    queued_at           timestamptz NOT NULL,
    due_at              timestamptz NOT NULL,  -- when the state it is in becomes too old
    total_due_at        timestamptz NOT NULL,
    cancel_requested_at timestamptz,
    created_at          timestamptz NOT NULL,
    started_at          timestamptz,
    finished_at         timestamptz,
    inputs              text[] NOT NULL,
    payload             bytea NOT NULL,
    files               bytea,
    upload_url          text,
    notify              text,
    CHECK ((finished_at IS NULL) = (state IN ('queued', 'running')))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX request_order ON scheduler.request (space_id, priority DESC, seq) WHERE state = 'queued';
CREATE INDEX request_due ON scheduler.request (due_at) WHERE state IN ('queued', 'running');
CREATE INDEX request_running ON scheduler.request (space_id) WHERE state = 'running';
CREATE INDEX request_cancel ON scheduler.request (cancel_requested_at)
    WHERE state = 'running' AND cancel_requested_at IS NOT NULL;
CREATE INDEX request_page_space ON scheduler.request (space_id, request_id);
CREATE INDEX request_page_tenant ON scheduler.request (tenant_id, request_id);

-- One try of one request on one connection. Unreleased: it holds a slot. Unaccepted: it is to be sent.
CREATE TABLE scheduler.assignment (
    request_id    text NOT NULL,
    attempt       integer NOT NULL,
    space_id      text NOT NULL,
    connection_id text NOT NULL,
    instance_id   text NOT NULL,
    claimed_at    timestamptz NOT NULL,  -- these are by the deadline clock
    offered_at    timestamptz NOT NULL,
    accepted_at   timestamptz,
    -- The request ended before its worker stopped: it is asked to stop again from here on.
    stop_asked_at timestamptz,
    released_at   timestamptz,
    PRIMARY KEY (request_id, attempt)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX assignment_held ON scheduler.assignment (connection_id) WHERE released_at IS NULL;
CREATE INDEX assignment_unaccepted ON scheduler.assignment (offered_at)
    WHERE accepted_at IS NULL AND released_at IS NULL;
CREATE INDEX assignment_stopping ON scheduler.assignment (stop_asked_at)
    WHERE released_at IS NULL AND stop_asked_at IS NOT NULL;

-- Exactly one for each request that ended, whoever ended it.
CREATE TABLE scheduler.result (
    request_id              text PRIMARY KEY,
    attempt                 integer NOT NULL,
    from_worker             boolean NOT NULL,
    output                  bytea,
    output_files            bytea,
    error                   bytea,
    last_n                  integer NOT NULL DEFAULT 0,
    processing_time_seconds float8,
    worker_timestamp        timestamptz
);

CREATE TABLE scheduler.idempotency (
    principal_id text NOT NULL,
    key          text NOT NULL,
    body_sha256  text NOT NULL,
    request_id   text NOT NULL,
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (principal_id, key)
);
CREATE INDEX idempotency_expiry ON scheduler.idempotency (expires_at);

-- Deadlines are kept by a clock that does not step: the wall clock minus its steps so far.
CREATE TABLE scheduler.clock (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    generation bigint NOT NULL DEFAULT 0,
    stepped    interval NOT NULL DEFAULT '0'
);
INSERT INTO scheduler.clock DEFAULT VALUES;

-- Which replica exports the figures that are read from the database.
CREATE TABLE scheduler.leader (
    duty        text PRIMARY KEY,
    holder      text NOT NULL,
    lease_until timestamptz NOT NULL
);

-- What the functions promise, checked once more: an end is final.
CREATE FUNCTION scheduler.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'request % is %, which is final', OLD.request_id, OLD.state;
END $$;
CREATE TRIGGER request_end_is_final BEFORE UPDATE ON scheduler.request
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL) EXECUTE FUNCTION scheduler.refuse_change();

GRANT USAGE ON SCHEMA scheduler TO spaces_scheduler, spaces_registry;
GRANT SELECT ON ALL TABLES IN SCHEMA scheduler TO spaces_scheduler;
GRANT INSERT, UPDATE, DELETE ON scheduler.leader TO spaces_scheduler;
