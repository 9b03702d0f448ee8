-- Accepting requests. Element i of each array belongs to request i. A call names a request, and an idempotency key,
-- once: the callers see to that.
--
-- Rows: first `job`, what waited and was claimed before; then `verdict`, one an element, with a problem's code when it
-- was refused. A verdict with a connection is a job as well: the caller has its payload, files and address. Each row
-- has the counters of its lane as the call left them at that point.
--
-- A request that finds a free slot and nobody before it is written once, as running: claimed with its submit.
-- Plans are made once and kept (see 0007). Rows are looked up one by one; what a plan carries from node to node is
-- narrow, and taken from the arrays only where it is written.
DROP FUNCTION scheduler.submit_many;
CREATE FUNCTION scheduler.submit_many(
    p_request_ids text[], p_space_ids text[], p_tenant_ids text[], p_principal_ids text[],
    p_payloads bytea[], p_inputs text[], p_files bytea[], p_upload_urls text[], p_priorities int[],
    p_queue_timeouts_s float8[], p_run_timeouts_s float8[], p_timeouts_s float8[],
    p_keys text[], p_body_hashes text[], p_notifies text[]
) RETURNS TABLE (
    kind text, ord int, request_id text, code text, state text, "position" int, queue_size int, running int,
    slots int, mean_run_s float8, duplicate boolean, space_id text, attempt int, connection_id text,
    route text, payload bytea, files bytea, upload_url text, remaining_ms bigint
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

REVOKE ALL ON FUNCTION scheduler.submit_many FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scheduler.submit_many TO spaces_scheduler;
