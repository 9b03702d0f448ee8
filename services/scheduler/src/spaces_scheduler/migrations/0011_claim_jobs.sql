-- A claim is one statement, and returns what must be sent. What starts and ends a plan costs more than a row:
-- these functions and those of the next two files have few and narrow plan nodes.
--
-- A slot's level is how many are free on its connection when it is filled: the highest goes first, so that each
-- request goes to the connection with the most free slots, and among equals to the oldest.

-- Stops a transaction that found what cannot be.
CREATE FUNCTION scheduler.broken(p_request_id text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'request % was changed without the lock of its lane', p_request_id;
END $$;

-- Gives queued requests of these lanes to free slots; the counters are those after it. The lanes are locked.
CREATE FUNCTION scheduler.claim_jobs(p_space_ids text[]) RETURNS TABLE (
    request_id text, space_id text, attempt int, connection_id text, route text, payload bytea, files bytea,
    upload_url text, remaining_ms bigint, queue_size int, running int
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := scheduler.deadline_clock();
BEGIN
    RETURN QUERY
    WITH pair AS MATERIALIZED (
        SELECT first.request_id, slot.workers[first.nth] AS worker
        FROM scheduler.lane l
        CROSS JOIN LATERAL (
            SELECT count(*) AS n, array_agg(w.connection ORDER BY level.n DESC, (w.connection).age) AS workers
            FROM (
                SELECT c AS connection, c.slots - held.n AS free
                FROM scheduler.connection c
                CROSS JOIN LATERAL (
                    SELECT count(*) AS n FROM scheduler.assignment a
                    WHERE a.connection_id = c.connection_id AND a.released_at IS NULL
                ) held
                WHERE c.space_id = l.space_id AND c.live AND NOT c.draining
                  AND (c.paused_until IS NULL OR c.paused_until <= v_now)
                OFFSET 0
            ) w
            -- No lane can fill more slots of one connection than it has requests.
            CROSS JOIN LATERAL generate_series(greatest(1, w.free - l.queued + 1), w.free) AS level (n)
        ) slot
        CROSS JOIN LATERAL (
            SELECT r.request_id, row_number() OVER (ORDER BY r.priority DESC, r.seq) AS nth
            FROM scheduler.request r
            WHERE r.space_id = l.space_id AND r.state = 'queued' AND r.total_due_at > v_now
            ORDER BY r.priority DESC, r.seq LIMIT slot.n
        ) first
        WHERE l.space_id = ANY (p_space_ids) AND l.queued > 0 AND l.enabled AND l.closed_at IS NULL
    ), moved AS (
        UPDATE scheduler.request r
        SET state = 'running', attempt = r.attempt + 1, tries = r.tries + 1,
            started_at = clock_timestamp(),
            due_at = least(r.total_due_at, v_now + make_interval(secs => r.run_timeout_s))
        FROM pair
        WHERE r.request_id = pair.request_id
          AND (r.state = 'queued' OR scheduler.broken(pair.request_id))
        RETURNING r.request_id, r.space_id, r.attempt, r.payload, r.files, r.upload_url, r.due_at, pair.worker
    ), given AS (
        INSERT INTO scheduler.assignment
            (request_id, attempt, space_id, connection_id, instance_id, claimed_at, offered_at)
        SELECT m.request_id, m.attempt, m.space_id, (m.worker).connection_id, (m.worker).instance_id, v_now, v_now
        FROM moved m
    ), counted AS (
        UPDATE scheduler.lane l SET queued = l.queued - n.given, running = l.running + n.given
        FROM (SELECT m.space_id, count(*)::int AS given FROM moved m GROUP BY m.space_id) n
        WHERE l.space_id = n.space_id
        RETURNING l.space_id, l.queued, l.running
    )
    SELECT m.request_id, m.space_id, m.attempt, (m.worker).connection_id, (m.worker).route, m.payload, m.files,
           m.upload_url, greatest(0, extract(epoch FROM m.due_at - v_now) * 1000)::bigint, c.queued, c.running
    FROM moved m JOIN counted c USING (space_id);
END $$;

-- The same for who announces them later.
CREATE OR REPLACE FUNCTION scheduler.claim(p_space_id text) RETURNS text[] LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(array_agg(j.request_id), '{}') FROM scheduler.claim_jobs(ARRAY[p_space_id]) j
$$;

REVOKE ALL ON FUNCTION scheduler.claim_jobs, scheduler.broken FROM PUBLIC;
