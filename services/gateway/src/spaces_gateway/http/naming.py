"""Names for the ids of a list, asked of the registry in one question; a list without names is still a list."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import BaseModel

from spaces_chassis.bus import Bus
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, PrincipalKind
from spaces_contracts.names import GetNames, PrincipalName, SpaceName, WorkerName
from spaces_contracts.requests import RequestView

log = structlog.get_logger(__name__)


class MadeBy(BaseModel):
    """Who submitted it. Without a kind: nobody of this tenant, or nobody who is remembered."""

    principal_id: str
    kind: PrincipalKind | None = None
    name: str = ""
    user_id: str | None = None


@dataclass(frozen=True)
class Known:
    """Names by id."""

    spaces: Mapping[str, SpaceName] = field(default_factory=dict)
    principals: Mapping[str, PrincipalName] = field(default_factory=dict)
    workers: Mapping[str, WorkerName] = field(default_factory=dict)

    def of_request(self, view: RequestView) -> dict[str, Any]:
        """The members that a request gets where it is shown with names."""
        space = self.spaces.get(view.space_id)
        return {
            "tenant_id": view.tenant_id,
            "tenant_name": space.tenant_name if space else None,
            "space_name": space.name if space else None,
            "made_by": self.maker(view.principal_id).model_dump(mode="json"),
        }

    def maker(self, principal_id: str) -> MadeBy:
        """Somebody by their credential."""
        found = self.principals.get(principal_id)
        if found is None:
            return MadeBy(principal_id=principal_id)
        return MadeBy(**found.model_dump())


async def names(
    bus: Bus,
    actor: Principal,
    *,
    spaces: Iterable[str] = (),
    principals: Iterable[str] = (),
    workers: Iterable[str] = (),
) -> Known:
    """What the actor may know of these."""
    command = GetNames(
        actor=actor,
        space_ids=_once(spaces),
        principal_ids=_once(principals),
        connection_ids=_once(workers),
    )
    try:
        found = await bus.request(command)
    except ProblemError as error:
        log.warning("names_not_read", problem=str(error))
        return Known()
    return Known(
        {one.space_id: one for one in found.spaces},
        {one.principal_id: one for one in found.principals},
        {one.connection_id: one for one in found.workers},
    )


def _once(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))
