"""The calls that come most often, without a framework around them: half the cost of a submit was reading parameters.

They are the same operations as in the OpenAPI document and answer the same. A call that is not plain (a form, a body
in chunks, a parameter that looks wrong) is left to the documented operation before anything of its body is read.
"""

import re
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from spaces_chassis.errors import ProblemError
from spaces_chassis.http import Event, Scope
from spaces_contracts.access import Principal
from spaces_contracts.identifiers import ID_PATTERN, is_id
from spaces_contracts.permissions import HTTP_RULES
from spaces_gateway.authorisation import permitted
from spaces_gateway.http.bodies import MAX_JSON_BYTES, checked_key, wait_in
from spaces_gateway.http.exchange import Exchange
from spaces_gateway.http.principals import bearer_secret
from spaces_gateway.http.problems import BadRequest, called, problem_of, problem_response
from spaces_gateway.http.submit_call import SubmitCall
from spaces_gateway.http.submits import read_submit
from spaces_gateway.http.waits import Waits
from spaces_gateway.services import Services

Read = Callable[[Request, str, Principal], Awaitable[Response]]

_SUBMIT = re.compile(r"/api/spaces/([^/\x00-\x1f\x7f]{1,200})/requests")
_READ = re.compile(r"/api/requests/([^/]+)")
_JSON = (b"content-type", b"application/json")


class HotRoutes:
    """Submit and read."""

    def __init__(self, services: Services, waits: Waits, read: Read) -> None:
        self._services = services
        self._access = services.access
        self._waits = waits
        self._read = read
        self._may_submit = HTTP_RULES["submit_request"]
        self._may_read = HTTP_RULES["get_request"]

    async def answer(self, scope: Scope, exchange: Exchange) -> bool:
        """Whether the call was hot and is answered; if not, nothing was read. Notes the route for the metrics."""
        method, path = scope["method"], scope["path"]
        if method == "POST" and (match := _SUBMIT.fullmatch(path)):
            headers = plain_headers(scope)
            if headers is None:
                return False
            scope["route"] = "/api/spaces/{space}/requests"
            work = self._submit(scope, exchange, match[1], headers)
        elif method == "GET" and (match := _READ.fullmatch(path)):
            scope["route"] = "/api/requests/{request_id}"
            work = self._get(scope, exchange, match[1])
        else:
            return False
        try:
            await work
        except (ProblemError, BadRequest) as error:
            problem, errors = problem_of(error)
            refusal = problem_response(problem, called(scope), errors=errors)
            await refusal(scope, exchange.receive, exchange.send)
        return True

    async def _submit(
        self, scope: Scope, exchange: Exchange, ref: str, headers: dict[bytes, bytes]
    ) -> None:
        event = await exchange.receive()
        secret = bearer_secret(headers.get(b"authorization", b"").decode("latin-1"))
        actor = permitted(self._may_submit, await self._access.principal(secret))
        # The rest of a large body is held for those only of whom one knows who they are.
        body = await _body(exchange, event)
        seconds = wait_in(scope["query_string"])
        key = checked_key(headers.get(b"idempotency-key"))
        await self._access.space(actor, ref)  # refused before what is wrong with the body
        call = SubmitCall(self._services, self._waits, seconds)
        try:
            await call.accept(actor, ref, read_submit(body), key)
            status, content, location = await call.answer()
        finally:
            call.stop()
        place = ((b"location", location.encode()),) if location else ()
        limits = self._services.quotas.headers(actor)
        await exchange.send_whole(status, (_JSON, *limits, *place), content)

    async def _get(self, scope: Scope, exchange: Exchange, request_id: str) -> None:
        request = Request(scope, exchange.receive)
        secret = bearer_secret(request.headers.get("authorization"))
        actor = permitted(self._may_read, await self._access.principal(secret))
        if not is_id(request_id):
            raise BadRequest.at("path/request_id", f"String should match pattern '{ID_PATTERN}'")
        response = await self._read(request, request_id, actor)
        await response(scope, exchange.receive, exchange.send)


def plain_headers(scope: Scope) -> dict[bytes, bytes] | None:
    """The headers of a submit whose body is JSON of a known and allowed size; None when something is special."""
    headers = dict(scope["headers"])
    size = headers.get(b"content-length", b"")
    if (
        len(headers) != len(scope["headers"])  # one came twice
        or not headers.get(b"content-type", _JSON[1]).startswith(_JSON[1])
        or not (size.isdigit() and int(size) <= MAX_JSON_BYTES)
        or b"transfer-encoding" in headers
        or b"content-encoding" in headers
        or b"expect" in headers
    ):
        return None
    return headers


async def _body(exchange: Exchange, event: Event) -> bytes:
    if event["type"] == "http.request" and not event["more_body"]:
        whole: bytes = event["body"]
        return whole
    pieces = []
    while event["type"] == "http.request":
        pieces.append(event["body"])
        if not event["more_body"]:
            return b"".join(pieces)
        event = await exchange.receive()
    raise ClientDisconnect
