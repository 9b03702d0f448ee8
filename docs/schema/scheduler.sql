-- Made by `make generate` from the services' migrations; do not edit.
CREATE SCHEMA scheduler;

CREATE FUNCTION scheduler.accept_many(p_connection_ids text[], p_request_ids text[], p_attempts integer[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.alone(p_duty integer) RETURNS boolean
    LANGUAGE sql
    AS $$
    SELECT pg_try_advisory_xact_lock(1396786755, p_duty)  -- the first number means: the scheduler's duties
$$;

CREATE FUNCTION scheduler.attach(p_space_id text, p_connection_id text, p_instance_id text, p_route text, p_slots integer, p_in_flight jsonb, p_supersedes text[]) RETURNS TABLE(kind text, request_id text, attempt integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    c_queued CONSTANT text := 'queued';
    v_now timestamptz;
    v_row record;
    v_told text[] := '{}';
BEGIN
    PERFORM scheduler.lock_lanes(ARRAY[p_space_id]);
    v_now := scheduler.deadline_clock();
    INSERT INTO scheduler.connection AS c
        (connection_id, space_id, instance_id, route, slots, attached_at)
    VALUES (p_connection_id, p_space_id, p_instance_id, p_route, p_slots, v_now)
    ON CONFLICT (connection_id) DO UPDATE SET slots = EXCLUDED.slots
    WHERE c.space_id = p_space_id AND c.instance_id = p_instance_id AND c.live;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'connection % has ended or is of another worker', p_connection_id;
    END IF;
    UPDATE scheduler.connection c SET live = false, ended_at = clock_timestamp()
    WHERE c.connection_id = ANY (p_supersedes) AND c.space_id = p_space_id
      AND c.connection_id <> p_connection_id AND c.ended_at IS NULL;
    FOR v_row IN
        SELECT e.request_id, e.attempt, r.state, r.cancel_requested_at,
               a.instance_id = p_instance_id AND r.attempt = e.attempt
                   AND (r.state = 'running' AND a.released_at IS NULL OR r.state = 'queued') AS mine
        FROM (SELECT DISTINCT f.request_id, f.attempt
              FROM jsonb_to_recordset(p_in_flight) AS f (request_id text, attempt int)) e
        LEFT JOIN scheduler.request r ON r.request_id = e.request_id AND r.space_id = p_space_id
        LEFT JOIN scheduler.assignment a ON a.request_id = e.request_id AND a.attempt = e.attempt
        ORDER BY e.request_id, e.attempt
    LOOP
        IF v_row.mine IS NOT TRUE THEN
            RETURN QUERY SELECT 'abandon', v_row.request_id, v_row.attempt;
            CONTINUE;
        END IF;
        UPDATE scheduler.assignment a
        SET connection_id = p_connection_id, released_at = NULL, accepted_at = coalesce(a.accepted_at, v_now)
        WHERE a.request_id = v_row.request_id AND a.attempt = v_row.attempt;
        IF v_row.state = 'queued' THEN
            UPDATE scheduler.request r
            SET state = 'running',
                due_at = least(r.total_due_at, v_now + make_interval(secs => r.run_timeout_s))
            WHERE r.request_id = v_row.request_id AND r.state = c_queued;
            UPDATE scheduler.lane l SET queued = l.queued - 1, running = l.running + 1
            WHERE l.space_id = p_space_id;
        ELSIF v_row.cancel_requested_at IS NOT NULL THEN
            v_told := v_told || v_row.request_id;  -- its cancel went to the old connection
        END IF;
        RETURN QUERY SELECT 'adopted', v_row.request_id, v_row.attempt;
    END LOOP;
    v_told := v_told || scheduler.lose(p_supersedes) || scheduler.claim(p_space_id);
    RETURN QUERY SELECT 'announce', t.id, NULL::int FROM unnest(v_told) AS t (id);
END $$;

CREATE FUNCTION scheduler.cancel_many(p_request_ids text[], p_tenant_ids text[]) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.claim(p_space_id text) RETURNS text[]
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION scheduler.connection_drain(p_connection_id text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
BEGIN
    PERFORM scheduler.lock_lanes(ARRAY(
        SELECT c.space_id FROM scheduler.connection c WHERE c.connection_id = p_connection_id));
    UPDATE scheduler.connection c SET draining = true
    WHERE c.connection_id = p_connection_id AND NOT c.draining;
END $$;

CREATE FUNCTION scheduler.deadline_clock() RETURNS timestamp with time zone
    LANGUAGE sql
    AS $$
    SELECT clock_timestamp() - stepped FROM scheduler.clock
$$;

CREATE FUNCTION scheduler.detach(p_connection_ids text[]) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
DECLARE
    v_space_ids text[];
    v_space_id text;
BEGIN
    SELECT array_agg(DISTINCT c.space_id ORDER BY c.space_id) INTO v_space_ids
    FROM scheduler.connection c WHERE c.connection_id = ANY (p_connection_ids);
    PERFORM scheduler.lock_lanes(v_space_ids);
    UPDATE scheduler.connection c SET live = false, ended_at = clock_timestamp()
    WHERE c.connection_id = ANY (p_connection_ids) AND c.ended_at IS NULL;
    RETURN QUERY SELECT unnest(scheduler.lose(p_connection_ids));
    FOREACH v_space_id IN ARRAY coalesce(v_space_ids, '{}') LOOP
        RETURN QUERY SELECT unnest(scheduler.claim(v_space_id));
    END LOOP;
END $$;

CREATE FUNCTION scheduler.end_running(p_request_id text, p_to text, p_code text, p_message text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT scheduler.settle(p_request_id, 'running', p_to, scheduler.problem(p_code, p_message)) THEN
        RETURN false;
    END IF;
    UPDATE scheduler.assignment a SET stop_asked_at = scheduler.deadline_clock()
    FROM scheduler.request r
    WHERE r.request_id = p_request_id AND a.request_id = r.request_id AND a.attempt = r.attempt;
    RETURN true;
END $$;

CREATE FUNCTION scheduler.expire_step(p_expected timestamp with time zone) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.finish_many(p_space_ids text[], p_connection_ids text[], p_request_ids text[], p_attempts integer[], p_states text[], p_outputs bytea[], p_output_files bytea[], p_errors bytea[], p_last_ns integer[], p_processing_times double precision[], p_timestamps timestamp with time zone[]) RETURNS TABLE(kind text, ord integer, request_id text, verdict text, finished boolean, state text, created_at timestamp with time zone, started_at timestamp with time zone, finished_at timestamp with time zone, notify text, queue_size integer, running integer, error bytea, run_s double precision, space_id text, attempt integer, connection_id text, route text, payload bytea, files bytea, upload_url text, remaining_ms bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.force_cancel_step(p_expected timestamp with time zone) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.forget_step() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.give_back_keys(p_request_ids text[], p_principal_ids text[], p_keys text[]) RETURNS void
    LANGUAGE sql
    AS $$
    DELETE FROM scheduler.idempotency k
    USING unnest(p_request_ids, p_principal_ids, p_keys) AS e (request_id, principal_id, key)
    WHERE k.principal_id = e.principal_id AND k.key = e.key AND k.request_id = e.request_id
      AND NOT EXISTS (SELECT 1 FROM scheduler.request r WHERE r.request_id = e.request_id)
$$;

CREATE FUNCTION scheduler.jobs(p_request_ids text[]) RETURNS TABLE(request_id text, space_id text, attempt integer, connection_id text, route text, payload bytea, files bytea, upload_url text, remaining_ms bigint, queue_size integer)
    LANGUAGE sql
    AS $$
    SELECT r.request_id, r.space_id, r.attempt, c.connection_id, c.route, r.payload, r.files, r.upload_url,
           greatest(0, extract(epoch FROM r.due_at - scheduler.deadline_clock()) * 1000)::bigint, l.queued
    FROM unnest(p_request_ids) AS wanted (request_id)
    JOIN scheduler.request r USING (request_id)
    JOIN scheduler.lane l ON l.space_id = r.space_id
    JOIN scheduler.assignment a ON a.request_id = r.request_id AND a.attempt = r.attempt
    JOIN scheduler.connection c ON c.connection_id = a.connection_id
$$;

CREATE FUNCTION scheduler.lane_close(p_space_id text) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
BEGIN
    PERFORM scheduler.lock_lanes(ARRAY[p_space_id]);
    UPDATE scheduler.lane l SET closed_at = clock_timestamp()
    WHERE l.space_id = p_space_id AND l.closed_at IS NULL;
    RETURN QUERY
        UPDATE scheduler.request r
        SET cancel_requested_at = coalesce(r.cancel_requested_at, scheduler.deadline_clock())
        WHERE r.space_id = p_space_id AND r.state = 'running'
        RETURNING r.request_id;
END $$;

CREATE FUNCTION scheduler.lane_open(p_space_id text, p_tenant_id text, p_enabled boolean, p_inputs text[], p_policy jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
    INSERT INTO scheduler.lane AS l (space_id, tenant_id, enabled, inputs, when_offline, max_queue,
        queue_timeout_s, run_timeout_s, timeout_s, max_attempts, retry_after_start)
    VALUES (p_space_id, p_tenant_id, p_enabled, p_inputs,
        coalesce(p_policy->>'when_offline', 'reject'),
        coalesce((p_policy->>'max_queue')::int, 1000),
        coalesce((p_policy->>'queue_timeout_s')::float8, 120),
        coalesce((p_policy->>'run_timeout_s')::float8, 120),
        coalesce((p_policy->>'timeout_s')::float8, 120),
        coalesce((p_policy->>'max_attempts')::int, 3),
        coalesce((p_policy->>'retry_after_start')::boolean, true))
    ON CONFLICT (space_id) DO UPDATE
    SET tenant_id = EXCLUDED.tenant_id, enabled = EXCLUDED.enabled, inputs = EXCLUDED.inputs,
        when_offline = EXCLUDED.when_offline, max_queue = EXCLUDED.max_queue,
        queue_timeout_s = EXCLUDED.queue_timeout_s, run_timeout_s = EXCLUDED.run_timeout_s,
        timeout_s = EXCLUDED.timeout_s, max_attempts = EXCLUDED.max_attempts,
        retry_after_start = EXCLUDED.retry_after_start, closed_at = NULL
$$;

CREATE FUNCTION scheduler.lane_slots(p_space_id text, OUT connections integer, OUT slots integer, OUT free integer) RETURNS record
    LANGUAGE sql
    AS $$
    SELECT count(*)::int, coalesce(sum(c.slots), 0)::int,
           coalesce(sum(greatest(0, c.slots - held.n)), 0)::int
    FROM scheduler.connection c
    CROSS JOIN LATERAL (
        SELECT count(*) AS n FROM scheduler.assignment a
        WHERE a.connection_id = c.connection_id AND a.released_at IS NULL
    ) held
    WHERE c.space_id = p_space_id AND c.live AND NOT c.draining
$$;

CREATE FUNCTION scheduler.lock_lanes(p_space_ids text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM 1 FROM scheduler.lane l WHERE l.space_id = ANY (p_space_ids)
        ORDER BY l.space_id FOR NO KEY UPDATE;
END $$;

CREATE FUNCTION scheduler.lose(p_connection_ids text[]) RETURNS text[]
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION scheduler.mass_change_step() RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.problem(p_code text, p_message text) RETURNS bytea
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT convert_to(json_build_object('code', p_code, 'message', p_message)::text, 'UTF8')
$$;

CREATE FUNCTION scheduler.queue_position(p_space_id text, p_priority integer, p_seq bigint) RETURNS integer
    LANGUAGE sql
    AS $$
    SELECT count(*)::int FROM scheduler.request r
    WHERE r.space_id = p_space_id AND r.state = 'queued'
      AND (r.priority > p_priority OR (r.priority = p_priority AND r.seq <= p_seq))
$$;

CREATE FUNCTION scheduler.queues(p_space_ids text[]) RETURNS TABLE(space_id text, queue_size integer, running integer, slots integer, free integer, connected boolean, mean_run_s double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
    SELECT l.space_id, l.queued, l.running, s.slots, s.free, s.connections > 0, l.mean_run_s
    FROM scheduler.lane l CROSS JOIN LATERAL scheduler.lane_slots(l.space_id) s
    WHERE l.space_id = ANY (p_space_ids) AND l.closed_at IS NULL
$$;

CREATE FUNCTION scheduler.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'request % is %, which is final', OLD.request_id, OLD.state;
END $$;

CREATE FUNCTION scheduler.refuse_many(p_space_ids text[], p_connection_ids text[], p_request_ids text[], p_attempts integer[]) RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.repair_step() RETURNS TABLE(kind text, request_id text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.requeue(p_request_id text, p_costs_try boolean) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION scheduler.resume_step() RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.settle(p_request_id text, p_from text, p_to text, p_error bytea) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION scheduler.shift_clock(p_generation bigint, p_step_s double precision) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
BEGIN
    UPDATE scheduler.clock k
    SET generation = k.generation + 1, stepped = k.stepped + make_interval(secs => p_step_s)
    WHERE k.generation = p_generation;
    RETURN FOUND;
END $$;

CREATE FUNCTION scheduler.stop_again_step() RETURNS SETOF text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
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

CREATE FUNCTION scheduler.submit_many(p_request_ids text[], p_space_ids text[], p_tenant_ids text[], p_principal_ids text[], p_payloads bytea[], p_inputs text[], p_files bytea[], p_upload_urls text[], p_priorities integer[], p_queue_timeouts_s double precision[], p_run_timeouts_s double precision[], p_timeouts_s double precision[], p_keys text[], p_body_hashes text[], p_notifies text[]) RETURNS TABLE(kind text, ord integer, request_id text, code text, state text, "position" integer, queue_size integer, running integer, slots integer, mean_run_s double precision, duplicate boolean, space_id text, attempt integer, connection_id text, route text, payload bytea, files bytea, upload_url text, remaining_ms bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    v_count int := cardinality(p_request_ids);
    v_ids text[] := p_request_ids;
    v_codes text[] := array_fill('space_not_found'::text, ARRAY[v_count]);
    v_duplicates boolean[] := array_fill(false, ARRAY[v_count]);
    v_positions int[] := array_fill(NULL::int, ARRAY[v_count]);
    v_keyed boolean := EXISTS (SELECT 1 FROM unnest(p_keys) AS k (key) WHERE k.key IS NOT NULL);
    v_now timestamptz;
    v_lane scheduler.lane;
    v_slots record;
    v_queued int;
    v_seq bigint;
    v_lowest int;
    v_first text;
    v_hash text;
    v_claimed text[] := '{}';
    v_new text[];
    i int;
BEGIN
    PERFORM scheduler.lock_lanes(p_space_ids);
    IF v_keyed THEN
        PERFORM scheduler.take_keys(p_request_ids, p_principal_ids, p_keys, p_body_hashes);
    END IF;
    v_now := scheduler.deadline_clock();
    FOR v_lane IN
        SELECT l.* FROM scheduler.lane l WHERE l.space_id = ANY (p_space_ids) ORDER BY l.space_id
    LOOP
        v_slots := scheduler.lane_slots(v_lane.space_id);
        v_queued := v_lane.queued;
        v_seq := v_lane.next_seq;
        v_lowest := NULL;
        IF v_queued > 0 THEN
            SELECT r.priority INTO v_lowest FROM scheduler.request r
            WHERE r.space_id = v_lane.space_id AND r.state = 'queued' ORDER BY r.priority, r.seq DESC LIMIT 1;
        END IF;
        -- By priority, so that each one's place is behind all before it; arrival decides within a priority.
        FOR i IN
            SELECT e.nth FROM unnest(p_space_ids, p_priorities) WITH ORDINALITY AS e (space_id, priority, nth)
            WHERE e.space_id = v_lane.space_id ORDER BY e.priority DESC, e.nth
        LOOP
            IF p_keys[i] IS NOT NULL THEN
                SELECT k.request_id, k.body_sha256 INTO v_first, v_hash FROM scheduler.idempotency k
                WHERE k.principal_id = p_principal_ids[i] AND k.key = p_keys[i];
                IF EXISTS (SELECT 1 FROM scheduler.request r
                           WHERE r.request_id = v_first AND v_first <> v_ids[i]) THEN
                    v_codes[i] := NULL;
                    IF v_hash <> p_body_hashes[i] THEN
                        v_codes[i] := 'idempotency_key_reused';
                    ELSE
                        v_ids[i] := v_first;
                        v_duplicates[i] := true;
                    END IF;
                    CONTINUE;
                END IF;
                -- The key's first request was refused in this very call: the key is this one's now.
                UPDATE scheduler.idempotency k
                SET request_id = v_ids[i], body_sha256 = p_body_hashes[i]
                WHERE k.principal_id = p_principal_ids[i] AND k.key = p_keys[i] AND k.request_id <> v_ids[i];
            END IF;
            v_codes[i] := CASE
                WHEN v_lane.closed_at IS NOT NULL THEN 'space_not_found'
                WHEN NOT v_lane.enabled THEN 'space_disabled'
                WHEN NOT string_to_array(p_inputs[i], ',') <@ v_lane.inputs THEN 'input_not_enabled'
                WHEN v_lane.when_offline = 'reject' AND v_slots.connections = 0 THEN 'worker_not_connected'
                WHEN v_queued >= v_lane.max_queue + v_slots.free THEN 'queue_full'
            END;
            IF v_codes[i] IS NULL THEN
                INSERT INTO scheduler.request (
                    request_id, space_id, tenant_id, principal_id, state, priority, seq,
                    queue_timeout_s, run_timeout_s, queued_at, due_at, total_due_at, created_at,
                    inputs, payload, files, upload_url, notify)
                SELECT v_ids[i], v_lane.space_id, p_tenant_ids[i], p_principal_ids[i], 'queued',
                    p_priorities[i], v_seq, wait.queue_s,
                    coalesce(p_run_timeouts_s[i], v_lane.run_timeout_s), v_now,
                    v_now + make_interval(secs => least(wait.queue_s, wait.total_s)),
                    v_now + make_interval(secs => wait.total_s), clock_timestamp(),
                    string_to_array(p_inputs[i], ','), p_payloads[i], p_files[i], p_upload_urls[i],
                    p_notifies[i]
                FROM (SELECT coalesce(p_queue_timeouts_s[i], v_lane.queue_timeout_s) AS queue_s,
                             coalesce(p_timeouts_s[i], v_lane.timeout_s) AS total_s) AS wait
                ON CONFLICT (request_id) DO NOTHING;
            END IF;
            IF v_codes[i] IS NOT NULL OR NOT FOUND THEN
                -- The gateway asks again with the same id when an answer was lost: that one was accepted.
                IF EXISTS (SELECT 1 FROM scheduler.request r WHERE r.request_id = v_ids[i]
                           AND r.space_id = v_lane.space_id AND r.principal_id = p_principal_ids[i]) THEN
                    v_codes[i] := NULL;
                    v_duplicates[i] := true;
                ELSIF v_codes[i] IS NULL THEN
                    v_codes[i] := 'invalid_request';  -- the id is another principal's
                END IF;
                CONTINUE;
            END IF;
            v_seq := v_seq + 1;
            v_queued := v_queued + 1;
            v_positions[i] := v_queued;
            IF p_priorities[i] > v_lowest THEN
                v_positions[i] := scheduler.queue_position(v_lane.space_id, p_priorities[i], v_seq - 1);
            END IF;
        END LOOP;
        IF v_seq > v_lane.next_seq THEN
            UPDATE scheduler.lane l SET next_seq = v_seq, queued = v_queued
            WHERE l.space_id = v_lane.space_id;
            v_new := scheduler.claim(v_lane.space_id);
            IF cardinality(v_new) > 0 THEN
                v_claimed := v_claimed || v_new;
                SELECT array_agg(CASE WHEN e.space_id = v_lane.space_id
                                      THEN e.place - cardinality(v_new) ELSE e.place END ORDER BY e.nth)
                INTO v_positions
                FROM unnest(p_space_ids, v_positions) WITH ORDINALITY AS e (space_id, place, nth);
            END IF;
        END IF;
    END LOOP;
    IF v_keyed THEN
        PERFORM scheduler.give_back_keys(p_request_ids, p_principal_ids, p_keys);
    END IF;
    RETURN QUERY
        SELECT 'verdict', e.nth::int, e.id, e.code, r.state,
               CASE WHEN r.state = 'queued' THEN greatest(1, coalesce(e.place,
                   scheduler.queue_position(r.space_id, r.priority, r.seq))) END,
               coalesce(l.queued, 0), l.running,
               (SELECT s.slots FROM scheduler.lane_slots(p_space_ids[e.nth]) s), l.mean_run_s, e.again,
               p_space_ids[e.nth], r.attempt, NULL::text, NULL::text, NULL::bytea, NULL::bytea, NULL::text,
               NULL::bigint
        FROM unnest(v_ids, v_codes, v_duplicates, v_positions) WITH ORDINALITY AS e (id, code, again, place, nth)
        LEFT JOIN scheduler.request r ON r.request_id = e.id AND e.code IS NULL
        LEFT JOIN scheduler.lane l ON l.space_id = p_space_ids[e.nth]
        ORDER BY e.nth;
    RETURN QUERY
        SELECT 'job', NULL::int, j.request_id, NULL::text, NULL::text, NULL::int, j.queue_size, NULL::int,
               NULL::int, NULL::float8, false, j.space_id, j.attempt, j.connection_id, j.route,
               CASE WHEN j.request_id = ANY (p_request_ids) THEN NULL ELSE j.payload END, j.files,
               j.upload_url, j.remaining_ms
        FROM scheduler.jobs(v_claimed) j;
    RETURN QUERY
        SELECT 'lane', NULL::int, NULL::text, NULL::text, NULL::text, NULL::int, l.queued, l.running,
               NULL::int, NULL::float8, false, l.space_id, NULL::int, NULL::text, NULL::text, NULL::bytea,
               NULL::bytea, NULL::text, NULL::bigint
        FROM scheduler.lane l WHERE l.space_id = ANY (p_space_ids);
END $$;

CREATE FUNCTION scheduler.take_keys(p_request_ids text[], p_principal_ids text[], p_keys text[], p_body_hashes text[]) RETURNS void
    LANGUAGE sql
    AS $$
    INSERT INTO scheduler.idempotency AS held (principal_id, key, body_sha256, request_id, expires_at)
    SELECT DISTINCT ON (e.principal_id, e.key)
           e.principal_id, e.key, e.body_sha256, e.request_id, clock_timestamp() + interval '24 hours'
    FROM unnest(p_request_ids, p_principal_ids, p_keys, p_body_hashes)
         WITH ORDINALITY AS e (request_id, principal_id, key, body_sha256, nth)
    WHERE e.key IS NOT NULL
    ORDER BY e.principal_id, e.key, e.nth
    ON CONFLICT (principal_id, key) DO UPDATE
    SET body_sha256 = EXCLUDED.body_sha256, request_id = EXCLUDED.request_id, expires_at = EXCLUDED.expires_at
    WHERE held.expires_at < clock_timestamp()
$$;

CREATE FUNCTION scheduler.truth(p_request_ids text[]) RETURNS TABLE(request_id text, space_id text, state text, attempt integer, created_at timestamp with time zone, started_at timestamp with time zone, finished_at timestamp with time zone, notify text, output bytea, output_files bytea, error bytea, last_n integer, processing_time_seconds double precision, worker_timestamp timestamp with time zone, send boolean, stop boolean, held_attempt integer, connection_id text, route text, payload bytea, files bytea, upload_url text, remaining_ms bigint, queue_size integer, running integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
    SELECT r.request_id, r.space_id, r.state, r.attempt, r.created_at, r.started_at, r.finished_at, r.notify,
           t.output, t.output_files, t.error, coalesce(t.last_n, 0), t.processing_time_seconds,
           t.worker_timestamp,
           send.yes AND c.route IS NOT NULL,
           (r.finished_at IS NOT NULL OR r.cancel_requested_at IS NOT NULL) AND c.route IS NOT NULL,
           a.attempt, c.connection_id, c.route,
           CASE WHEN send.yes THEN r.payload END, CASE WHEN send.yes THEN r.files END, r.upload_url,
           greatest(0, extract(epoch FROM r.due_at - (clock_timestamp() - k.stepped)) * 1000)::bigint,
           l.queued, l.running
    FROM scheduler.clock k
    CROSS JOIN (SELECT DISTINCT w.id FROM unnest(p_request_ids) AS w (id)) wanted
    JOIN scheduler.request r ON r.request_id = wanted.id
    JOIN scheduler.lane l ON l.space_id = r.space_id
    LEFT JOIN scheduler.result t ON t.request_id = r.request_id
    LEFT JOIN LATERAL (
        SELECT h.* FROM scheduler.assignment h
        WHERE h.request_id = r.request_id ORDER BY h.attempt DESC LIMIT 1  -- older ones are released
    ) a ON a.released_at IS NOT DISTINCT FROM NULL::timestamptz
    LEFT JOIN scheduler.connection c ON c.connection_id = a.connection_id AND c.ended_at IS NULL
    CROSS JOIN LATERAL (
        SELECT r.state = 'running' AND a.attempt IS NOT DISTINCT FROM r.attempt AND a.accepted_at IS NULL
               AND r.cancel_requested_at IS NULL AS yes
    ) send
$$;

CREATE TABLE scheduler.assignment (
    request_id text NOT NULL,
    attempt integer NOT NULL,
    space_id text NOT NULL,
    connection_id text NOT NULL,
    instance_id text NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    offered_at timestamp with time zone NOT NULL,
    accepted_at timestamp with time zone,
    stop_asked_at timestamp with time zone,
    released_at timestamp with time zone
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02');

CREATE TABLE scheduler.clock (
    one boolean DEFAULT true NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    stepped interval DEFAULT '00:00:00'::interval NOT NULL,
    CONSTRAINT clock_one_check CHECK (one)
);

CREATE TABLE scheduler.connection (
    connection_id text NOT NULL,
    space_id text NOT NULL,
    instance_id text NOT NULL,
    route text NOT NULL,
    slots integer NOT NULL,
    age bigint NOT NULL,
    live boolean DEFAULT true NOT NULL,
    draining boolean DEFAULT false NOT NULL,
    refusals integer DEFAULT 0 NOT NULL,
    paused_until timestamp with time zone,
    attached_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT connection_connection_id_check CHECK ((connection_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT connection_slots_check CHECK ((slots > 0))
)
WITH (fillfactor='70');

ALTER TABLE scheduler.connection ALTER COLUMN age ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME scheduler.connection_age_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE scheduler.idempotency (
    principal_id text NOT NULL,
    key text NOT NULL,
    body_sha256 text NOT NULL,
    request_id text NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE scheduler.lane (
    space_id text NOT NULL,
    tenant_id text NOT NULL,
    enabled boolean NOT NULL,
    closed_at timestamp with time zone,
    inputs text[] NOT NULL,
    when_offline text NOT NULL,
    max_queue integer NOT NULL,
    queue_timeout_s double precision NOT NULL,
    run_timeout_s double precision NOT NULL,
    timeout_s double precision NOT NULL,
    max_attempts integer NOT NULL,
    retry_after_start boolean NOT NULL,
    next_seq bigint DEFAULT 1 NOT NULL,
    queued integer DEFAULT 0 NOT NULL,
    running integer DEFAULT 0 NOT NULL,
    mean_run_s double precision,
    CONSTRAINT lane_queued_check CHECK ((queued >= 0)),
    CONSTRAINT lane_running_check CHECK ((running >= 0)),
    CONSTRAINT lane_space_id_check CHECK ((space_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT lane_when_offline_check CHECK ((when_offline = ANY (ARRAY['reject'::text, 'queue'::text])))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.05');

CREATE TABLE scheduler.leader (
    duty text NOT NULL,
    holder text NOT NULL,
    lease_until timestamp with time zone NOT NULL
);

CREATE TABLE scheduler.request (
    request_id text NOT NULL,
    space_id text NOT NULL,
    tenant_id text NOT NULL,
    principal_id text NOT NULL,
    state text NOT NULL,
    priority integer NOT NULL,
    seq bigint NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    queue_timeout_s double precision NOT NULL,
    run_timeout_s double precision NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL,
    total_due_at timestamp with time zone NOT NULL,
    cancel_requested_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    inputs text[] NOT NULL,
    payload bytea NOT NULL,
    files bytea,
    upload_url text,
    notify text,
    CONSTRAINT request_check CHECK (((finished_at IS NULL) = (state = ANY (ARRAY['queued'::text, 'running'::text])))),
    CONSTRAINT request_request_id_check CHECK ((request_id ~ '^[0-9a-z]{20,32}$'::text)),
    CONSTRAINT request_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text, 'expired'::text]))),
    CONSTRAINT request_tries_check CHECK ((tries >= 0))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02');

CREATE TABLE scheduler.result (
    request_id text NOT NULL,
    attempt integer NOT NULL,
    from_worker boolean NOT NULL,
    output bytea,
    output_files bytea,
    error bytea,
    last_n integer DEFAULT 0 NOT NULL,
    processing_time_seconds double precision,
    worker_timestamp timestamp with time zone
);

ALTER TABLE ONLY scheduler.assignment
    ADD CONSTRAINT assignment_pkey PRIMARY KEY (request_id, attempt);

ALTER TABLE ONLY scheduler.clock
    ADD CONSTRAINT clock_pkey PRIMARY KEY (one);

ALTER TABLE ONLY scheduler.connection
    ADD CONSTRAINT connection_pkey PRIMARY KEY (connection_id);

ALTER TABLE ONLY scheduler.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (principal_id, key);

ALTER TABLE ONLY scheduler.lane
    ADD CONSTRAINT lane_pkey PRIMARY KEY (space_id);

ALTER TABLE ONLY scheduler.leader
    ADD CONSTRAINT leader_pkey PRIMARY KEY (duty);

ALTER TABLE ONLY scheduler.request
    ADD CONSTRAINT request_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY scheduler.result
    ADD CONSTRAINT result_pkey PRIMARY KEY (request_id);

CREATE INDEX assignment_held ON scheduler.assignment USING btree (connection_id) WHERE (released_at IS NULL);

CREATE INDEX assignment_stopping ON scheduler.assignment USING btree (stop_asked_at) WHERE ((released_at IS NULL) AND (stop_asked_at IS NOT NULL));

CREATE INDEX assignment_unaccepted ON scheduler.assignment USING btree (offered_at) WHERE ((accepted_at IS NULL) AND (released_at IS NULL));

CREATE INDEX connection_live ON scheduler.connection USING btree (space_id, age) WHERE live;

CREATE INDEX connection_paused ON scheduler.connection USING btree (paused_until) WHERE (live AND (paused_until IS NOT NULL));

CREATE INDEX idempotency_expiry ON scheduler.idempotency USING btree (expires_at);

CREATE INDEX lane_shut ON scheduler.lane USING btree (space_id) WHERE ((NOT enabled) OR (closed_at IS NOT NULL));

CREATE INDEX request_cancel ON scheduler.request USING btree (cancel_requested_at) WHERE ((state = 'running'::text) AND (cancel_requested_at IS NOT NULL));

CREATE INDEX request_due ON scheduler.request USING btree (due_at) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));

CREATE INDEX request_order ON scheduler.request USING btree (space_id, priority DESC, seq) WHERE (state = 'queued'::text);

CREATE INDEX request_page_space ON scheduler.request USING btree (space_id, request_id);

CREATE INDEX request_page_tenant ON scheduler.request USING btree (tenant_id, request_id);

CREATE INDEX request_running ON scheduler.request USING btree (space_id) WHERE (state = 'running'::text);

CREATE TRIGGER request_end_is_final BEFORE UPDATE ON scheduler.request FOR EACH ROW WHEN ((old.finished_at IS NOT NULL)) EXECUTE FUNCTION scheduler.refuse_change();

ALTER TABLE ONLY scheduler.connection
    ADD CONSTRAINT connection_space_id_fkey FOREIGN KEY (space_id) REFERENCES scheduler.lane(space_id);

GRANT USAGE ON SCHEMA scheduler TO spaces_scheduler;
GRANT USAGE ON SCHEMA scheduler TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.accept_many(p_connection_ids text[], p_request_ids text[], p_attempts integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.accept_many(p_connection_ids text[], p_request_ids text[], p_attempts integer[]) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.alone(p_duty integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.attach(p_space_id text, p_connection_id text, p_instance_id text, p_route text, p_slots integer, p_in_flight jsonb, p_supersedes text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.attach(p_space_id text, p_connection_id text, p_instance_id text, p_route text, p_slots integer, p_in_flight jsonb, p_supersedes text[]) TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.cancel_many(p_request_ids text[], p_tenant_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.cancel_many(p_request_ids text[], p_tenant_ids text[]) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.claim(p_space_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.connection_drain(p_connection_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.connection_drain(p_connection_id text) TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.deadline_clock() FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.deadline_clock() TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.detach(p_connection_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.detach(p_connection_ids text[]) TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.end_running(p_request_id text, p_to text, p_code text, p_message text) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.expire_step(p_expected timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.expire_step(p_expected timestamp with time zone) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.finish_many(p_space_ids text[], p_connection_ids text[], p_request_ids text[], p_attempts integer[], p_states text[], p_outputs bytea[], p_output_files bytea[], p_errors bytea[], p_last_ns integer[], p_processing_times double precision[], p_timestamps timestamp with time zone[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.finish_many(p_space_ids text[], p_connection_ids text[], p_request_ids text[], p_attempts integer[], p_states text[], p_outputs bytea[], p_output_files bytea[], p_errors bytea[], p_last_ns integer[], p_processing_times double precision[], p_timestamps timestamp with time zone[]) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.force_cancel_step(p_expected timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.force_cancel_step(p_expected timestamp with time zone) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.forget_step() FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.forget_step() TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.give_back_keys(p_request_ids text[], p_principal_ids text[], p_keys text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.jobs(p_request_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.lane_close(p_space_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.lane_close(p_space_id text) TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.lane_open(p_space_id text, p_tenant_id text, p_enabled boolean, p_inputs text[], p_policy jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.lane_open(p_space_id text, p_tenant_id text, p_enabled boolean, p_inputs text[], p_policy jsonb) TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.lane_slots(p_space_id text, OUT connections integer, OUT slots integer, OUT free integer) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.lane_slots(p_space_id text, OUT connections integer, OUT slots integer, OUT free integer) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.lock_lanes(p_space_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.lose(p_connection_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.mass_change_step() FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.mass_change_step() TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.problem(p_code text, p_message text) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.queue_position(p_space_id text, p_priority integer, p_seq bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.queue_position(p_space_id text, p_priority integer, p_seq bigint) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.queues(p_space_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.queues(p_space_ids text[]) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.refuse_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.refuse_many(p_space_ids text[], p_connection_ids text[], p_request_ids text[], p_attempts integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.refuse_many(p_space_ids text[], p_connection_ids text[], p_request_ids text[], p_attempts integer[]) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.repair_step() FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.repair_step() TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.requeue(p_request_id text, p_costs_try boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.resume_step() FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.resume_step() TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.settle(p_request_id text, p_from text, p_to text, p_error bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.shift_clock(p_generation bigint, p_step_s double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.shift_clock(p_generation bigint, p_step_s double precision) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.stop_again_step() FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.stop_again_step() TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.submit_many(p_request_ids text[], p_space_ids text[], p_tenant_ids text[], p_principal_ids text[], p_payloads bytea[], p_inputs text[], p_files bytea[], p_upload_urls text[], p_priorities integer[], p_queue_timeouts_s double precision[], p_run_timeouts_s double precision[], p_timeouts_s double precision[], p_keys text[], p_body_hashes text[], p_notifies text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.submit_many(p_request_ids text[], p_space_ids text[], p_tenant_ids text[], p_principal_ids text[], p_payloads bytea[], p_inputs text[], p_files bytea[], p_upload_urls text[], p_priorities integer[], p_queue_timeouts_s double precision[], p_run_timeouts_s double precision[], p_timeouts_s double precision[], p_keys text[], p_body_hashes text[], p_notifies text[]) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.take_keys(p_request_ids text[], p_principal_ids text[], p_keys text[], p_body_hashes text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.truth(p_request_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.truth(p_request_ids text[]) TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.assignment TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.clock TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.connection TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.idempotency TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.lane TO spaces_scheduler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE scheduler.leader TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.request TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.result TO spaces_scheduler;
