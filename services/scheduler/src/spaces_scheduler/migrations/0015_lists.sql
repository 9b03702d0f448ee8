-- Finding what did not succeed among millions that did: only such requests are in the index, so accepting a request
-- writes nothing to it, and neither does an end that is a success. Tenant and space are looked at inside the index.
CREATE INDEX request_unsuccessful ON scheduler.request (state, request_id, tenant_id, space_id)
    WHERE state IN ('failed', 'cancelled', 'expired');

-- Which request repeats which. Noted before the request is submitted, so one that was refused may be here, too.
CREATE TABLE scheduler.retry (
    request_id text PRIMARY KEY CHECK (request_id ~ '^[0-9a-z]{20,32}$'),
    retry_of   text NOT NULL,
    noted_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX retry_by_first ON scheduler.retry (retry_of);

-- What went through the platform, minute by minute: each scheduler adds what it counted itself.
CREATE TABLE scheduler.figures (
    minute      timestamptz PRIMARY KEY,
    accepted    bigint NOT NULL,
    succeeded   bigint NOT NULL,
    failed      bigint NOT NULL,
    cancelled   bigint NOT NULL,
    expired     bigint NOT NULL,
    -- How many took how long, by the ranges of the metrics; the last range is without end.
    waits       bigint[] NOT NULL,
    runs        bigint[] NOT NULL,
    -- Looks at the queues, by the scheduler that leads: their sums, and how many there were.
    looks       integer NOT NULL,
    queued_sum  bigint NOT NULL,
    queued_max  integer NOT NULL,
    running_sum bigint NOT NULL
) WITH (fillfactor = 50);

-- Element by element.
CREATE FUNCTION scheduler.added(p_some bigint[], p_more bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(e.a + e.b ORDER BY e.nth) FROM unnest(p_some, p_more) WITH ORDINALITY AS e (a, b, nth)
$$;
REVOKE ALL ON FUNCTION scheduler.added FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scheduler.added TO spaces_scheduler;

GRANT SELECT, INSERT ON scheduler.retry TO spaces_scheduler;
GRANT SELECT, INSERT, UPDATE, DELETE ON scheduler.figures TO spaces_scheduler;
