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

CREATE FUNCTION scheduler.added(p_some bigint[], p_more bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT array_agg(e.a + e.b ORDER BY e.nth) FROM unnest(p_some, p_more) WITH ORDINALITY AS e (a, b, nth)
$$;

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

CREATE FUNCTION scheduler.broken(p_request_id text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'request % was changed without the lock of its lane', p_request_id;
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
    LANGUAGE sql
    AS $$
    SELECT coalesce(array_agg(j.request_id), '{}') FROM scheduler.claim_jobs(ARRAY[p_space_id]) j
$$;

CREATE FUNCTION scheduler.claim_jobs(p_space_ids text[]) RETURNS TABLE(request_id text, space_id text, attempt integer, connection_id text, route text, payload bytea, files bytea, upload_url text, remaining_ms bigint, queue_size integer, running integer)
    LANGUAGE plpgsql
    AS $$
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
    AS $$
#variable_conflict use_column
DECLARE
    v_waiting text[];
    v_now timestamptz;
    v_wall timestamptz;
BEGIN
    SELECT array_agg(l.space_id) FILTER (WHERE l.queued > 0) INTO v_waiting
    FROM (
        SELECT l.space_id, l.queued FROM scheduler.lane l WHERE l.space_id = ANY (p_space_ids)
        ORDER BY l.space_id FOR NO KEY UPDATE
    ) l;
    v_now := scheduler.deadline_clock();
    v_wall := clock_timestamp();
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT f.nth, f.space_id, f.connection_id, f.request_id, f.attempt, f.known, f.told, f.refusals,
               f.created_at, f.started_at, f.notify, f.run_s,
               f.known AND f.held AS frees, f.known AND f.runs AS ends,
               -- Nobody asked for it: the worker gave up by itself.
               CASE WHEN f.told_state = 'cancelled' AND f.cancel_requested_at IS NULL
                    THEN 'failed' ELSE f.told_state END AS final,
               CASE WHEN f.told_state <> 'cancelled' OR p_errors[f.nth] IS NOT NULL THEN p_errors[f.nth]
                    WHEN f.cancel_requested_at IS NULL
                        THEN scheduler.problem('handler_failed', 'The worker gave up')
                    ELSE scheduler.problem('cancelled', 'Cancelled') END AS final_error
        FROM (
            SELECT e.*, r.request_id IS NOT NULL AND a.request_id IS NOT NULL AS known,
                   a.released_at IS NULL AS held,
                   a.released_at IS NULL AND r.state = 'running' AND r.attempt = e.attempt AS runs,
                   c.refusals, r.cancel_requested_at, r.created_at, r.started_at, r.notify,
                   t.from_worker AND t.attempt = e.attempt AS told,
                   greatest(0, extract(epoch FROM v_now - a.claimed_at))::float8 AS run_s
            FROM (
                SELECT i.nth::int, p_space_ids[i.nth] AS space_id, p_connection_ids[i.nth] AS connection_id,
                       i.request_id, p_attempts[i.nth] AS attempt, p_states[i.nth] AS told_state
                FROM unnest(p_request_ids) WITH ORDINALITY AS i (request_id, nth)
            ) e
            LEFT JOIN LATERAL (
                SELECT c.instance_id, c.refusals FROM scheduler.connection c
                WHERE c.connection_id = e.connection_id AND c.space_id = e.space_id OFFSET 0
            ) c ON true
            LEFT JOIN LATERAL (
                SELECT r.request_id, r.state, r.attempt, r.cancel_requested_at, r.created_at, r.started_at,
                       r.finished_at, r.notify
                FROM scheduler.request r WHERE r.request_id = e.request_id AND r.space_id = e.space_id OFFSET 0
            ) r ON true
            LEFT JOIN LATERAL (
                SELECT a.request_id, a.released_at, a.claimed_at FROM scheduler.assignment a
                WHERE a.request_id = e.request_id AND a.attempt = e.attempt AND a.instance_id = c.instance_id
                OFFSET 0
            ) a ON true
            LEFT JOIN LATERAL (
                SELECT t.from_worker, t.attempt FROM scheduler.result t
                WHERE t.request_id = e.request_id AND r.finished_at IS NOT NULL OFFSET 0
            ) t ON true
        ) f
    ), released AS (
        UPDATE scheduler.assignment a SET released_at = v_now, accepted_at = coalesce(a.accepted_at, v_now)
        FROM judged j
        WHERE a.request_id = j.request_id AND a.attempt = j.attempt AND j.frees
    ), ended AS (
        UPDATE scheduler.request r SET state = j.final, finished_at = v_wall
        FROM judged j
        WHERE r.request_id = j.request_id AND r.attempt = j.attempt AND j.ends
          AND (r.state = 'running' OR scheduler.broken(j.request_id))
    ), stored AS (
        INSERT INTO scheduler.result (request_id, attempt, from_worker, output, output_files, error, last_n,
                                      processing_time_seconds, worker_timestamp)
        SELECT j.request_id, j.attempt, true, p_outputs[j.nth], p_output_files[j.nth], j.final_error,
               p_last_ns[j.nth], p_processing_times[j.nth], p_timestamps[j.nth]
        FROM judged j WHERE j.ends
    ), calmed AS (
        UPDATE scheduler.connection c SET refusals = 0
        WHERE c.connection_id = ANY (ARRAY(SELECT j.connection_id FROM judged j WHERE j.ends AND j.refusals > 0))
    ), counted AS (
        UPDATE scheduler.lane l
        SET running = l.running - n.ended,
            mean_run_s = CASE
                WHEN n.good = 0 THEN l.mean_run_s
                WHEN l.mean_run_s IS NULL THEN n.run_s
                ELSE n.run_s + power(0.8, n.good) * (l.mean_run_s - n.run_s) END
        FROM (
            SELECT j.space_id, count(*)::int AS ended, count(*) FILTER (WHERE j.final = 'succeeded') AS good,
                   avg(j.run_s) FILTER (WHERE j.final = 'succeeded') AS run_s
            FROM judged j WHERE j.ends GROUP BY j.space_id
        ) n
        WHERE l.space_id = n.space_id
        RETURNING l.space_id, l.queued, l.running
    )
    SELECT 'verdict', j.nth, j.request_id,
           CASE WHEN NOT j.known THEN 'unknown' WHEN j.ends OR j.told THEN 'stored' ELSE 'stale' END,
           j.ends, CASE WHEN j.ends THEN j.final END, j.created_at, j.started_at, v_wall,
           CASE WHEN j.ends THEN j.notify END, c.queued, c.running, CASE WHEN j.ends THEN j.final_error END,
           CASE WHEN j.ends THEN j.run_s END, j.space_id, j.attempt, NULL::text, NULL::text, NULL::bytea,
           NULL::bytea, NULL::text, NULL::bigint
    FROM judged j LEFT JOIN counted c USING (space_id);
    IF v_waiting IS NOT NULL THEN
        RETURN QUERY
            SELECT 'job', NULL::int, j.request_id, NULL::text, false, NULL::text, NULL::timestamptz,
                   NULL::timestamptz, NULL::timestamptz, NULL::text, j.queue_size, j.running, NULL::bytea,
                   NULL::float8, j.space_id, j.attempt, j.connection_id, j.route, j.payload, j.files,
                   j.upload_url, j.remaining_ms
            FROM scheduler.claim_jobs(v_waiting) j;
    END IF;
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

CREATE FUNCTION scheduler.lane_show(p_space_id text, p_private_to text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
    UPDATE scheduler.lane l SET private_to = p_private_to
    WHERE l.space_id = p_space_id AND l.private_to IS DISTINCT FROM p_private_to
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

CREATE FUNCTION scheduler.mend_times(p_step_s double precision, p_since_s double precision) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_material TO 'off'
    AS $$
DECLARE
    v_step interval := make_interval(secs => p_step_s);
    v_now timestamptz := scheduler.deadline_clock();
    v_stepped interval := (SELECT k.stepped FROM scheduler.clock k);
    v_from timestamptz := v_now + v_step - make_interval(secs => p_since_s);
    v_to timestamptz := v_now + v_step + interval '1 second';
    v_mended int;
    v_jobs int;
BEGIN
    IF p_step_s > 0 THEN
        v_from := greatest(v_from, v_now + interval '500 milliseconds');
    END IF;
    PERFORM scheduler.lock_lanes(ARRAY(
        SELECT DISTINCT r.space_id FROM scheduler.request r
        LEFT JOIN scheduler.assignment a ON a.request_id = r.request_id AND a.attempt = r.attempt
        WHERE r.state IN ('queued', 'running')
          AND (r.queued_at BETWEEN v_from AND v_to OR r.cancel_requested_at BETWEEN v_from AND v_to
               OR a.claimed_at BETWEEN v_from AND v_to OR a.offered_at BETWEEN v_from AND v_to
               OR a.accepted_at BETWEEN v_from AND v_to OR a.stop_asked_at BETWEEN v_from AND v_to)));
    -- When it became due was counted from when it was claimed, else from when it was queued; all of its time from
    -- when it was made, which is when it was queued first (the wall clock was as far ahead as it is now).
    UPDATE scheduler.request r
    SET queued_at = r.queued_at - CASE WHEN w.queued THEN v_step ELSE interval '0' END,
        total_due_at = r.total_due_at - CASE WHEN w.made THEN v_step ELSE interval '0' END,
        due_at = least(r.total_due_at - CASE WHEN w.made THEN v_step ELSE interval '0' END,
                       r.due_at - CASE WHEN w.due THEN v_step ELSE interval '0' END),
        cancel_requested_at = r.cancel_requested_at - CASE WHEN w.cancelled THEN v_step ELSE interval '0' END
    FROM (
        SELECT o.request_id, o.queued_at BETWEEN v_from AND v_to AS queued,
               o.queued_at BETWEEN v_from AND v_to
                   AND abs(extract(epoch FROM o.created_at - o.queued_at - v_stepped + v_step)) < 1 AS made,
               CASE WHEN o.state = 'running' THEN coalesce(a.claimed_at, o.queued_at) ELSE o.queued_at END
                   BETWEEN v_from AND v_to AS due,
               coalesce(o.cancel_requested_at BETWEEN v_from AND v_to, false) AS cancelled
        FROM scheduler.request o
        LEFT JOIN scheduler.assignment a ON a.request_id = o.request_id AND a.attempt = o.attempt
        WHERE o.state IN ('queued', 'running')
    ) w
    WHERE r.request_id = w.request_id AND (w.queued OR w.due OR w.cancelled);
    GET DIAGNOSTICS v_mended = ROW_COUNT;
    UPDATE scheduler.assignment a
    SET claimed_at = a.claimed_at
            - CASE WHEN a.claimed_at BETWEEN v_from AND v_to THEN v_step ELSE interval '0' END,
        offered_at = a.offered_at
            - CASE WHEN a.offered_at BETWEEN v_from AND v_to THEN v_step ELSE interval '0' END,
        accepted_at = a.accepted_at
            - CASE WHEN a.accepted_at BETWEEN v_from AND v_to THEN v_step ELSE interval '0' END,
        stop_asked_at = a.stop_asked_at
            - CASE WHEN a.stop_asked_at BETWEEN v_from AND v_to THEN v_step ELSE interval '0' END
    WHERE a.released_at IS NULL
      AND (a.claimed_at BETWEEN v_from AND v_to OR a.offered_at BETWEEN v_from AND v_to
           OR a.accepted_at BETWEEN v_from AND v_to OR a.stop_asked_at BETWEEN v_from AND v_to);
    GET DIAGNOSTICS v_jobs = ROW_COUNT;
    -- A worker that was to be left alone for seconds is not left alone for an hour.
    UPDATE scheduler.connection c
    SET attached_at = least(c.attached_at, v_now),
        paused_until = CASE WHEN c.paused_until > v_from THEN v_now ELSE c.paused_until END
    WHERE p_step_s > 0 AND c.live AND (c.attached_at > v_from OR c.paused_until > v_from);
    RETURN v_mended + v_jobs;
END $$;

CREATE FUNCTION scheduler.problem(p_code text, p_message text) RETURNS bytea
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT convert_to(json_build_object('code', p_code, 'message', p_message)::text, 'UTF8')
$$;

CREATE FUNCTION scheduler.queue_position(p_space_id text, p_priority integer, p_seq bigint) RETURNS integer
    LANGUAGE sql STABLE
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
    AS $$
#variable_conflict use_column
DECLARE
    v_count int := cardinality(p_request_ids);
    v_keyed boolean := array_remove(p_keys, NULL) <> '{}';
    v_waiting text[];
    v_now timestamptz;
    v_wall timestamptz;
BEGIN
    SELECT array_agg(l.space_id) FILTER (WHERE l.queued > 0) INTO v_waiting
    FROM (
        SELECT l.space_id, l.queued FROM scheduler.lane l WHERE l.space_id = ANY (p_space_ids)
        ORDER BY l.space_id FOR NO KEY UPDATE
    ) l;
    IF v_waiting IS NOT NULL THEN
        -- Who waits was there before: whatever slot is free after this is free for those who come now.
        RETURN QUERY
            SELECT 'job', NULL::int, j.request_id, NULL::text, NULL::text, NULL::int, j.queue_size, j.running,
                   NULL::int, NULL::float8, false, j.space_id, j.attempt, j.connection_id, j.route, j.payload,
                   j.files, j.upload_url, j.remaining_ms
            FROM scheduler.claim_jobs(v_waiting) j;
    END IF;
    IF v_keyed THEN
        PERFORM scheduler.take_keys(p_request_ids, p_principal_ids, p_keys, p_body_hashes);
    END IF;
    v_now := scheduler.deadline_clock();
    v_wall := clock_timestamp();
    RETURN QUERY
    WITH lane AS MATERIALIZED (
        SELECT l.space_id, l.inputs, l.max_queue, l.queue_timeout_s, l.run_timeout_s, l.timeout_s, l.next_seq,
               l.queued, l.running, l.mean_run_s, w.slots, w.free, w.open, w.workers,
               CASE WHEN l.closed_at IS NOT NULL THEN 'space_not_found'
                    WHEN NOT l.enabled THEN 'space_disabled' END AS shut,
               l.when_offline = 'reject' AND w.slots = 0 AS offline,
               CASE WHEN l.queued > 0 THEN (
                   SELECT r.priority FROM scheduler.request r
                   WHERE r.space_id = l.space_id AND r.state = 'queued'
                   ORDER BY r.priority, r.seq DESC LIMIT 1
               ) END AS lowest
        FROM scheduler.lane l
        CROSS JOIN LATERAL (
            -- A row for each slot that can be filled, one without a level for a connection that has none.
            SELECT coalesce(sum(c.slots) FILTER (WHERE level.n IS NULL OR level.n = c.free), 0)::int AS slots,
                   coalesce(sum(c.free) FILTER (WHERE level.n IS NULL OR level.n = c.free), 0)::int AS free,
                   coalesce(sum(c.free) FILTER (WHERE level.n = c.free), 0)::int AS open,
                   array_agg(c.connection ORDER BY level.n DESC, (c.connection).age)
                       FILTER (WHERE level.n IS NOT NULL) AS workers
            FROM (
                SELECT c AS connection, c.slots, greatest(0, c.slots - held.n)::int AS free,
                       c.paused_until IS NULL OR c.paused_until <= v_now AS open
                FROM scheduler.connection c
                CROSS JOIN LATERAL (
                    SELECT count(*) AS n FROM scheduler.assignment a
                    WHERE a.connection_id = c.connection_id AND a.released_at IS NULL
                ) held
                WHERE c.space_id = l.space_id AND c.live AND NOT c.draining
                OFFSET 0
            ) c
            LEFT JOIN LATERAL generate_series(greatest(1, c.free - v_count + 1), c.free) AS level (n) ON c.open
        ) w
        WHERE l.space_id = ANY (p_space_ids)
    ), placed AS MATERIALIZED (
        SELECT r.*, r.rank <= r.room AS taken,
               CASE WHEN r.rank <= r.room THEN l.workers[r.rank] END AS worker
        FROM (
            SELECT j.*, CASE WHEN j.code IS NULL AND j.known_id IS NULL THEN row_number() OVER (
                       PARTITION BY j.space_id, j.code IS NULL AND j.known_id IS NULL
                       ORDER BY j.priority DESC, j.nth) END AS rank
            FROM (
                SELECT e.nth, e.request_id, e.space_id, e.priority,
                       coalesce(p_queue_timeouts_s[e.nth], l.queue_timeout_s) AS queue_s,
                       coalesce(p_run_timeouts_s[e.nth], l.run_timeout_s) AS run_s,
                       coalesce(p_timeouts_s[e.nth], l.timeout_s) AS total_s,
                       l.next_seq, l.lowest, l.max_queue + l.free - l.queued AS room, l.open, l.queued,
                       l.running, l.slots, l.mean_run_s,
                       known.request_id AS known_id, known.state AS known_state,
                       known.attempt AS known_attempt, known.priority AS known_priority,
                       known.seq AS known_seq, known.space_id AS known_space_id,
                       CASE
                           WHEN l.space_id IS NULL THEN 'space_not_found'
                           WHEN known.request_id <> e.request_id THEN
                               CASE WHEN k.body_sha256 <> p_body_hashes[e.nth]
                                    THEN 'idempotency_key_reused' END
                           WHEN known.space_id = e.space_id AND known.principal_id = p_principal_ids[e.nth]
                               THEN NULL
                           WHEN known.request_id IS NOT NULL THEN 'invalid_request'  -- another principal's
                           WHEN l.shut IS NOT NULL THEN l.shut
                           WHEN NOT string_to_array(p_inputs[e.nth], ',') <@ l.inputs THEN 'input_not_enabled'
                           WHEN l.offline THEN 'worker_not_connected'
                       END AS code
                FROM (
                    SELECT i.nth::int, i.request_id, p_space_ids[i.nth] AS space_id, p_priorities[i.nth] AS priority
                    FROM unnest(p_request_ids) WITH ORDINALITY AS i (request_id, nth)
                ) e
                LEFT JOIN lane l ON l.space_id = e.space_id
                LEFT JOIN LATERAL (
                    SELECT k.request_id, k.body_sha256 FROM scheduler.idempotency k
                    WHERE v_keyed AND k.principal_id = p_principal_ids[e.nth] AND k.key = p_keys[e.nth]
                    OFFSET 0
                ) k ON true
                -- The gateway asks again with the same id when an answer was lost; a client with the same key.
                LEFT JOIN LATERAL (
                    SELECT r.request_id, r.space_id, r.principal_id, r.state, r.attempt, r.priority, r.seq
                    FROM scheduler.request r WHERE r.request_id = coalesce(k.request_id, e.request_id) OFFSET 0
                ) known ON true
            ) j
        ) r
        LEFT JOIN lane l ON l.space_id = r.space_id
    ), written AS (
        INSERT INTO scheduler.request (
            request_id, space_id, tenant_id, principal_id, state, priority, seq, attempt, tries,
            queue_timeout_s, run_timeout_s, queued_at, total_due_at, created_at, started_at, due_at,
            inputs, payload, files, upload_url, notify)
        SELECT p.request_id, p.space_id, p_tenant_ids[p.nth], p_principal_ids[p.nth],
               CASE WHEN (p.worker).connection_id IS NULL THEN 'queued' ELSE 'running' END,
               p.priority, p.next_seq + p.rank - 1,
               ((p.worker).connection_id IS NOT NULL)::int, ((p.worker).connection_id IS NOT NULL)::int,
               p.queue_s, p.run_s, v_now, v_now + make_interval(secs => p.total_s), v_wall,
               CASE WHEN (p.worker).connection_id IS NOT NULL THEN v_wall END,
               v_now + make_interval(secs => least(
                   p.total_s, CASE WHEN (p.worker).connection_id IS NULL THEN p.queue_s ELSE p.run_s END)),
               string_to_array(p_inputs[p.nth], ','), p_payloads[p.nth], p_files[p.nth],
               p_upload_urls[p.nth], p_notifies[p.nth]
        FROM placed p WHERE p.taken
    ), given AS (
        INSERT INTO scheduler.assignment
            (request_id, attempt, space_id, connection_id, instance_id, claimed_at, offered_at)
        SELECT p.request_id, 1, p.space_id, (p.worker).connection_id, (p.worker).instance_id, v_now, v_now
        FROM placed p WHERE (p.worker).connection_id IS NOT NULL
    ), counted AS (
        UPDATE scheduler.lane l
        SET next_seq = l.next_seq + n.taken, queued = l.queued + n.taken - n.given, running = l.running + n.given
        FROM (
            SELECT p.space_id, count(*)::int AS taken, count((p.worker).connection_id)::int AS given
            FROM placed p WHERE p.taken GROUP BY p.space_id
        ) n
        WHERE l.space_id = n.space_id
        RETURNING l.space_id, l.queued, l.running
    )
    SELECT 'verdict', p.nth, coalesce(CASE WHEN p.code IS NULL THEN p.known_id END, p.request_id),
           CASE WHEN p.code IS NOT NULL OR p.known_id IS NOT NULL OR p.taken THEN p.code ELSE 'queue_full' END,
           CASE WHEN p.code IS NOT NULL THEN NULL
                WHEN p.known_id IS NOT NULL THEN p.known_state
                WHEN (p.worker).connection_id IS NOT NULL THEN 'running'
                WHEN p.taken THEN 'queued' END,
           CASE WHEN p.code IS NOT NULL THEN NULL
                WHEN p.known_state = 'queued'
                    THEN scheduler.queue_position(p.known_space_id, p.known_priority, p.known_seq) + (
                        SELECT count(*)::int FROM placed o
                        WHERE o.space_id = p.known_space_id AND o.priority > p.known_priority
                          AND o.taken AND (o.worker).connection_id IS NULL)
                WHEN p.taken AND (p.worker).connection_id IS NULL
                    THEN p.rank::int - p.open + CASE
                        WHEN p.priority > p.lowest
                            THEN scheduler.queue_position(p.space_id, p.priority, p.next_seq - 1)
                        ELSE p.queued END
           END,
           coalesce(c.queued, p.queued, 0), coalesce(c.running, p.running), coalesce(p.slots, 0), p.mean_run_s,
           p.known_id IS NOT NULL AND p.code IS NULL, p.space_id,
           coalesce(p.known_attempt, ((p.worker).connection_id IS NOT NULL)::int), (p.worker).connection_id,
           (p.worker).route, NULL::bytea, NULL::bytea, NULL::text,
           greatest(0, least(p.total_s, p.run_s) * 1000)::bigint
    FROM placed p LEFT JOIN counted c USING (space_id);
    IF v_keyed THEN
        PERFORM scheduler.give_back_keys(p_request_ids, p_principal_ids, p_keys);
    END IF;
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
        SELECT r.state <> 'queued' AND a.attempt IS NOT DISTINCT FROM r.attempt AND a.accepted_at IS NULL AS yes
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

CREATE TABLE scheduler.figures (
    minute timestamp with time zone NOT NULL,
    accepted bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed bigint NOT NULL,
    cancelled bigint NOT NULL,
    expired bigint NOT NULL,
    waits bigint[] NOT NULL,
    runs bigint[] NOT NULL,
    looks integer NOT NULL,
    queued_sum bigint NOT NULL,
    queued_max integer NOT NULL,
    running_sum bigint NOT NULL
)
WITH (fillfactor='50');

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
    private_to text,
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

CREATE TABLE scheduler.retry (
    request_id text NOT NULL,
    retry_of text NOT NULL,
    noted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT retry_request_id_check CHECK ((request_id ~ '^[0-9a-z]{20,32}$'::text))
);

ALTER TABLE ONLY scheduler.assignment
    ADD CONSTRAINT assignment_pkey PRIMARY KEY (request_id, attempt);

ALTER TABLE ONLY scheduler.clock
    ADD CONSTRAINT clock_pkey PRIMARY KEY (one);

ALTER TABLE ONLY scheduler.connection
    ADD CONSTRAINT connection_pkey PRIMARY KEY (connection_id);

ALTER TABLE ONLY scheduler.figures
    ADD CONSTRAINT figures_pkey PRIMARY KEY (minute);

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

ALTER TABLE ONLY scheduler.retry
    ADD CONSTRAINT retry_pkey PRIMARY KEY (request_id);

CREATE INDEX assignment_held ON scheduler.assignment USING btree (connection_id) WHERE (released_at IS NULL);

CREATE INDEX assignment_stopping ON scheduler.assignment USING btree (stop_asked_at) WHERE ((released_at IS NULL) AND (stop_asked_at IS NOT NULL));

CREATE INDEX assignment_unaccepted ON scheduler.assignment USING btree (offered_at) WHERE ((accepted_at IS NULL) AND (released_at IS NULL));

CREATE INDEX connection_live ON scheduler.connection USING btree (space_id, age) WHERE live;

CREATE INDEX connection_paused ON scheduler.connection USING btree (paused_until) WHERE (live AND (paused_until IS NOT NULL));

CREATE INDEX idempotency_expiry ON scheduler.idempotency USING btree (expires_at);

CREATE INDEX lane_by_tenant ON scheduler.lane USING btree (tenant_id);

CREATE INDEX lane_private ON scheduler.lane USING btree (tenant_id, space_id) WHERE (private_to IS NOT NULL);

CREATE INDEX lane_shut ON scheduler.lane USING btree (space_id) WHERE ((NOT enabled) OR (closed_at IS NOT NULL));

CREATE INDEX request_cancel ON scheduler.request USING btree (cancel_requested_at) WHERE ((state = 'running'::text) AND (cancel_requested_at IS NOT NULL));

CREATE INDEX request_due ON scheduler.request USING btree (due_at) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));

