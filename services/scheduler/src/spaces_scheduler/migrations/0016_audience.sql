-- For whom a space's requests exist: empty for all of its tenant, else its maker, beside whoever sees all private ones.
ALTER TABLE scheduler.lane ADD COLUMN private_to text;
-- What lists leave out. Counters are not in it: their updates still stay in their page.
CREATE INDEX lane_private ON scheduler.lane (tenant_id, space_id) WHERE private_to IS NOT NULL;

-- Beside lane_open, so that a registry of before changes nothing of it.
CREATE FUNCTION scheduler.lane_show(p_space_id text, p_private_to text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off
AS $$
    UPDATE scheduler.lane l SET private_to = p_private_to
    WHERE l.space_id = p_space_id AND l.private_to IS DISTINCT FROM p_private_to
$$;
REVOKE ALL ON FUNCTION scheduler.lane_show FROM PUBLIC;
GRANT EXECUTE ON FUNCTION scheduler.lane_show TO spaces_registry;
