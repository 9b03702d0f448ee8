"""Signed addresses of a job serve the worker that has the job, and nobody else who saw the address.

The address says for which file and request; who asks is shown by the worker token and by the agent's instance, and
the scheduler knows whether that agent holds that attempt.
"""

from typing import Annotated

from fastapi import Depends, Header, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from spaces_chassis.bus import Bus
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import PrincipalKind
from spaces_contracts.identifiers import is_id
from spaces_contracts.problems import Code
from spaces_contracts.requests import AskHolder
from spaces_gateway.access import Access
from spaces_gateway.http.principals import bearer_secret

_TOKEN = HTTPBearer(
    auto_error=False, scheme_name="worker_token", description="The token of the job's worker."
)
_Shown = Annotated[HTTPAuthorizationCredentials | None, Security(_TOKEN)]
InstanceHeader = Annotated[
    str | None,
    Header(alias="Spaces-Instance", max_length=64, description="The agent's instance_id."),
]
AttemptHeader = Annotated[
    int | None,
    Header(alias="Spaces-Attempt", ge=1, le=1 << 30, description="The attempt, as its job says."),
]


class Asker:
    """Who fetches or uploads: not looked at before it matters."""

    def __init__(
        self,
        request: Request,
        _shown: _Shown = None,
        instance: InstanceHeader = None,
        attempt: AttemptHeader = None,
    ) -> None:
        self.authorization = request.headers.get("authorization")
        self.instance = instance
        self.attempt = attempt


MaybeWorker = Annotated[Asker, Depends(Asker)]


class Holders:
    """Lets a job's worker in."""

    def __init__(self, access: Access, bus: Bus) -> None:
        self._access = access
        self._bus = bus

    async def check(self, asker: Asker, request_id: str) -> None:
        """Problems: unauthenticated, token_revoked, forbidden, unavailable."""
        worker = await self._access.principal(bearer_secret(asker.authorization))
        if worker.kind is not PrincipalKind.WORKER_TOKEN:
            raise ProblemError.of(Code.FORBIDDEN, "This address is for the worker of the request.")
        instance = asker.instance or ""
        if asker.attempt is None or not is_id(instance) or not is_id(request_id):
            raise ProblemError.of(
                Code.FORBIDDEN, "The call names no Spaces-Instance and Spaces-Attempt."
            )
        reply = await self._bus.request(
            AskHolder(
                request_id=request_id,
                attempt=asker.attempt,
                instance_id=instance,
                space_ids=worker.space_ids,
            )
        )
        if not reply.holds:
            raise ProblemError.of(
                Code.FORBIDDEN, f"This worker does not hold attempt {asker.attempt} of the request."
            )
