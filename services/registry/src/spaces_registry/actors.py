"""What an actor may do. Pure. Who may not see a thing is told that it does not exist."""

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, PrincipalKind
from spaces_contracts.problems import Code

# The tenant of whoever does not care about tenants; the first migration makes it.
DEFAULT_TENANT_ID = "default0000000000000000000"

_ISSUES: dict[PrincipalKind, frozenset[PrincipalKind]] = {
    PrincipalKind.ADMIN: frozenset(PrincipalKind),
    PrincipalKind.API_KEY: frozenset({PrincipalKind.API_KEY, PrincipalKind.WORKER_TOKEN}),
    PrincipalKind.WORKER_TOKEN: frozenset(),
}


def sees_tenant(actor: Principal, tenant_id: str | None) -> bool:
    """Whether things of a tenant exist for the actor; None is what belongs to no single tenant."""
    return actor.kind is PrincipalKind.ADMIN or (
        actor.tenant_id is not None and actor.tenant_id == tenant_id
    )


def sees_space(actor: Principal, tenant_id: str, space_id: str) -> bool:
    """Whether a space exists for the actor; a worker token sees the spaces it may serve."""
    if actor.kind is PrincipalKind.WORKER_TOKEN:
        return space_id in actor.space_ids
    return sees_tenant(actor, tenant_id)


def require_admin(actor: Principal) -> None:
    """Raises `forbidden` for everybody else."""
    if actor.kind is not PrincipalKind.ADMIN:
        raise ProblemError.of(Code.FORBIDDEN, "Only an admin key may do this")


def require_manager(actor: Principal) -> None:
    """Raises `forbidden` for worker tokens: they serve spaces and change nothing."""
    if actor.kind is PrincipalKind.WORKER_TOKEN:
        raise ProblemError.of(Code.FORBIDDEN, "A worker token may only serve its spaces")


def require_issuer(actor: Principal, kind: PrincipalKind) -> None:
    """Raises `forbidden` when the actor may not make, list or revoke credentials of that kind."""
    require_manager(actor)
    if kind not in _ISSUES[actor.kind]:
        raise ProblemError.of(Code.FORBIDDEN, "Only an admin key may handle admin keys")


def tenant_filter(actor: Principal) -> str | None:
    """The tenant that lists are limited to; None for all."""
    return None if actor.kind is PrincipalKind.ADMIN else actor.tenant_id or ""


def chosen_tenant(actor: Principal, asked: str | None) -> str:
    """Where a new thing goes. Raises `tenant_not_found` for another's tenant."""
    if asked is not None and not sees_tenant(actor, asked):
        raise tenant_not_found()
    return asked or actor.tenant_id or DEFAULT_TENANT_ID


def tenant_not_found() -> ProblemError:
    """Also the answer for a tenant that the actor may not see."""
    return ProblemError.of(Code.TENANT_NOT_FOUND, "No such tenant")
