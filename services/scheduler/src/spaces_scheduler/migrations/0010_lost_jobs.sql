-- A job that nobody took is sent again also when its request ended meanwhile or is to be cancelled.
--
-- Otherwise a job that was lost on its way, and cancelled before it was repeated, kept its slot: the worker heard of
-- the cancel alone, remembered it for the job, and had nothing to confirm. The stop is sent before the job, so that
-- the job meets what the worker remembers, and is confirmed as cancelled without a start.
CREATE OR REPLACE FUNCTION scheduler.truth(p_request_ids text[]) RETURNS TABLE (
    request_id text, space_id text, state text, attempt int, created_at timestamptz, started_at timestamptz,
    finished_at timestamptz, notify text, output bytea, output_files bytea, error bytea, last_n int,
    processing_time_seconds float8, worker_timestamp timestamptz,
    send boolean, stop boolean, held_attempt int, connection_id text, route text, payload bytea, files bytea,
    upload_url text, remaining_ms bigint, queue_size int, running int)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
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
