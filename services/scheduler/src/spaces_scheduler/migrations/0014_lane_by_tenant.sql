-- Requests of a tenant are counted by its lanes. The index names no counter: their updates still stay in their page.
CREATE INDEX lane_by_tenant ON scheduler.lane (tenant_id);
