-- What the registry calls inside its own transactions. After COMMIT it sends Announce with the ids returned.

-- A space exists, or its rules changed.
CREATE FUNCTION scheduler.lane_open(p_space_id text, p_tenant_id text, p_enabled boolean, p_inputs text[],
                                    p_policy jsonb) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
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

-- A space was deleted: nothing new enters, what runs is asked to stop. The mass-change loop ends what is queued.
CREATE FUNCTION scheduler.lane_close(p_space_id text) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

-- A worker connected. Takes back what its instance still holds, ends the connections it supersedes, and claims.
-- Rows: `adopted` and `abandon` (together the in-flight ones), `announce`.
CREATE FUNCTION scheduler.attach(p_space_id text, p_connection_id text, p_instance_id text, p_route text,
    p_slots int, p_in_flight jsonb, p_supersedes text[])
RETURNS TABLE (kind text, request_id text, attempt int)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

-- Connections ended: what they ran is queued again or ends, and others get it.
CREATE FUNCTION scheduler.detach(p_connection_ids text[]) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

-- The connection finishes what it has and gets nothing more.
CREATE FUNCTION scheduler.connection_drain(p_connection_id text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM scheduler.lock_lanes(ARRAY(
        SELECT c.space_id FROM scheduler.connection c WHERE c.connection_id = p_connection_id));
    UPDATE scheduler.connection c SET draining = true
    WHERE c.connection_id = p_connection_id AND NOT c.draining;
END $$;
