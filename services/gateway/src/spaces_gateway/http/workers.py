"""Workers: what an operator does with a connection, and what an agent asks before it connects."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from spaces_chassis.errors import ProblemError, UnavailableError
from spaces_contracts.access import Principal
from spaces_contracts.connections import (
    Connection,
    ControlAction,
    ControlConnection,
    ListConnections,
)
from spaces_contracts.frames import PROTOCOL
from spaces_contracts.permissions import HTTP_RULES
from spaces_contracts.problems import Code, Problem
from spaces_contracts.request_lists import GetConnectionLoads
from spaces_contracts.spaces import GetSpace, Space
from spaces_gateway.authorisation import permitted
from spaces_gateway.http.naming import names
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import IdInPath
from spaces_gateway.http.principals import Caller, bearer_secret
from spaces_gateway.services import Services

_NOT_THE_TOKEN = (Code.UNAVAILABLE, Code.INTERNAL_ERROR)


class Finding(BaseModel):
    """What is wrong with one thing."""

    code: Code
    message: str


class TokenCheck(BaseModel):
    """Whether the token works."""

    problem: Finding | None = None


class SpaceCheck(BaseModel):
    """Whether one space could be served now."""

    ref: str
    space_id: str | None = None
    name: str | None = None
    problem: Finding | None = None
    connections: int = 0
    max_connections: int = 1


class WorkerCheck(BaseModel):
    """What an agent would meet; nothing was taken by asking."""

    protocol: str = PROTOCOL
    version: str = Field(description="The gateway's version.")
    now: datetime = Field(description="The gateway's clock.")
    token: TokenCheck = TokenCheck()
    spaces: list[SpaceCheck] = []


class WorkerRow(Connection):
    """A worker on one space, with names and what it works on."""

    space_name: str | None = None
    tenant_id: str | None = None
    tenant_name: str | None = None
    in_flight: int = 0
    request_ids: list[str] = Field(default=[], description="The first of those.")


class WorkerPage(BaseModel):
    """Workers, newest first."""

    connections: list[WorkerRow]


class WorkersApi:
    """Workers over HTTP."""

    def __init__(self, services: Services) -> None:
        self._bus = services.bus
        self._access = services.access

    def operations(self) -> Operations:
        """Everything about workers."""
        api = Operations("workers")
        api.add("GET /api/connections", self.list_connections)
        for action in ControlAction:
            api.add(
                f"POST /api/connections/{{connection_id}}/{action}",
                self.drain_connection if action is ControlAction.DRAIN else self.kick_connection,
                Code.CONNECTION_NOT_FOUND,
                status=204,
                response_class=Response,
            )
        api.add(
            "GET /api/worker/check",
            self.check_worker,
            Code.HEADERS_TOO_LARGE,  # many long names make a long address
            guard=None,  # what is wrong with a token is part of its answer
            extra={"security": [{"key": []}]},
        )
        return api

    async def list_connections(self, actor: Caller) -> WorkerPage:
        """List all workers that one may see, newest first: at most 2,000.

        With what each of them works on.
        """
        listed = (await self._bus.request(ListConnections(actor=actor))).connections
        ids = [one.connection_id for one in listed]
        loads = await self._bus.request(GetConnectionLoads(connection_ids=ids))
        busy = {load.connection_id: load for load in loads.loads}
        known = await names(self._bus, actor, spaces=(one.space_id for one in listed))
        rows = []
        for one in listed:
            load, space = busy.get(one.connection_id), known.spaces.get(one.space_id)
            rows.append(
                WorkerRow(
                    **one.model_dump(),
                    space_name=space.name if space else None,
                    tenant_id=space.tenant_id if space else None,
                    tenant_name=space.tenant_name if space else None,
                    in_flight=load.in_flight if load else 0,
                    request_ids=load.request_ids if load else [],
                )
            )
        return WorkerPage(connections=rows)

    async def drain_connection(self, connection_id: IdInPath, actor: Caller) -> Response:
        """Drain a worker: it finishes what runs and leaves."""
        return await self._control(actor, connection_id, ControlAction.DRAIN)

    async def kick_connection(self, connection_id: IdInPath, actor: Caller) -> Response:
        """Disconnect a worker now."""
        return await self._control(actor, connection_id, ControlAction.KICK)

    async def check_worker(
        self,
        request: Request,
        space: Annotated[
            list[Annotated[str, Query(max_length=200)]] | None,
            Query(description="Spaces to look at: id, name or tenant/name.", max_length=64),
        ] = None,
    ) -> WorkerCheck:
        """Check a worker token and its spaces without connecting.

        The bearer is the worker token. What is wrong is in the answer, each by itself.
        """
        secret = bearer_secret(request.headers.get("authorization"))
        answer = WorkerCheck(version=version("spaces-gateway"), now=datetime.now(UTC))
        try:
            actor = await self._access.principal(secret)
        except UnavailableError:
            raise
        except ProblemError as error:
            if error.problem.code in _NOT_THE_TOKEN:
                raise
            # Of a token, "not known" has its own code, which agents act on.
            unknown = error.problem.code is Code.UNAUTHENTICATED
            finding = Finding(
                code=Code.TOKEN_INVALID if unknown else error.problem.code,
                message="The worker token is not known." if unknown else error.problem.message,
            )
            return answer.model_copy(update={"token": TokenCheck(problem=finding)})
        permitted(HTTP_RULES["check_worker"], actor)
        return answer.model_copy(update={"spaces": await self._check_all(actor, space or [])})

    async def _check_all(self, actor: Principal, refs: Sequence[str]) -> list[SpaceCheck]:
        return [await self._check(actor, ref) for ref in refs]

    async def _check(self, actor: Principal, ref: str) -> SpaceCheck:
        try:
            space = (await self._bus.request(GetSpace(actor=actor, ref=ref))).space
        except UnavailableError:
            raise
        except ProblemError as error:
            return SpaceCheck(ref=ref, problem=_finding(error.problem))
        return SpaceCheck(
            ref=ref,
            space_id=space.space_id,
            name=space.name,
            problem=_obstacle(space),
            connections=space.connections,
            max_connections=space.policy.max_connections,
        )

    async def _control(
        self, actor: Principal, connection_id: str, action: ControlAction
    ) -> Response:
        command = ControlConnection(actor=actor, connection_id=connection_id, action=action)
        await self._bus.request(command)
        return Response(status_code=204)


def _obstacle(space: Space) -> Finding | None:
    if not space.enabled:
        return Finding(code=Code.SPACE_DISABLED, message=f"Space {space.name!r} is disabled.")
    if space.connections >= space.policy.max_connections:
        return Finding(
            code=Code.ALREADY_CONNECTED,
            message=f"Space {space.name!r} has {space.connections} of "
            f"{space.policy.max_connections} workers.",
        )
    return None


def _finding(problem: Problem) -> Finding:
    return Finding(code=problem.code, message=problem.message or problem.kind.title)
