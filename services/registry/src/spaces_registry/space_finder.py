"""Finds the space that an actor means."""

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, PrincipalKind
from spaces_contracts.problems import Problem
from spaces_registry.actors import sees_space, tenant_filter
from spaces_registry.naming import Candidate, choose, parse_reference, space_not_found
from spaces_registry.space_store import SpaceStore


class SpaceFinder:
    """References to spaces, within what an actor sees."""

    def __init__(self, spaces: SpaceStore) -> None:
        self._spaces = spaces

    async def find(self, actor: Principal, ref: str) -> Candidate:
        """Raises space_not_found, multiple_spaces, or token_scope for a worker token."""
        reference = parse_reference(ref)
        scoped = actor.kind is PrincipalKind.WORKER_TOKEN
        found = choose(
            reference,
            await self._spaces.candidates(
                reference,
                None if scoped else tenant_filter(actor),
                actor.space_ids if scoped else None,
            ),
        )
        if isinstance(found, Problem):
            raise ProblemError(found)
        return found


def require_seen(actor: Principal, tenant_id: str, space_id: str) -> None:
    """Raises space_not_found for a space of another tenant."""
    if not sees_space(actor, tenant_id, space_id):
        raise ProblemError(space_not_found(space_id))
