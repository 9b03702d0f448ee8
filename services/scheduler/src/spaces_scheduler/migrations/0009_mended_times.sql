-- The wall clock stepped, and some times were written before anybody saw it: they are as wrong as the step is large.
-- A job offered an hour from now would not be repeated for an hour, a request made an hour ago would expire at once.
--
-- `p_step_s` was accounted for by shift_clock before, `p_since_s` ago at the most the clock was right. A wrong time
-- is one that lies about the step from now: after a step forward in the future, where no right one can be; after a
-- step back among right ones of that age, which may be moved along: they wait so much longer, once.
CREATE FUNCTION scheduler.mend_times(p_step_s float8, p_since_s float8) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
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

REVOKE ALL ON FUNCTION scheduler.mend_times FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scheduler.mend_times TO spaces_scheduler;
