-- What workers tell: results, acceptances, refusals. And cancelling.

-- The fence: a result counts for a running request whose current attempt was given to the same instance.
-- Rows: `verdict` (stored, stale or unknown), one an element; with `finished` when this call ended the request.
-- Then `job` and `lane` as in submit_many.
CREATE FUNCTION scheduler.finish_many(
    p_space_ids text[], p_connection_ids text[], p_request_ids text[], p_attempts int[], p_states text[],
    p_outputs bytea[], p_output_files bytea[], p_errors bytea[], p_last_ns int[],
    p_processing_times float8[], p_timestamps timestamptz[]
) RETURNS TABLE (
    kind text, ord int, request_id text, verdict text, finished boolean, state text, created_at timestamptz,
    started_at timestamptz, finished_at timestamptz, notify text, queue_size int, running int, error bytea,
    run_s float8, space_id text, attempt int, connection_id text, route text, payload bytea, files bytea,
    upload_url text, remaining_ms bigint
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_count int := cardinality(p_request_ids);
    v_verdicts text[] := array_fill('unknown'::text, ARRAY[v_count]);
    v_finished boolean[] := array_fill(false, ARRAY[v_count]);
    v_runs float8[] := array_fill(NULL::float8, ARRAY[v_count]);
    c_running CONSTANT text := 'running';
    v_claimed text[] := '{}';
    v_lane scheduler.lane;
    v_now timestamptz;
    v_row record;
    v_state text;
    v_error bytea;
    i int;
BEGIN
    PERFORM scheduler.lock_lanes(p_space_ids);
    v_now := scheduler.deadline_clock();
    FOR v_lane IN
        SELECT l.* FROM scheduler.lane l WHERE l.space_id = ANY (p_space_ids) ORDER BY l.space_id
    LOOP
        FOR i IN
            SELECT e.nth FROM unnest(p_space_ids) WITH ORDINALITY AS e (space_id, nth)
            WHERE e.space_id = v_lane.space_id ORDER BY e.nth
        LOOP
            SELECT r.state, r.attempt, r.cancel_requested_at, a.released_at, a.claimed_at,
                   t.attempt AS told, t.from_worker
            INTO v_row
            FROM scheduler.connection c
            JOIN scheduler.request r ON r.request_id = p_request_ids[i] AND r.space_id = c.space_id
            JOIN scheduler.assignment a
                ON a.request_id = r.request_id AND a.attempt = p_attempts[i] AND a.instance_id = c.instance_id
            LEFT JOIN scheduler.result t ON t.request_id = r.request_id
            WHERE c.connection_id = p_connection_ids[i] AND c.space_id = v_lane.space_id;
            CONTINUE WHEN NOT FOUND;
            IF v_row.released_at IS NULL THEN
                UPDATE scheduler.assignment a
                SET released_at = v_now, accepted_at = coalesce(a.accepted_at, v_now)
                WHERE a.request_id = p_request_ids[i] AND a.attempt = p_attempts[i];
            END IF;
            IF v_row.released_at IS NOT NULL OR v_row.state <> 'running' OR v_row.attempt <> p_attempts[i] THEN
                -- The same result once more is stored, as it was.
                v_verdicts[i] := CASE WHEN v_row.from_worker AND v_row.told = p_attempts[i]
                                      THEN 'stored' ELSE 'stale' END;
                CONTINUE;
            END IF;
            v_state := p_states[i];
            v_error := p_errors[i];
            IF v_state = 'cancelled' AND v_row.cancel_requested_at IS NULL THEN
                -- Nobody asked for it: the worker gave up by itself.
                v_state := 'failed';
                v_error := coalesce(v_error, scheduler.problem('handler_failed', 'The worker gave up'));
            ELSIF v_state = 'cancelled' THEN
                v_error := coalesce(v_error, scheduler.problem('cancelled', 'Cancelled'));
            END IF;
            UPDATE scheduler.request r SET state = v_state, finished_at = clock_timestamp()
            WHERE r.request_id = p_request_ids[i] AND r.state = c_running AND r.attempt = p_attempts[i];
            INSERT INTO scheduler.result (request_id, attempt, from_worker, output, output_files, error,
                                          last_n, processing_time_seconds, worker_timestamp)
            VALUES (p_request_ids[i], p_attempts[i], true, p_outputs[i], p_output_files[i], v_error,
                    p_last_ns[i], p_processing_times[i], p_timestamps[i]);
            v_runs[i] := greatest(0, extract(epoch FROM v_now - v_row.claimed_at));
            v_lane.running := v_lane.running - 1;
            IF v_state = 'succeeded' THEN
                v_lane.mean_run_s := coalesce(0.8 * v_lane.mean_run_s + 0.2 * v_runs[i], v_runs[i]);
            END IF;
            UPDATE scheduler.connection c SET refusals = 0
            WHERE c.connection_id = p_connection_ids[i] AND c.refusals > 0;
            v_verdicts[i] := 'stored';
            v_finished[i] := true;
        END LOOP;
        UPDATE scheduler.lane l SET running = v_lane.running, mean_run_s = v_lane.mean_run_s
        WHERE l.space_id = v_lane.space_id
          AND (l.running, l.mean_run_s) IS DISTINCT FROM (v_lane.running, v_lane.mean_run_s);
        v_claimed := v_claimed || scheduler.claim(v_lane.space_id);
    END LOOP;
    RETURN QUERY
        SELECT 'verdict', e.nth::int, e.request_id, e.verdict, e.finished, r.state, r.created_at, r.started_at,
               r.finished_at, r.notify, NULL::int, NULL::int, t.error, e.run_s, r.space_id,
               p_attempts[e.nth], NULL::text, NULL::text, NULL::bytea, NULL::bytea, NULL::text, NULL::bigint
        FROM unnest(p_request_ids, v_verdicts, v_finished, v_runs)
             WITH ORDINALITY AS e (request_id, verdict, finished, run_s, nth)
        LEFT JOIN scheduler.request r ON e.finished AND r.request_id = e.request_id
        LEFT JOIN scheduler.result t ON e.finished AND t.request_id = e.request_id
        ORDER BY e.nth;
    RETURN QUERY
        SELECT 'job', NULL::int, j.request_id, NULL::text, false, NULL::text, NULL::timestamptz,
               NULL::timestamptz, NULL::timestamptz, NULL::text, j.queue_size, NULL::int, NULL::bytea,
               NULL::float8, j.space_id, j.attempt, j.connection_id, j.route, j.payload, j.files, j.upload_url,
               j.remaining_ms
        FROM scheduler.jobs(v_claimed) j;
    RETURN QUERY
        SELECT 'lane', NULL::int, NULL::text, NULL::text, false, NULL::text, NULL::timestamptz,
               NULL::timestamptz, NULL::timestamptz, NULL::text, l.queued, l.running, NULL::bytea,
               NULL::float8, l.space_id, NULL::int, NULL::text, NULL::text, NULL::bytea, NULL::bytea,
               NULL::text, NULL::bigint
        FROM scheduler.lane l WHERE l.space_id = ANY (p_space_ids);
END $$;

-- Workers took jobs. No lane is locked: nothing is decided by it, and who is finishing now is skipped.
-- Returns how many were still to be noted.
CREATE FUNCTION scheduler.accept_many(p_connection_ids text[], p_request_ids text[], p_attempts int[])
RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_noted int;
BEGIN
    WITH taken AS (
        SELECT a.request_id, a.attempt
        FROM unnest(p_connection_ids, p_request_ids, p_attempts) AS e (connection_id, request_id, attempt)
        JOIN scheduler.connection c ON c.connection_id = e.connection_id
        JOIN scheduler.assignment a ON a.request_id = e.request_id AND a.attempt = e.attempt
            AND a.instance_id = c.instance_id
        WHERE coalesce(a.accepted_at, a.released_at) IS NULL
        FOR NO KEY UPDATE OF a SKIP LOCKED
    )
    UPDATE scheduler.assignment a SET accepted_at = scheduler.deadline_clock()
    FROM taken WHERE a.request_id = taken.request_id AND a.attempt = taken.attempt;
    GET DIAGNOSTICS v_noted = ROW_COUNT;
    RETURN v_noted;
END $$;

-- Workers refused jobs before they began: queued again without costing a try. The connection is left alone for a
-- while, longer with each refusal in a row, so that a worker that takes nothing is not asked in a circle.
-- Returns the requests to announce.
CREATE FUNCTION scheduler.refuse_many(p_space_ids text[], p_connection_ids text[], p_request_ids text[],
                                      p_attempts int[])
RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row record;
    v_space_id text;
BEGIN
    PERFORM scheduler.lock_lanes(p_space_ids);
    FOR v_row IN
        SELECT DISTINCT ON (r.request_id) r.request_id, a.attempt, a.connection_id, r.cancel_requested_at,
               a.released_at, r.state = 'running' AND r.attempt = a.attempt AS runs
        FROM unnest(p_space_ids, p_connection_ids, p_request_ids, p_attempts)
             AS e (space_id, connection_id, request_id, attempt)
        JOIN scheduler.connection c ON c.connection_id = e.connection_id AND c.space_id = e.space_id
        JOIN scheduler.request r ON r.request_id = e.request_id AND r.space_id = c.space_id
        JOIN scheduler.assignment a ON a.request_id = e.request_id AND a.attempt = e.attempt
            AND a.instance_id = c.instance_id
        ORDER BY r.request_id, a.attempt DESC
    LOOP
        CONTINUE WHEN v_row.released_at IS NOT NULL;
        UPDATE scheduler.connection c
        SET refusals = c.refusals + 1,
            paused_until = scheduler.deadline_clock()
                + make_interval(secs => least(10, 0.25 * 2 ^ least(c.refusals, 6)))
        WHERE c.connection_id = v_row.connection_id;
        UPDATE scheduler.assignment a SET released_at = scheduler.deadline_clock()
        WHERE a.request_id = v_row.request_id AND a.attempt = v_row.attempt;
        IF v_row.runs AND v_row.cancel_requested_at IS NOT NULL THEN
            PERFORM scheduler.settle(v_row.request_id, 'running', 'cancelled',
                scheduler.problem('cancelled', 'Cancelled before it began'));
            RETURN NEXT v_row.request_id;
        ELSIF v_row.runs THEN
            PERFORM scheduler.requeue(v_row.request_id, false);
        END IF;
    END LOOP;
    FOR v_space_id IN
        SELECT DISTINCT e.space_id FROM unnest(p_space_ids) AS e (space_id) ORDER BY e.space_id
    LOOP
        RETURN QUERY SELECT unnest(scheduler.claim(v_space_id));
    END LOOP;
END $$;

-- Asks for an end: queued requests end now, running ones when their worker confirms or after 5 seconds.
-- Returns the ids that exist (for that tenant; NULL stands for any), all of them to be announced.
CREATE FUNCTION scheduler.cancel_many(p_request_ids text[], p_tenant_ids text[]) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c_running CONSTANT text := 'running';
    v_space_ids text[];
    v_row record;
BEGIN
    SELECT array_agg(r.space_id) INTO v_space_ids
    FROM scheduler.request r WHERE r.request_id = ANY (p_request_ids);  -- never changes: no lock needed
    PERFORM scheduler.lock_lanes(v_space_ids);
    FOR v_row IN
        SELECT DISTINCT r.request_id, r.state
        FROM unnest(p_request_ids, p_tenant_ids) AS e (request_id, tenant_id)
        JOIN scheduler.request r ON r.request_id = e.request_id
            AND (e.tenant_id IS NULL OR e.tenant_id = r.tenant_id)
        ORDER BY r.request_id
    LOOP
        IF v_row.state = 'queued' THEN
            PERFORM scheduler.settle(v_row.request_id, 'queued', 'cancelled',
                scheduler.problem('cancelled', 'Cancelled before it began'));
        ELSIF v_row.state = 'running' THEN
            UPDATE scheduler.request r SET cancel_requested_at = scheduler.deadline_clock()
            WHERE r.request_id = v_row.request_id AND r.state = c_running
              AND coalesce(r.finished_at, r.cancel_requested_at) IS NULL;
        END IF;
        RETURN NEXT v_row.request_id;
    END LOOP;
END $$;