CREATE INDEX request_order ON scheduler.request USING btree (space_id, priority DESC, seq) WHERE (state = 'queued'::text);

CREATE INDEX request_page_space ON scheduler.request USING btree (space_id, request_id);

CREATE INDEX request_page_tenant ON scheduler.request USING btree (tenant_id, request_id);

CREATE INDEX request_running ON scheduler.request USING btree (space_id) WHERE (state = 'running'::text);

CREATE INDEX request_unsuccessful ON scheduler.request USING btree (state, request_id, tenant_id, space_id) WHERE (state = ANY (ARRAY['failed'::text, 'cancelled'::text, 'expired'::text]));

CREATE INDEX retry_by_first ON scheduler.retry USING btree (retry_of);

CREATE TRIGGER request_end_is_final BEFORE UPDATE ON scheduler.request FOR EACH ROW WHEN ((old.finished_at IS NOT NULL)) EXECUTE FUNCTION scheduler.refuse_change();

ALTER TABLE ONLY scheduler.connection
    ADD CONSTRAINT connection_space_id_fkey FOREIGN KEY (space_id) REFERENCES scheduler.lane(space_id);

GRANT USAGE ON SCHEMA scheduler TO spaces_scheduler;
GRANT USAGE ON SCHEMA scheduler TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.accept_many(p_connection_ids text[], p_request_ids text[], p_attempts integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.accept_many(p_connection_ids text[], p_request_ids text[], p_attempts integer[]) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.added(p_some bigint[], p_more bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.added(p_some bigint[], p_more bigint[]) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.alone(p_duty integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.attach(p_space_id text, p_connection_id text, p_instance_id text, p_route text, p_slots integer, p_in_flight jsonb, p_supersedes text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.attach(p_space_id text, p_connection_id text, p_instance_id text, p_route text, p_slots integer, p_in_flight jsonb, p_supersedes text[]) TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.broken(p_request_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.cancel_many(p_request_ids text[], p_tenant_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.cancel_many(p_request_ids text[], p_tenant_ids text[]) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.claim(p_space_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.claim_jobs(p_space_ids text[]) FROM PUBLIC;

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

REVOKE ALL ON FUNCTION scheduler.lane_close(p_space_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.lane_close(p_space_id text) TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.lane_open(p_space_id text, p_tenant_id text, p_enabled boolean, p_inputs text[], p_policy jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.lane_open(p_space_id text, p_tenant_id text, p_enabled boolean, p_inputs text[], p_policy jsonb) TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.lane_show(p_space_id text, p_private_to text) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.lane_show(p_space_id text, p_private_to text) TO spaces_registry;

REVOKE ALL ON FUNCTION scheduler.lane_slots(p_space_id text, OUT connections integer, OUT slots integer, OUT free integer) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.lane_slots(p_space_id text, OUT connections integer, OUT slots integer, OUT free integer) TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.lock_lanes(p_space_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.lose(p_connection_ids text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION scheduler.mass_change_step() FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.mass_change_step() TO spaces_scheduler;

REVOKE ALL ON FUNCTION scheduler.mend_times(p_step_s double precision, p_since_s double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION scheduler.mend_times(p_step_s double precision, p_since_s double precision) TO spaces_scheduler;

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

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE scheduler.figures TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.idempotency TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.lane TO spaces_scheduler;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE scheduler.leader TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.request TO spaces_scheduler;

GRANT SELECT ON TABLE scheduler.result TO spaces_scheduler;

GRANT SELECT,INSERT ON TABLE scheduler.retry TO spaces_scheduler;
