-- The steps that the public functions are made of. Callers hold the lanes' locks, and set the planner for all.
--
-- A row is found by its key alone. Where a statement also names the state that it moves from, it does so with a
-- constant's name: with the literal, a plan made while the tables are empty may read a whole partial index instead
-- (measured: 7 ms in place of 0.1 ms at 5,000 queued). For the same reason held assignments are not looked up
-- by `released_at IS NULL`, except by connection.

-- Now, by the clock that deadlines are kept in.
CREATE FUNCTION scheduler.deadline_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT clock_timestamp() - stepped FROM scheduler.clock
$$;

-- A problem as the JSON bytes that results keep.
CREATE FUNCTION scheduler.problem(p_code text, p_message text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT convert_to(json_build_object('code', p_code, 'message', p_message)::text, 'UTF8')
$$;

-- Locks lanes until the transaction ends. Sorted, so that two callers never wait for each other.
CREATE FUNCTION scheduler.lock_lanes(p_space_ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM scheduler.lane l WHERE l.space_id = ANY (p_space_ids)
        ORDER BY l.space_id FOR NO KEY UPDATE;
END $$;

-- What a lane can take: connections that may be given work, their slots, and those that are free.
CREATE FUNCTION scheduler.lane_slots(p_space_id text, OUT connections int, OUT slots int, OUT free int)
LANGUAGE sql VOLATILE AS $$
    SELECT count(*)::int, coalesce(sum(c.slots), 0)::int,
           coalesce(sum(greatest(0, c.slots - held.n)), 0)::int
    FROM scheduler.connection c
    CROSS JOIN LATERAL (
        SELECT count(*) AS n FROM scheduler.assignment a
        WHERE a.connection_id = c.connection_id AND a.released_at IS NULL
    ) held
    WHERE c.space_id = p_space_id AND c.live AND NOT c.draining
$$;

-- Gives queued requests of one lane to free slots; returns what was given.
-- A slot's level is how many are free on its connection when it is filled: the highest goes first, so that each
-- request goes to the connection with the most free slots, and among equals to the oldest.
CREATE FUNCTION scheduler.claim(p_space_id text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    c_queued CONSTANT text := 'queued';
    v_now timestamptz := scheduler.deadline_clock();
    v_row record;
    v_attempt int;
    v_claimed text[] := '{}';
BEGIN
    FOR v_row IN
        WITH slot AS (
            SELECT c.connection_id, c.instance_id,
                   row_number() OVER (ORDER BY level.n DESC, c.age) AS nth
            FROM scheduler.connection c
            CROSS JOIN LATERAL (
                SELECT count(*) AS n FROM scheduler.assignment a
                WHERE a.connection_id = c.connection_id AND a.released_at IS NULL
            ) held
            CROSS JOIN LATERAL generate_series(1, c.slots - held.n) AS level (n)
            WHERE c.space_id = p_space_id AND c.live AND NOT c.draining
              AND (c.paused_until IS NULL OR c.paused_until <= v_now)
              AND EXISTS (
                  SELECT 1 FROM scheduler.lane l
                  WHERE l.space_id = p_space_id AND l.queued > 0 AND l.enabled AND l.closed_at IS NULL)
        ), head AS (
            SELECT first.request_id, row_number() OVER (ORDER BY first.priority DESC, first.seq) AS nth
            FROM (
                SELECT r.request_id, r.priority, r.seq FROM scheduler.request r
                WHERE r.space_id = p_space_id AND r.state = 'queued' AND r.total_due_at > v_now
                ORDER BY r.priority DESC, r.seq LIMIT (SELECT count(*) FROM slot)
            ) first
        )
        SELECT head.request_id, slot.connection_id, slot.instance_id
        FROM head JOIN slot USING (nth) ORDER BY nth
    LOOP
        UPDATE scheduler.request r
        SET state = 'running', attempt = r.attempt + 1, tries = r.tries + 1,
            started_at = clock_timestamp(),
            due_at = least(r.total_due_at, v_now + make_interval(secs => r.run_timeout_s))
        WHERE r.request_id = v_row.request_id AND r.state = c_queued
        RETURNING r.attempt INTO STRICT v_attempt;
        INSERT INTO scheduler.assignment
            (request_id, attempt, space_id, connection_id, instance_id, claimed_at, offered_at)
        VALUES (v_row.request_id, v_attempt, p_space_id, v_row.connection_id, v_row.instance_id, v_now, v_now);
        v_claimed := v_claimed || v_row.request_id;
    END LOOP;
    IF cardinality(v_claimed) > 0 THEN
        UPDATE scheduler.lane l
        SET queued = l.queued - cardinality(v_claimed), running = l.running + cardinality(v_claimed)
        WHERE l.space_id = p_space_id;
    END IF;
    RETURN v_claimed;
END $$;

-- Ends a request that its worker did not end, and its lane's count of it. False: it had ended already.
CREATE FUNCTION scheduler.settle(p_request_id text, p_from text, p_to text, p_error bytea) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    v_attempt int;
    v_space_id text;
BEGIN
    UPDATE scheduler.request r SET state = p_to, finished_at = clock_timestamp()
    WHERE r.request_id = p_request_id AND r.state = p_from
    RETURNING r.attempt, r.space_id INTO v_attempt, v_space_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO scheduler.result (request_id, attempt, from_worker, error)
    VALUES (p_request_id, v_attempt, false, p_error);
    UPDATE scheduler.lane l
    SET queued = l.queued - (p_from = 'queued')::int, running = l.running - (p_from = 'running')::int
    WHERE l.space_id = v_space_id;
    RETURN true;
END $$;

-- running -> queued. Keeps its place; waits anew, within its total time.
CREATE FUNCTION scheduler.requeue(p_request_id text, p_costs_try boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    c_running CONSTANT text := 'running';
    v_now timestamptz := scheduler.deadline_clock();
    v_space_id text;
BEGIN
    UPDATE scheduler.request r
    SET state = 'queued', queued_at = v_now, tries = r.tries - (NOT p_costs_try)::int,
        due_at = least(r.total_due_at, v_now + make_interval(secs => r.queue_timeout_s))
    WHERE r.request_id = p_request_id AND r.state = c_running
    RETURNING r.space_id INTO v_space_id;
    IF FOUND THEN
        UPDATE scheduler.lane l SET queued = l.queued + 1, running = l.running - 1
        WHERE l.space_id = v_space_id;
    END IF;
END $$;

-- The connections are gone: their slots are free, and each request they ran is queued again, or ends.
-- Returns the requests that ended.
CREATE FUNCTION scheduler.lose(p_connection_ids text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    v_row record;
    v_ended text[] := '{}';
BEGIN
    FOR v_row IN
        SELECT a.request_id, a.attempt, r.cancel_requested_at, l.retry_after_start,
               r.state = 'running' AND r.attempt = a.attempt AS runs, r.tries >= l.max_attempts AS spent
        FROM scheduler.assignment a
        JOIN scheduler.request r USING (request_id)
        JOIN scheduler.lane l ON l.space_id = r.space_id
        WHERE a.connection_id = ANY (p_connection_ids) AND a.released_at IS NULL
        ORDER BY a.request_id
    LOOP
        UPDATE scheduler.assignment a SET released_at = scheduler.deadline_clock()
        WHERE a.request_id = v_row.request_id AND a.attempt = v_row.attempt;
        CONTINUE WHEN NOT v_row.runs;
        IF v_row.cancel_requested_at IS NOT NULL THEN
            PERFORM scheduler.settle(v_row.request_id, 'running', 'cancelled',
                scheduler.problem('cancelled', 'Cancelled; the worker was lost meanwhile'));
        ELSIF v_row.spent THEN
            PERFORM scheduler.settle(v_row.request_id, 'running', 'failed',
                scheduler.problem('worker_lost', 'The worker was lost, and no try is left'));
        ELSIF NOT v_row.retry_after_start THEN
            -- Whether the worker began is not known for certain, so it counts as begun.
            PERFORM scheduler.settle(v_row.request_id, 'running', 'failed',
                scheduler.problem('worker_lost', 'The worker was lost, and the space does not try again'));
        ELSE
            PERFORM scheduler.requeue(v_row.request_id, true);
            CONTINUE;
        END IF;
        v_ended := v_ended || v_row.request_id;
    END LOOP;
    RETURN v_ended;
END $$;

-- What must be sent for requests that were just claimed.
CREATE FUNCTION scheduler.jobs(p_request_ids text[]) RETURNS TABLE (
    request_id text, space_id text, attempt int, connection_id text, route text, payload bytea, files bytea,
    upload_url text, remaining_ms bigint, queue_size int)
LANGUAGE sql VOLATILE AS $$
    SELECT r.request_id, r.space_id, r.attempt, c.connection_id, c.route, r.payload, r.files, r.upload_url,
           greatest(0, extract(epoch FROM r.due_at - scheduler.deadline_clock()) * 1000)::bigint, l.queued
    FROM unnest(p_request_ids) AS wanted (request_id)
    JOIN scheduler.request r USING (request_id)
    JOIN scheduler.lane l ON l.space_id = r.space_id
    JOIN scheduler.assignment a ON a.request_id = r.request_id AND a.attempt = r.attempt
    JOIN scheduler.connection c ON c.connection_id = a.connection_id
$$;
