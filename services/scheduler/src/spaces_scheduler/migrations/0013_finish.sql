-- The fence: a result counts for a running request whose current attempt was given to the same instance.
--
-- Rows: first `verdict` (stored, stale or unknown), one an element; with `finished` when this call ended the request,
-- and with the counters of its lane when it ended any there. Then `job`, what was claimed for the freed slots.
--
-- How long a run takes is a moving average in which a new one counts a fifth; those of one call count alike.
DROP FUNCTION scheduler.finish_many;
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

REVOKE ALL ON FUNCTION scheduler.finish_many FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scheduler.finish_many TO spaces_scheduler;
DROP FUNCTION scheduler.claim_lanes, scheduler.jobs;
