"""What exists for an actor, and what they may hand on. Pure. Who may not see a thing is told that it does not exist.

Whether an actor may do a thing at all is said by `spaces_contracts.permissions` and asked in authorised.py.
"""

from collections.abc import Sequence

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Permission, Principal, PrincipalKind, Role
from spaces_contracts.permissions import KEY_SCOPES, allows, permissions_of, sight_of
from spaces_contracts.problems import Code

# The tenant of whoever does not care about tenants; the first migration makes it.
DEFAULT_TENANT_ID = "default0000000000000000000"

# What it takes to make, list and revoke credentials of a kind. Logins are ended by who is signed in.
_HANDLES: dict[PrincipalKind, Permission] = {
    PrincipalKind.ADMIN: Permission.TENANTS_MANAGE,
    PrincipalKind.API_KEY: Permission.KEYS_MANAGE,
    PrincipalKind.WORKER_TOKEN: Permission.WORKERS_MANAGE,
}


def sees_tenant(actor: Principal, tenant_id: str | None) -> bool:
    """Whether things of a tenant exist for the actor; None is what belongs to no single tenant."""
    return actor.is_admin or (actor.tenant_id is not None and actor.tenant_id == tenant_id)


def sees_space(actor: Principal, space_id: str, tenant_id: str, private_to: str | None) -> bool:
    """Whether a space exists for the actor; a worker token sees the spaces it may serve, private or not."""
    if actor.kind is PrincipalKind.WORKER_TOKEN:
        return space_id in actor.space_ids
    return sight_of(actor).sees(tenant_id, private_to)


def sees_credential(actor: Principal, credential: Principal) -> bool:
    """Whether a credential exists for the actor: members, and people's keys, see what the person made."""
    if not sees_tenant(actor, credential.tenant_id) or credential.kind not in _HANDLES:
        return False
    if credential.kind is PrincipalKind.API_KEY and (owner := only_own(actor)) is not None:
        return credential.user_id == owner
    return True


def only_own(actor: Principal) -> str | None:
    """The person to whose keys the actor is limited; None for all of the tenant."""
    if actor.user_id is None or actor.role in (Role.ADMIN, Role.OWNER):
        return None
    return actor.user_id


def require_issuer(actor: Principal, kind: PrincipalKind) -> None:
    """Raises `forbidden` when the actor may not make, list or revoke credentials of that kind."""
    needed = _HANDLES.get(kind)
    if needed is None or not allows(actor, needed):
        raise forbidden(needed)


def handed_on(actor: Principal, asked: Sequence[Permission] | None) -> list[Permission] | None:
    """The scopes of a key that the actor makes. Raises `forbidden` for more than the actor has.

    None is everything a key may have, now and later; only who has no scopes can hand that on.
    """
    own = permissions_of(actor) & KEY_SCOPES
    if asked is None:
        return None if actor.user_id is None and actor.scopes is None else sorted(own)
    for permission in asked:
        if permission not in own:
            raise ProblemError.of(
                Code.FORBIDDEN, f"You cannot hand on {permission.value!r}: you do not have it"
            )
    return sorted(set(asked))


def forbidden(needed: Permission | None) -> ProblemError:
    """What the actor lacks."""
    what = "No credential may do this" if needed is None else f"This takes {needed.value!r}"
    return ProblemError.of(Code.FORBIDDEN, what)


def tenant_filter(actor: Principal) -> str | None:
    """The tenant that lists are limited to; None for all."""
    return None if actor.is_admin else actor.tenant_id or ""


def chosen_tenant(actor: Principal, asked: str | None) -> str:
    """Where a new thing goes. Raises `tenant_not_found` for another's tenant."""
    if asked is not None and not sees_tenant(actor, asked):
        raise tenant_not_found()
    return asked or actor.tenant_id or DEFAULT_TENANT_ID


def tenant_not_found() -> ProblemError:
    """Also the answer for a tenant that the actor may not see."""
    return ProblemError.of(Code.TENANT_NOT_FOUND, "No such tenant")
