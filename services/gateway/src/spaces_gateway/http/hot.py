"""The calls that come most often, without a framework around them: half the cost of a submit was reading parameters.

They are the same operations as in the OpenAPI document, and answer the same.
"""

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from spaces_chassis.errors import ProblemError
from spaces_chassis.http import Scope
from spaces_contracts.access import Principal
from spaces_contracts.identifiers import ID_PATTERN, is_id
from spaces_gateway.access import Access
from spaces_gateway.http.principals import bearer_secret, no_worker
from spaces_gateway.http.problems import BadRequest, called, problem_of, problem_response

Handler = Callable[[Request, str, Principal], Awaitable[Response]]

_SUBMIT = re.compile(r"^/api/spaces/([^/]+)/requests$")
_READ = re.compile(r"^/api/requests/([^/]+)$")


class HotCall:
    """One call of a hot operation."""

    __slots__ = ("_access", "_handler", "_named", "_takes_id")

    def __init__(self, access: Access, handler: Handler, named: str, takes_id: bool) -> None:
        self._access = access
        self._handler = handler
        self._named = named
        self._takes_id = takes_id

    async def answer(self, request: Request) -> Response:
        """The answer; refusals are problems here too."""
        try:
            secret = bearer_secret(request.headers.get("authorization"))
            actor = no_worker(await self._access.principal(secret))
            if self._takes_id and not is_id(self._named):
                raise BadRequest.at(
                    "path/request_id", f"String should match pattern '{ID_PATTERN}'"
                )
            return await self._handler(request, self._named, actor)
        except (ProblemError, BadRequest) as error:
            problem, errors = problem_of(error)
            return problem_response(problem, called(request.scope), errors=errors)


class HotRoutes:
    """Submit and read."""

    def __init__(self, access: Access, submit: Handler, read: Handler) -> None:
        self._access = access
        self._submit = submit
        self._read = read

    def find(self, scope: Scope) -> HotCall | None:
        """The hot operation of a request, if it is one; notes the route for the metrics."""
        method, path = scope["method"], scope["path"]
        if method == "POST" and (match := _SUBMIT.match(path)):
            scope["route"] = "/api/spaces/{space}/requests"
            return HotCall(self._access, self._submit, match.group(1), takes_id=False)
        if method == "GET" and (match := _READ.match(path)):
            scope["route"] = "/api/requests/{request_id}"
            return HotCall(self._access, self._read, match.group(1), takes_id=True)
        return None
