-- What the loops call. Each call is one short transaction on one lane; a loop calls again until nothing is left.
-- Any scheduler may call: a lock that is only tried keeps two from doing the same, and nobody waits for a frozen one.
-- All return the ids of requests to announce.

CREATE FUNCTION scheduler.alone(p_duty int) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT pg_try_advisory_xact_lock(1396786755, p_duty)  -- the first number means: the scheduler's duties
$$;

-- What ends while it runs keeps its slot until the worker says that it stopped, or is gone.
CREATE FUNCTION scheduler.end_running(p_request_id text, p_to text, p_code text, p_message text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT scheduler.settle(p_request_id, 'running', p_to, scheduler.problem(p_code, p_message)) THEN
        RETURN false;
    END IF;
    UPDATE scheduler.assignment a SET stop_asked_at = scheduler.deadline_clock()
    FROM scheduler.request r
    WHERE r.request_id = p_request_id AND a.request_id = r.request_id AND a.attempt = r.attempt;
    RETURN true;
END $$;

-- queued, running -> expired. `p_expected` is what the caller's steady clock says the wall clock shows: where they
-- differ, the clock stepped, and nothing expires before that is put right.
CREATE FUNCTION scheduler.expire_step(p_expected timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz;
    v_space_id text;
    v_row record;
BEGIN
    IF NOT scheduler.alone(1) OR abs(extract(epoch FROM clock_timestamp() - p_expected)) > 2 THEN
        RETURN;
    END IF;
    v_now := scheduler.deadline_clock();
    SELECT r.space_id INTO v_space_id FROM scheduler.request r
    WHERE r.state IN ('queued', 'running') AND r.due_at <= v_now ORDER BY r.due_at LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM scheduler.lock_lanes(ARRAY[v_space_id]);
    FOR v_row IN
        SELECT r.request_id, r.state, r.total_due_at <= v_now AS in_all FROM scheduler.request r
        WHERE r.state IN ('queued', 'running') AND r.due_at <= v_now AND r.space_id = v_space_id
        ORDER BY r.due_at LIMIT 500
    LOOP
        IF v_row.state = 'running' AND v_row.in_all THEN
            PERFORM scheduler.end_running(v_row.request_id, 'expired', 'timeout', 'The total time is over');
        ELSIF v_row.state = 'running' THEN
            PERFORM scheduler.end_running(v_row.request_id, 'expired', 'run_timeout', 'It ran too long');
        ELSIF v_row.in_all THEN
            PERFORM scheduler.settle(v_row.request_id, 'queued', 'expired',
                scheduler.problem('timeout', 'The total time is over'));
        ELSE
            PERFORM scheduler.settle(v_row.request_id, 'queued', 'expired',
                scheduler.problem('queue_timeout', 'It waited too long in the queue'));
        END IF;
        RETURN NEXT v_row.request_id;
    END LOOP;
END $$;

-- running -> cancelled, when the worker did not confirm within 5 seconds.
CREATE FUNCTION scheduler.force_cancel_step(p_expected timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_before timestamptz;
    v_space_id text;
    v_row record;
BEGIN
    IF NOT scheduler.alone(2) OR abs(extract(epoch FROM clock_timestamp() - p_expected)) > 2 THEN
        RETURN;
    END IF;
    v_before := scheduler.deadline_clock() - interval '5 seconds';
    SELECT r.space_id INTO v_space_id FROM scheduler.request r
    WHERE r.state = 'running' AND r.cancel_requested_at <= v_before ORDER BY r.cancel_requested_at LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM scheduler.lock_lanes(ARRAY[v_space_id]);
    FOR v_row IN
        SELECT r.request_id FROM scheduler.request r
        WHERE r.state = 'running' AND r.cancel_requested_at <= v_before AND r.space_id = v_space_id
        ORDER BY r.cancel_requested_at LIMIT 500
    LOOP
        PERFORM scheduler.end_running(v_row.request_id, 'cancelled', 'cancelled',
            'Cancelled; the worker did not confirm');
        RETURN NEXT v_row.request_id;
    END LOOP;
END $$;

-- Requests that ended while their worker still holds the slot: it is asked once more to stop.
CREATE FUNCTION scheduler.stop_again_step() RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := scheduler.deadline_clock();
BEGIN
    IF NOT scheduler.alone(3) THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH late AS (
            SELECT a.request_id, a.attempt FROM scheduler.assignment a
            WHERE a.released_at IS NULL AND a.stop_asked_at <= v_now - interval '5 seconds'
            ORDER BY a.stop_asked_at LIMIT 500 FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE scheduler.assignment a SET stop_asked_at = v_now FROM late
        WHERE a.request_id = late.request_id AND a.attempt = late.attempt
        RETURNING a.request_id;
END $$;

-- queued -> cancelled, in spaces that were disabled or deleted.
CREATE FUNCTION scheduler.mass_change_step() RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_space_id text;
    v_row record;
BEGIN
    IF NOT scheduler.alone(4) THEN
        RETURN;
    END IF;
    SELECT l.space_id INTO v_space_id FROM scheduler.lane l
    WHERE (NOT l.enabled OR l.closed_at IS NOT NULL) AND l.queued > 0 LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM scheduler.lock_lanes(ARRAY[v_space_id]);
    FOR v_row IN
        SELECT r.request_id, l.closed_at IS NOT NULL AS closed
        FROM scheduler.lane l JOIN scheduler.request r ON r.space_id = l.space_id AND r.state = 'queued'
        WHERE l.space_id = v_space_id AND (NOT l.enabled OR l.closed_at IS NOT NULL)
        ORDER BY r.priority DESC, r.seq LIMIT 500
    LOOP
        PERFORM scheduler.settle(v_row.request_id, 'queued', 'cancelled', scheduler.problem('space_disabled',
            CASE WHEN v_row.closed THEN 'The space was deleted' ELSE 'The space was disabled' END));
        RETURN NEXT v_row.request_id;
    END LOOP;
END $$;

-- Connections whose pause after a refusal is over are given work again.
CREATE FUNCTION scheduler.resume_step() RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now timestamptz := scheduler.deadline_clock();
    v_space_id text;
BEGIN
    IF NOT scheduler.alone(5) THEN
        RETURN;
    END IF;
    SELECT c.space_id INTO v_space_id FROM scheduler.connection c
    WHERE c.live AND c.paused_until <= v_now ORDER BY c.paused_until LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM scheduler.lock_lanes(ARRAY[v_space_id]);
    UPDATE scheduler.connection c SET paused_until = NULL
    WHERE c.space_id = v_space_id AND c.live AND c.paused_until <= v_now;
    RETURN QUERY SELECT unnest(scheduler.claim(v_space_id));
END $$;

-- What fell through, found by looking: jobs that nobody took (`dispatch`), and requests that wait although a slot
-- is free (`claim`). A healthy system has neither.
CREATE FUNCTION scheduler.repair_step() RETURNS TABLE (kind text, request_id text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := scheduler.deadline_clock();
    v_before timestamptz := v_now - interval '2 seconds';
    v_space_id text;
BEGIN
    IF NOT scheduler.alone(6) THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH lost AS (
            SELECT a.request_id, a.attempt FROM scheduler.assignment a
            JOIN scheduler.connection c ON c.connection_id = a.connection_id AND c.ended_at IS NULL
            JOIN scheduler.request r ON r.request_id = a.request_id AND r.attempt = a.attempt
                AND r.finished_at IS NULL AND r.state <> 'queued'
            WHERE a.accepted_at IS NULL AND a.released_at IS NULL AND a.offered_at <= v_before
              AND r.cancel_requested_at IS NULL
            ORDER BY a.offered_at LIMIT 500 FOR NO KEY UPDATE OF a SKIP LOCKED
        )
        UPDATE scheduler.assignment a SET offered_at = v_now FROM lost
        WHERE a.request_id = lost.request_id AND a.attempt = lost.attempt
        RETURNING 'dispatch', a.request_id;
    FOR v_space_id IN
        -- Steps from lane to lane through the queue's index, so that long queues cost nothing.
        WITH RECURSIVE lane_ids AS (
            (SELECT r.space_id FROM scheduler.request r WHERE r.state = 'queued' ORDER BY r.space_id LIMIT 1)
            UNION ALL
            SELECT (SELECT r.space_id FROM scheduler.request r
                    WHERE r.state = 'queued' AND r.space_id > lane_ids.space_id ORDER BY r.space_id LIMIT 1)
            FROM lane_ids WHERE lane_ids.space_id IS NOT NULL
        )
        SELECT i.space_id FROM lane_ids i
        JOIN scheduler.lane l ON l.space_id = i.space_id AND l.enabled AND l.closed_at IS NULL
        CROSS JOIN LATERAL (
            SELECT r.queued_at FROM scheduler.request r
            WHERE r.space_id = i.space_id AND r.state = 'queued' AND r.total_due_at > v_now
            ORDER BY r.priority DESC, r.seq LIMIT 1
        ) head
        WHERE head.queued_at <= v_before AND EXISTS (
            SELECT 1 FROM scheduler.connection c
            WHERE c.space_id = i.space_id AND c.live AND NOT c.draining AND c.attached_at <= v_before
              AND (c.paused_until IS NULL OR c.paused_until <= v_before)
              AND c.slots > (SELECT count(*) FROM scheduler.assignment a
                             WHERE a.connection_id = c.connection_id AND a.released_at IS NULL))
        ORDER BY i.space_id LIMIT 100
    LOOP
        PERFORM scheduler.lock_lanes(ARRAY[v_space_id]);
        RETURN QUERY SELECT 'claim', c.id FROM unnest(scheduler.claim(v_space_id)) AS c (id);
    END LOOP;
END $$;

-- Forgets what is of no use any more: idempotency keys after a day, connections a day after their end.
CREATE FUNCTION scheduler.forget_step() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_forgotten int;
BEGIN
    IF NOT scheduler.alone(7) THEN
        RETURN 0;
    END IF;
    WITH old AS (
        SELECT k.principal_id, k.key FROM scheduler.idempotency k
        WHERE k.expires_at < clock_timestamp() ORDER BY k.expires_at LIMIT 500 FOR UPDATE SKIP LOCKED
    )
    DELETE FROM scheduler.idempotency k USING old
    WHERE k.principal_id = old.principal_id AND k.key = old.key;
    GET DIAGNOSTICS v_forgotten = ROW_COUNT;
    RETURN v_forgotten;
END $$;

-- The wall clock stepped: deadlines go on as if it had not. Once, whoever sees it first: `p_generation` is what the
-- caller read before the step. False: somebody else did it.
CREATE FUNCTION scheduler.shift_clock(p_generation bigint, p_step_s float8) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE scheduler.clock k
    SET generation = k.generation + 1, stepped = k.stepped + make_interval(secs => p_step_s)
    WHERE k.generation = p_generation;
    RETURN FOUND;
END $$;
