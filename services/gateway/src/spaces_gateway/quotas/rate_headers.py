"""`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): structured fields, one item a limit."""

import math

from spaces_contracts.problems import Problem
from spaces_gateway.quotas.leases import Lease

Header = tuple[bytes, bytes]
_POLICY = b"ratelimit-policy"
_LIMIT = b"ratelimit"


def rate_headers(tenant: Lease, key: Lease, now: float) -> tuple[Header, ...]:
    """What is left of each limit: what this gateway holds, and what the registry had when it last said so."""
    if key.limit is None:
        if tenant.limit is None:
            return ()
        return ((_POLICY, tenant.policy), (_LIMIT, _left(tenant, now)))
    if tenant.limit is None:
        return ((_POLICY, key.policy), (_LIMIT, _left(key, now)))
    policies = b"%s, %s" % (tenant.policy, key.policy)
    return ((_POLICY, policies), (_LIMIT, b"%s, %s" % (_left(tenant, now), _left(key, now))))


def _left(lease: Lease, now: float) -> bytes:
    ends_in_s = math.ceil(lease.ends - now)
    left = lease.left + lease.remaining
    return b"%s;r=%d;t=%d" % (
        lease.name,
        left if left > 0 else 0,
        ends_in_s if ends_in_s > 0 else 0,
    )


def headers_of(problem: Problem) -> dict[str, str]:
    """The same for a refusal, if its facts name the limit."""
    facts = problem.facts
    name, limit, window_s = facts.get("limited"), facts.get("limit"), facts.get("window_s")
    if not (_is_name(name) and isinstance(limit, int) and isinstance(window_s, int)):
        return {}
    left = f'"{name}";r=0;t={math.ceil(problem.retry_after_s or 0)}'
    return {"RateLimit-Policy": f'"{name}";q={limit};w={window_s}', "RateLimit": left}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isidentifier()
