-- What is true of some requests: what must be sent, told or stopped because of it. The one source of announcements.
--
-- `send` says that a job waits to be sent on the route; `stop` that the worker there is to stop the attempt it holds.
CREATE FUNCTION scheduler.truth(p_request_ids text[]) RETURNS TABLE (
    request_id text, space_id text, state text, attempt int, created_at timestamptz, started_at timestamptz,
    finished_at timestamptz, notify text, output bytea, output_files bytea, error bytea, last_n int,
    processing_time_seconds float8, worker_timestamp timestamptz,
    send boolean, stop boolean, held_attempt int, connection_id text, route text, payload bytea, files bytea,
    upload_url text, remaining_ms bigint, queue_size int, running int)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

-- How full some lanes are.
CREATE FUNCTION scheduler.queues(p_space_ids text[]) RETURNS TABLE (
    space_id text, queue_size int, running int, slots int, free int, connected boolean, mean_run_s float8)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.space_id, l.queued, l.running, s.slots, s.free, s.connections > 0, l.mean_run_s
    FROM scheduler.lane l CROSS JOIN LATERAL scheduler.lane_slots(l.space_id) s
    WHERE l.space_id = ANY (p_space_ids) AND l.closed_at IS NULL
$$;

-- Plans are made once, maybe on empty tables, and kept. With these settings there is only one kind to choose:
-- rows found through an index, joined one by one.
DO $$
DECLARE
    v_function regprocedure;
    v_setting text;
BEGIN
    FOR v_function IN
        SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'scheduler'::regnamespace AND p.prosecdef
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan', v_function);
        FOREACH v_setting IN ARRAY ARRAY['seqscan', 'hashjoin', 'mergejoin', 'material'] LOOP
            EXECUTE format('ALTER FUNCTION %s SET enable_%s = off', v_function, v_setting);
        END LOOP;
    END LOOP;
END $$;

-- Functions are for those who are named, not for everybody.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA scheduler FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scheduler.lane_open, scheduler.lane_close, scheduler.attach, scheduler.detach,
    scheduler.connection_drain TO spaces_registry;
GRANT EXECUTE ON FUNCTION scheduler.submit_many, scheduler.finish_many, scheduler.accept_many,
    scheduler.refuse_many, scheduler.cancel_many, scheduler.expire_step, scheduler.force_cancel_step,
    scheduler.stop_again_step, scheduler.mass_change_step, scheduler.resume_step, scheduler.repair_step,
    scheduler.forget_step, scheduler.shift_clock, scheduler.truth, scheduler.queues,
    scheduler.queue_position, scheduler.lane_slots, scheduler.deadline_clock TO spaces_scheduler;
