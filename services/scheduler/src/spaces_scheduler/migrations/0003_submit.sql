-- Accepting requests. Element i of each array belongs to request i.
--
-- Returns rows of three kinds: `verdict`, one an element in order, with a problem's code when it was refused;
-- `job`, what was claimed and must be sent now (no payload when the request is in this very call, because the
-- caller has it); and `lane`, the counters of the lanes that were touched.
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

-- How many queued requests would start no later than this one, itself among them.
CREATE FUNCTION scheduler.queue_position(p_space_id text, p_priority int, p_seq bigint) RETURNS int
LANGUAGE sql VOLATILE AS $$
    SELECT count(*)::int FROM scheduler.request r
    WHERE r.space_id = p_space_id AND r.state = 'queued'
      AND (r.priority > p_priority OR (r.priority = p_priority AND r.seq <= p_seq))
$$;

-- Reserves idempotency keys in one sorted statement, so that two calls never wait for each other in a circle.
-- A key that somebody else holds stays his.
CREATE FUNCTION scheduler.take_keys(
    p_request_ids text[], p_principal_ids text[], p_keys text[], p_body_hashes text[]) RETURNS void
LANGUAGE sql VOLATILE AS $$
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

-- A refused request keeps no key: the next try with it is a first one.
CREATE FUNCTION scheduler.give_back_keys(p_request_ids text[], p_principal_ids text[], p_keys text[])
RETURNS void LANGUAGE sql VOLATILE AS $$
    DELETE FROM scheduler.idempotency k
    USING unnest(p_request_ids, p_principal_ids, p_keys) AS e (request_id, principal_id, key)
    WHERE k.principal_id = e.principal_id AND k.key = e.key AND k.request_id = e.request_id
      AND NOT EXISTS (SELECT 1 FROM scheduler.request r WHERE r.request_id = e.request_id)
$$;
