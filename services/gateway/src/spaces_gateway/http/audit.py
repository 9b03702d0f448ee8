"""The audit log over HTTP: read only."""

from typing import Annotated

from fastapi import Query

from spaces_contracts.audit import AuditPage, ListAudit
from spaces_contracts.identifiers import ID_PATTERN
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.principals import Caller
from spaces_gateway.http.text import Text
from spaces_gateway.services import Services


class AuditApi:
    """Who did what."""

    def __init__(self, services: Services) -> None:
        self._bus = services.bus

    def operations(self) -> Operations:
        """The one."""
        api = Operations("audit")
        api.add("GET /api/audit", self.list_audit)
        return api

    async def list_audit(
        self,
        actor: Caller,
        action: Annotated[
            str | None, Query(pattern="^[A-Za-z]{1,64}$", description="Such as CreateSpace.")
        ] = None,
        object_id: Annotated[
            Annotated[str, Text] | None, Query(max_length=200, description="What it was done to.")
        ] = None,
        user_id: Annotated[str | None, Query(pattern=ID_PATTERN, description="Who did it.")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=500)] = None,
    ) -> AuditPage:
        """Read the audit log, newest first."""
        return await self._bus.request(
            ListAudit(
                actor=actor,
                action=action,
                object_id=object_id,
                user_id=user_id,
                limit=limit,
                cursor=cursor,
            )
        )
