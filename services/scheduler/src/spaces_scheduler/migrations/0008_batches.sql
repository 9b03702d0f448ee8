-- Submit, finish and claim, a whole batch in each statement instead of a loop over its rows.
--
-- Plans are made once and kept (see 0007), so each statement is written to allow one plan only: a table is read
-- row by row through LATERAL … OFFSET 0, or written where its key is = ANY of an array; only intermediate rows
-- are joined to each other, and those by hash.
--
-- A call names a request, and an idempotency key, once: the callers see to that.

-- Gives queued requests of these lanes to free slots; returns what was given. The lanes are locked.
-- A slot's level is how many are free on its connection when it is filled: the highest goes first, so that each
-- request goes to the connection with the most free slots, and among equals to the oldest.
CREATE FUNCTION scheduler.claim_lanes(p_space_ids text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    c_queued CONSTANT text := 'queued';
    v_now timestamptz := scheduler.deadline_clock();
    v_ids text[];
    v_connections text[];
    v_instances text[];
    v_given int;
BEGIN
    WITH slot AS MATERIALIZED (
        SELECT l.space_id, w.connection_id, w.instance_id,
               row_number() OVER (PARTITION BY l.space_id ORDER BY level.n DESC, w.age) AS nth
        FROM scheduler.lane l
        CROSS JOIN LATERAL (
            SELECT c.connection_id, c.instance_id, c.age, c.slots - held.n AS free
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
        WHERE l.space_id = ANY (p_space_ids) AND l.queued > 0 AND l.enabled AND l.closed_at IS NULL
    ), head AS MATERIALIZED (
        SELECT free.space_id, first.request_id,
               row_number() OVER (PARTITION BY free.space_id ORDER BY first.priority DESC, first.seq) AS nth
        FROM (SELECT s.space_id, count(*) AS n FROM slot s GROUP BY s.space_id) free
        CROSS JOIN LATERAL (
            SELECT r.request_id, r.priority, r.seq FROM scheduler.request r
            WHERE r.space_id = free.space_id AND r.state = 'queued' AND r.total_due_at > v_now
            ORDER BY r.priority DESC, r.seq LIMIT free.n
        ) first
    )
    SELECT array_agg(head.request_id ORDER BY head.space_id, nth),
           array_agg(slot.connection_id ORDER BY head.space_id, nth),
           array_agg(slot.instance_id ORDER BY head.space_id, nth)
    INTO v_ids, v_connections, v_instances
    FROM head JOIN slot USING (space_id, nth);
    IF v_ids IS NULL THEN
        RETURN '{}';
    END IF;
    WITH moved AS (
        UPDATE scheduler.request r
        SET state = 'running', attempt = r.attempt + 1, tries = r.tries + 1,
            started_at = clock_timestamp(),
            due_at = least(r.total_due_at, v_now + make_interval(secs => r.run_timeout_s))
        WHERE r.request_id = ANY (v_ids) AND r.state = c_queued
        RETURNING r.request_id, r.attempt, r.space_id
    ), given AS (
        INSERT INTO scheduler.assignment
            (request_id, attempt, space_id, connection_id, instance_id, claimed_at, offered_at)
        SELECT moved.request_id, moved.attempt, moved.space_id, pair.connection_id, pair.instance_id,
               v_now, v_now
        FROM moved
        JOIN unnest(v_ids, v_connections, v_instances) AS pair (request_id, connection_id, instance_id)
            USING (request_id)
    ), counted AS (
        UPDATE scheduler.lane l SET queued = l.queued - n.given, running = l.running + n.given
        FROM (SELECT moved.space_id, count(*) AS given FROM moved GROUP BY moved.space_id) n
        WHERE l.space_id = n.space_id AND l.space_id = ANY (p_space_ids)
    )
    SELECT count(*) INTO v_given FROM moved;
    IF v_given <> cardinality(v_ids) THEN
        RAISE EXCEPTION 'a queued request left its lane without the lane''s lock';
    END IF;
    RETURN v_ids;
END $$;

-- The same for one lane.
CREATE OR REPLACE FUNCTION scheduler.claim(p_space_id text) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN scheduler.claim_lanes(ARRAY[p_space_id]);
END $$;

-- Reads what was there before the statement that asks: submit_many counts its own requests itself.
ALTER FUNCTION scheduler.queue_position STABLE;

-- Accepting requests. Element i of each array belongs to request i.
--
-- Returns rows of three kinds: `verdict`, one an element in order, with a problem's code when it was refused;
-- `job`, what was claimed and must be sent now (no payload when the request is in this very call, because the
-- caller has it); and `lane`, the counters of the lanes that were touched.
--
-- A request that finds a free slot and nobody before it is written once, as running: claimed with its submit.
CREATE OR REPLACE FUNCTION scheduler.submit_many(
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
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_mergejoin = off
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_count int := cardinality(p_request_ids);
    v_keyed boolean := array_remove(p_keys, NULL) <> '{}';
    v_waiting text[];
    v_claimed text[] := '{}';
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
        v_claimed := scheduler.claim_lanes(v_waiting);
    END IF;
    IF v_keyed THEN
        PERFORM scheduler.take_keys(p_request_ids, p_principal_ids, p_keys, p_body_hashes);
    END IF;
    v_now := scheduler.deadline_clock();
    v_wall := clock_timestamp();
    RETURN QUERY
    WITH worker AS MATERIALIZED (
        SELECT l.space_id, c.*
        FROM scheduler.lane l
        CROSS JOIN LATERAL (
            SELECT c.connection_id, c.instance_id, c.route, c.age, c.slots,
                   greatest(0, c.slots - held.n)::int AS free,
                   c.paused_until IS NULL OR c.paused_until <= v_now AS open
            FROM scheduler.connection c
            CROSS JOIN LATERAL (
                SELECT count(*) AS n FROM scheduler.assignment a
                WHERE a.connection_id = c.connection_id AND a.released_at IS NULL
            ) held
            WHERE c.space_id = l.space_id AND c.live AND NOT c.draining
            OFFSET 0
        ) c
        WHERE l.space_id = ANY (p_space_ids)
    ), slot AS MATERIALIZED (
        SELECT w.space_id, w.connection_id, w.instance_id, w.route,
               row_number() OVER (PARTITION BY w.space_id ORDER BY level.n DESC, w.age) AS nth
        FROM worker w
        CROSS JOIN LATERAL generate_series(greatest(1, w.free - v_count + 1), w.free) AS level (n)
        WHERE w.open
    ), lane AS MATERIALIZED (
        SELECT l.*, coalesce(w.connections, 0) AS connections, coalesce(w.slots, 0) AS slots,
               coalesce(w.free, 0) AS free, coalesce(w.open, 0) AS open,
               CASE WHEN l.queued > 0 THEN (
                   SELECT r.priority FROM scheduler.request r
                   WHERE r.space_id = l.space_id AND r.state = 'queued'
                   ORDER BY r.priority, r.seq DESC LIMIT 1
               ) END AS lowest
        FROM scheduler.lane l
        LEFT JOIN (
            SELECT w.space_id, count(*)::int AS connections, sum(w.slots)::int AS slots, sum(w.free)::int AS free,
                   sum(w.free) FILTER (WHERE w.open)::int AS open
            FROM worker w GROUP BY w.space_id
        ) w USING (space_id)
        WHERE l.space_id = ANY (p_space_ids)
    ), judged AS MATERIALIZED (
        SELECT e.*, l.queued, l.free, l.open, l.max_queue, l.next_seq, l.lowest,
               coalesce(e.queue_timeout_s, l.queue_timeout_s) AS queue_s,
               coalesce(e.run_timeout_s, l.run_timeout_s) AS run_s,
               coalesce(e.timeout_s, l.timeout_s) AS total_s,
               string_to_array(e.inputs, ',') AS kinds,
               known.request_id AS known_id, known.state AS known_state, known.attempt AS known_attempt,
               known.priority AS known_priority, known.seq AS known_seq, known.space_id AS known_space_id,
               CASE
                   WHEN l.space_id IS NULL THEN 'space_not_found'
                   WHEN known.request_id <> e.request_id THEN
                       CASE WHEN k.body_sha256 <> e.body_hash THEN 'idempotency_key_reused' END
                   WHEN known.space_id = e.space_id AND known.principal_id = e.principal_id THEN NULL
                   WHEN known.request_id IS NOT NULL THEN 'invalid_request'  -- the id is another principal's
                   WHEN l.closed_at IS NOT NULL THEN 'space_not_found'
                   WHEN NOT l.enabled THEN 'space_disabled'
                   WHEN NOT string_to_array(e.inputs, ',') <@ l.inputs THEN 'input_not_enabled'
                   WHEN l.when_offline = 'reject' AND l.connections = 0 THEN 'worker_not_connected'
               END AS code
        FROM unnest(p_request_ids, p_space_ids, p_tenant_ids, p_principal_ids, p_payloads, p_inputs, p_files,
                    p_upload_urls, p_priorities, p_queue_timeouts_s, p_run_timeouts_s, p_timeouts_s, p_keys,
                    p_body_hashes, p_notifies) WITH ORDINALITY
             AS e (request_id, space_id, tenant_id, principal_id, payload, inputs, files, upload_url, priority,
                   queue_timeout_s, run_timeout_s, timeout_s, key, body_hash, notify, nth)
        LEFT JOIN lane l ON l.space_id = e.space_id
        LEFT JOIN LATERAL (
            SELECT k.request_id, k.body_sha256 FROM scheduler.idempotency k
            WHERE e.key IS NOT NULL AND k.principal_id = e.principal_id AND k.key = e.key OFFSET 0
        ) k ON true
        -- The gateway asks again with the same id when an answer was lost; a client with the same key.
        LEFT JOIN LATERAL (
            SELECT r.request_id, r.space_id, r.principal_id, r.state, r.attempt, r.priority, r.seq
            FROM scheduler.request r WHERE r.request_id = coalesce(k.request_id, e.request_id) OFFSET 0
        ) known ON true
    ), ranked AS MATERIALIZED (
        SELECT j.*,
               row_number() OVER (PARTITION BY j.space_id ORDER BY j.priority DESC, j.nth) AS rank
        FROM judged j WHERE j.code IS NULL AND j.known_id IS NULL
    ), placed AS MATERIALIZED (
        SELECT r.*, s.connection_id, s.instance_id, s.route,
               r.rank > r.max_queue + r.free - r.queued AS refused
        FROM ranked r
        LEFT JOIN slot s ON s.space_id = r.space_id AND s.nth = r.rank
    ), written AS (
        INSERT INTO scheduler.request (
            request_id, space_id, tenant_id, principal_id, state, priority, seq, attempt, tries,
            queue_timeout_s, run_timeout_s, queued_at, total_due_at, created_at, started_at, due_at,
            inputs, payload, files, upload_url, notify)
        SELECT p.request_id, p.space_id, p.tenant_id, p.principal_id,
               CASE WHEN p.connection_id IS NULL THEN 'queued' ELSE 'running' END,
               p.priority, p.next_seq + p.rank - 1,
               (p.connection_id IS NOT NULL)::int, (p.connection_id IS NOT NULL)::int,
               p.queue_s, p.run_s, v_now, v_now + make_interval(secs => p.total_s), v_wall,
               CASE WHEN p.connection_id IS NOT NULL THEN v_wall END,
               v_now + make_interval(secs => least(
                   p.total_s, CASE WHEN p.connection_id IS NULL THEN p.queue_s ELSE p.run_s END)),
               p.kinds, p.payload, p.files, p.upload_url, p.notify
        FROM placed p WHERE NOT p.refused ORDER BY p.space_id, p.rank
        ON CONFLICT (request_id) DO NOTHING
        RETURNING request_id, due_at
    ), given AS (
        INSERT INTO scheduler.assignment
            (request_id, attempt, space_id, connection_id, instance_id, claimed_at, offered_at)
        SELECT p.request_id, 1, p.space_id, p.connection_id, p.instance_id, v_now, v_now
        FROM placed p JOIN written USING (request_id) WHERE p.connection_id IS NOT NULL
    ), change AS MATERIALIZED (
        SELECT p.space_id, max(p.rank) AS taken, count(*) FILTER (WHERE p.connection_id IS NULL)::int AS queued,
               count(p.connection_id)::int AS running
        FROM placed p JOIN written USING (request_id) GROUP BY p.space_id
    ), counted AS (
        UPDATE scheduler.lane l
        SET next_seq = l.next_seq + c.taken, queued = l.queued + c.queued, running = l.running + c.running
        FROM change c WHERE l.space_id = c.space_id AND l.space_id = ANY (p_space_ids)
    ), after AS MATERIALIZED (
        SELECT l.space_id, l.queued + coalesce(c.queued, 0) AS queued,
               l.running + coalesce(c.running, 0) AS running, l.slots, l.mean_run_s
        FROM lane l LEFT JOIN change c USING (space_id)
    ), verdict AS (
        SELECT j.nth::int, CASE WHEN j.code IS NULL THEN coalesce(j.known_id, j.request_id)
                                ELSE j.request_id END AS request_id,
               CASE WHEN j.code IS NOT NULL THEN j.code
                    WHEN j.known_id IS NOT NULL OR w.request_id IS NOT NULL THEN NULL
                    WHEN p.refused THEN 'queue_full'
                    ELSE 'invalid_request' END AS code,  -- another call took the id just now
               CASE WHEN j.known_id IS NOT NULL THEN j.known_state
                    WHEN p.connection_id IS NULL THEN 'queued' ELSE 'running' END AS state,
               CASE
                   WHEN j.known_state = 'queued'
                       THEN scheduler.queue_position(j.known_space_id, j.known_priority, j.known_seq) + (
                           SELECT count(*)::int FROM placed o
                           WHERE o.space_id = j.known_space_id AND o.priority > j.known_priority
                             AND o.connection_id IS NULL AND NOT o.refused)
                   WHEN j.known_id IS NOT NULL OR p.connection_id IS NOT NULL THEN NULL
                   ELSE p.rank::int - j.open + CASE
                       WHEN j.priority > j.lowest
                           THEN scheduler.queue_position(j.space_id, j.priority, j.next_seq - 1)
                       ELSE j.queued END
               END AS "position",
               j.known_id IS NOT NULL AND j.code IS NULL AS duplicate, j.space_id,
               coalesce(j.known_attempt, (p.connection_id IS NOT NULL)::int) AS attempt
        FROM judged j
        LEFT JOIN placed p USING (nth)
        LEFT JOIN written w ON w.request_id = p.request_id
    )
    SELECT 'verdict', v.nth, v.request_id, v.code, CASE WHEN v.code IS NULL THEN v.state END,
           CASE WHEN v.code IS NULL THEN v."position" END, coalesce(l.queued, 0), l.running, coalesce(l.slots, 0),
           l.mean_run_s, v.duplicate, v.space_id, v.attempt, NULL, NULL, NULL::bytea, NULL::bytea, NULL,
           NULL::bigint
    FROM verdict v LEFT JOIN after l USING (space_id)
    UNION ALL
    SELECT 'job', p.nth::int, p.request_id, NULL, NULL, NULL, l.queued, NULL, NULL, NULL, false, p.space_id, 1,
           p.connection_id, p.route, NULL, p.files, p.upload_url,
           greatest(0, extract(epoch FROM w.due_at - v_now) * 1000)::bigint
    FROM placed p JOIN written w USING (request_id) JOIN after l USING (space_id)
    WHERE p.connection_id IS NOT NULL
    UNION ALL
    SELECT 'lane', NULL, NULL, NULL, NULL, NULL, l.queued, l.running, NULL, NULL, false, l.space_id, NULL, NULL,
           NULL, NULL, NULL, NULL, NULL
    FROM after l
    ORDER BY 1 DESC, 2;
    IF v_keyed THEN
        PERFORM scheduler.give_back_keys(p_request_ids, p_principal_ids, p_keys);
    END IF;
    IF v_claimed <> '{}' THEN
        RETURN QUERY
            SELECT 'job', NULL::int, j.request_id, NULL::text, NULL::text, NULL::int, j.queue_size, NULL::int,
                   NULL::int, NULL::float8, false, j.space_id, j.attempt, j.connection_id, j.route, j.payload,
                   j.files, j.upload_url, j.remaining_ms
            FROM scheduler.jobs(v_claimed) j;
    END IF;
END $$;

-- The fence: a result counts for a running request whose current attempt was given to the same instance.
-- Rows: `verdict` (stored, stale or unknown), one an element; with `finished` when this call ended the request.
-- Then `job` and `lane` as in submit_many.
CREATE OR REPLACE FUNCTION scheduler.finish_many(
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
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_mergejoin = off
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    c_running CONSTANT text := 'running';
    v_waiting text[];
    v_claimed text[] := '{}';
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
    WITH found AS MATERIALIZED (
        SELECT e.*, r.request_id IS NOT NULL AND a.request_id IS NOT NULL AS known,
               a.released_at IS NULL AS held,
               a.released_at IS NULL AND r.state = 'running' AND r.attempt = e.attempt AS runs,
               c.refusals, r.cancel_requested_at, r.created_at, r.started_at, r.notify,
               t.from_worker AND t.attempt = e.attempt AS told,
               greatest(0, extract(epoch FROM v_now - a.claimed_at))::float8 AS run_s
        FROM unnest(p_space_ids, p_connection_ids, p_request_ids, p_attempts, p_states, p_outputs,
                    p_output_files, p_errors, p_last_ns, p_processing_times, p_timestamps) WITH ORDINALITY
             AS e (space_id, connection_id, request_id, attempt, told_state, output, output_files, told_error,
                   last_n, processing_time_seconds, worker_timestamp, nth)
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
    ), judged AS MATERIALIZED (
        SELECT f.*, f.known AND f.held AS frees, f.known AND f.runs AS ends,
               -- Nobody asked for it: the worker gave up by itself.
               CASE WHEN f.told_state = 'cancelled' AND f.cancel_requested_at IS NULL
                    THEN 'failed' ELSE f.told_state END AS final,
               CASE WHEN f.told_state <> 'cancelled' OR f.told_error IS NOT NULL THEN f.told_error
                    WHEN f.cancel_requested_at IS NULL
                        THEN scheduler.problem('handler_failed', 'The worker gave up')
                    ELSE scheduler.problem('cancelled', 'Cancelled') END AS final_error
        FROM found f
    ), released AS (
        UPDATE scheduler.assignment a SET released_at = v_now, accepted_at = coalesce(a.accepted_at, v_now)
        FROM judged j
        WHERE a.request_id = ANY (p_request_ids) AND a.request_id = j.request_id AND a.attempt = j.attempt
          AND j.frees
    ), ended AS (
        UPDATE scheduler.request r SET state = j.final, finished_at = v_wall
        FROM judged j
        WHERE r.request_id = ANY (p_request_ids) AND r.request_id = j.request_id AND r.state = c_running
          AND r.attempt = j.attempt AND j.ends
    ), stored AS (
        INSERT INTO scheduler.result (request_id, attempt, from_worker, output, output_files, error, last_n,
                                      processing_time_seconds, worker_timestamp)
        SELECT j.request_id, j.attempt, true, j.output, j.output_files, j.final_error, j.last_n,
               j.processing_time_seconds, j.worker_timestamp
        FROM judged j WHERE j.ends
    ), calmed AS (
        UPDATE scheduler.connection c SET refusals = 0
        WHERE c.connection_id = ANY (ARRAY(SELECT j.connection_id FROM judged j WHERE j.ends AND j.refusals > 0))
    ), run AS (
        -- In a moving average the newest counts a fifth, and each older one four fifths of its follower.
        SELECT j.space_id, j.run_s, power(0.8, count(*) OVER lane - row_number() OVER newer) AS faded,
               first_value(j.run_s) OVER newer AS first_s
        FROM judged j WHERE j.ends AND j.final = 'succeeded'
        WINDOW lane AS (PARTITION BY j.space_id), newer AS (PARTITION BY j.space_id ORDER BY j.nth)
    ), mean AS (
        SELECT run.space_id, power(0.8, count(*)) AS faded, min(run.first_s) AS first_s,
               sum(0.2 * run.faded * run.run_s) AS recent_s
        FROM run GROUP BY run.space_id
    ), counted AS (
        UPDATE scheduler.lane l
        SET running = l.running - n.ended,
            mean_run_s = coalesce(n.faded * coalesce(l.mean_run_s, n.first_s) + n.recent_s, l.mean_run_s)
        FROM (
            SELECT e.space_id, e.ended, mean.faded, mean.first_s, mean.recent_s
            FROM (SELECT j.space_id, count(*)::int AS ended FROM judged j WHERE j.ends GROUP BY j.space_id) e
            LEFT JOIN mean USING (space_id)
        ) n
        WHERE l.space_id = ANY (p_space_ids) AND l.space_id = n.space_id
    )
    SELECT 'verdict', j.nth::int, j.request_id,
           CASE WHEN NOT j.known THEN 'unknown' WHEN j.ends OR j.told THEN 'stored' ELSE 'stale' END,
           j.ends, CASE WHEN j.ends THEN j.final END, j.created_at, j.started_at, v_wall,
           CASE WHEN j.ends THEN j.notify END, NULL::int, NULL::int, CASE WHEN j.ends THEN j.final_error END,
           CASE WHEN j.ends THEN j.run_s END, j.space_id, j.attempt, NULL::text, NULL::text, NULL::bytea,
           NULL::bytea, NULL::text, NULL::bigint
    FROM judged j ORDER BY j.nth;
    IF v_waiting IS NOT NULL THEN
        v_claimed := scheduler.claim_lanes(v_waiting);
    END IF;
    IF v_claimed <> '{}' THEN
        RETURN QUERY
            SELECT 'job', NULL::int, j.request_id, NULL::text, false, NULL::text, NULL::timestamptz,
                   NULL::timestamptz, NULL::timestamptz, NULL::text, j.queue_size, NULL::int, NULL::bytea,
                   NULL::float8, j.space_id, j.attempt, j.connection_id, j.route, j.payload, j.files,
                   j.upload_url, j.remaining_ms
            FROM scheduler.jobs(v_claimed) j;
    END IF;
    RETURN QUERY
        SELECT 'lane', NULL::int, NULL::text, NULL::text, false, NULL::text, NULL::timestamptz,
               NULL::timestamptz, NULL::timestamptz, NULL::text, l.queued, l.running, NULL::bytea,
               NULL::float8, l.space_id, NULL::int, NULL::text, NULL::text, NULL::bytea, NULL::bytea,
               NULL::text, NULL::bigint
        FROM scheduler.lane l WHERE l.space_id = ANY (p_space_ids);
END $$;

-- What must be sent for requests that were just claimed.
CREATE OR REPLACE FUNCTION scheduler.jobs(p_request_ids text[]) RETURNS TABLE (
    request_id text, space_id text, attempt int, connection_id text, route text, payload bytea, files bytea,
    upload_url text, remaining_ms bigint, queue_size int)
LANGUAGE sql VOLATILE AS $$
    SELECT r.request_id, r.space_id, r.attempt, a.connection_id, c.route, r.payload, r.files, r.upload_url,
           greatest(0, extract(epoch FROM r.due_at - now.clock) * 1000)::bigint, l.queued
    FROM unnest(p_request_ids) AS wanted (request_id)
    CROSS JOIN (SELECT scheduler.deadline_clock() AS clock OFFSET 0) now
    CROSS JOIN LATERAL (
        SELECT * FROM scheduler.request r WHERE r.request_id = wanted.request_id OFFSET 0
    ) r
    CROSS JOIN LATERAL (SELECT l.queued FROM scheduler.lane l WHERE l.space_id = r.space_id OFFSET 0) l
    CROSS JOIN LATERAL (
        SELECT a.connection_id FROM scheduler.assignment a
        WHERE a.request_id = r.request_id AND a.attempt = r.attempt OFFSET 0
    ) a
    CROSS JOIN LATERAL (
        SELECT c.route FROM scheduler.connection c WHERE c.connection_id = a.connection_id OFFSET 0
    ) c
$$;

REVOKE ALL ON FUNCTION scheduler.claim_lanes FROM PUBLIC;
