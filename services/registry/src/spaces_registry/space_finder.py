"""Finds the space that an actor means."""

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, PrincipalKind, Sight
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Problem
from spaces_contracts.spaces import Space
from spaces_registry.actors import sees_space
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
                Sight() if scoped else sight_of(actor),
                actor.space_ids if scoped else None,
            ),
        )
        if isinstance(found, Problem):
            raise ProblemError(found)
        return found


def require_seen(actor: Principal, space: Space | None, space_id: str) -> Space:
    """The space. Raises space_not_found for one that is not there, of another tenant, or private to others."""
    if space is None or not sees_space(actor, space.space_id, space.tenant_id, space.private_to):
        raise ProblemError(space_not_found(space_id))
    return space
