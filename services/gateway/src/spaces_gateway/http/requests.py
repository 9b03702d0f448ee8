"""Requests: submit (and wait), read, list, cancel, follow."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Header, Query
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal
from spaces_contracts.client_socket import After
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Code
from spaces_contracts.requests import (
    CancelRequest,
    GetRequests,
    RequestView,
)
from spaces_gateway.http import examples
from spaces_gateway.http import request_json as show
from spaces_gateway.http.bodies import LONGEST_WAIT_S, wait_in
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import IdInPath, SpaceRef, space_ref
from spaces_gateway.http.principals import Caller
from spaces_gateway.http.problems import BadRequest
from spaces_gateway.http.submit_call import SubmitCall
from spaces_gateway.http.submits import SubmitReader
from spaces_gateway.http.waits import Waits
from spaces_gateway.services import Services, Sockets

JSON = "application/json"
KEEP_ALIVE_S = 15
WaitQuery = Annotated[
    float,
    Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for the end before answering."),
]
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern="^[!-~]{1,255}$",
        description="The same key with the same body is one request, for 24 hours.",
    ),
]


class RequestsApi:
    """Requests over HTTP."""

    def __init__(self, services: Services, sockets: Sockets, waits: Waits) -> None:
        self._services = services
        self._sockets = sockets
        self._waits = waits
        self._reader = SubmitReader(services.files)

    def operations(self) -> Operations:
        """Everything under requests."""
        api = Operations("requests")
        api.add(
            "POST /api/spaces/{space}/requests",
            self.submit_request,
            *SUBMIT_PROBLEMS,
            status=202,
            response_model=show.RequestDocument,
            responses={200: examples.ENDED, 202: examples.ACCEPTED},
            extra=examples.SUBMIT_BODY,
        )
        api.add(
            "GET /api/requests/{request_id}",
            self.get_request,
            Code.REQUEST_NOT_FOUND,
            response_model=show.RequestDocument,
        )
        api.add(
            "POST /api/requests/{request_id}/cancel",
            self.cancel_request,
            Code.REQUEST_NOT_FOUND,
            response_model=show.RequestDocument,
        )
        api.add(
            "GET /api/requests/{request_id}/events",
            self.stream_request_events,
            Code.REQUEST_NOT_FOUND,
            response_class=EventSourceResponse,
            responses={200: examples.EVENTS},
        )
        return api

    async def submit_request(
        self,
        request: Request,
        space: SpaceRef,
        actor: Caller,
        wait: WaitQuery = 0,
        key: KeyHeader = None,
    ) -> Response:
        """Submit a request.

        Accepted requests are durable: they end exactly once, whatever is restarted meanwhile.
        With `wait` the answer is 200 with the result when the request ends in time, else 202.
        """
        ref = space_ref(space)
        await self._services.access.space(actor, ref)  # before a large form is read
        self._services.quotas.refuse_if_spent(actor)
        call = SubmitCall(self._services, self._waits, wait)
        try:
            # The files of a form are removed if this block fails, so waiting is not part of it.
            async with self._reader.reading(request, actor) as body:
                await call.accept(actor, ref, body, key)
            status, content, location = await call.answer()
        finally:
            call.stop()
        headers = {"location": location} if location else {}
        headers |= {
            name.decode(): value.decode() for name, value in self._services.quotas.headers(actor)
        }
        return Response(content, status, headers, media_type=JSON)

    async def get_request(
        self, request: Request, request_id: IdInPath, actor: Caller, wait: WaitQuery = 0
    ) -> Response:
        """Read a request, waiting for its end if asked to."""
        return await self.get(request, request_id, actor)

    async def get(self, request: Request, request_id: str, actor: Principal) -> Response:
        """The same without FastAPI's reading of parameters: the hot path."""
        seconds = wait_in(request.scope["query_string"])
        view = await self.view(request_id, actor)
        if seconds and not view.state.terminal:
            waiting = self._waits.begin(request_id)
            try:
                await waiting.follow_known(view.space_id, request_id)
                await waiting.result(seconds)
            finally:
                waiting.stop()
            view = await self.view(request_id, actor)
        return Response(show.view_json(view, self._services.links), media_type=JSON)

    async def cancel_request(self, request_id: IdInPath, actor: Caller) -> Response:
        """Cancel a request.

        A queued one ends at once; a running one when its worker has stopped. An ended one is returned as it is.
        """
        reply = await self._services.bus.request(
            CancelRequest(request_id=request_id, **dict(sight_of(actor)))
        )
        return Response(show.view_json(reply.request, self._services.links), media_type=JSON)

    async def stream_request_events(
        self,
        request_id: IdInPath,
        actor: Caller,
        last: Annotated[
            str | None,
            Header(alias="Last-Event-ID", description="The last id seen, to go on after it."),
        ] = None,
    ) -> EventSourceResponse:
        """Follow a request as server-sent events.

        Types: status, progress, chunk, reset, finished; the data are the client socket's frames.
        The stream ends after `finished`. Ids are `attempt:n`.
        """
        after = after_of(last)
        view = await self.view(request_id, actor)
        events = self._sockets.stream_request_events(view, after, actor)
        return EventSourceResponse(
            _as_sent(events), ping=KEEP_ALIVE_S, headers={"cache-control": "no-store"}
        )

    async def view(self, request_id: str, actor: Principal) -> RequestView:
        """One request that the actor may read. Problem: request_not_found."""
        reply = await self._services.bus.request(
            GetRequests(request_ids=[request_id], **dict(sight_of(actor)))
        )
        if not reply.requests:
            raise ProblemError.of(Code.REQUEST_NOT_FOUND, f"There is no request {request_id!r}.")
        return reply.requests[0]


SUBMIT_PROBLEMS = (
    Code.SPACE_NOT_FOUND, Code.MULTIPLE_SPACES, Code.SPACE_DISABLED, Code.WORKER_NOT_CONNECTED,
    Code.QUEUE_FULL, Code.EMPTY_PROMPT, Code.INPUT_NOT_ENABLED, Code.FILE_NOT_FOUND,
    Code.FILE_TOO_LARGE, Code.FILE_TYPE_MISMATCH, Code.FILE_NAME_UNSAFE, Code.FILE_UNSAFE,
    Code.PAYLOAD_TOO_LARGE, Code.IDEMPOTENCY_KEY_REUSED,
    Code.RATE_LIMITED, Code.QUOTA_EXCEEDED, Code.STORAGE_FULL,
)  # fmt: skip


def after_of(last_event_id: str | None) -> After:
    """Where a stream goes on: `attempt:n`."""
    if not last_event_id:
        return After()
    attempt, _, n = last_event_id.partition(":")
    # Isdigit alone would take other alphabets' digits.
    if not (attempt + n).isascii() or not attempt.isdigit() or not n.isdigit():
        raise BadRequest.at("header/Last-Event-ID", "Use an id of this stream: attempt:n.")
    return After(attempt=int(attempt), n=int(n))


async def _as_sent(
    events: AsyncIterator[tuple[str, str, bytes]],
) -> AsyncIterator[ServerSentEvent]:
    async for kind, event_id, data in events:
        yield ServerSentEvent(data=data.decode(), event=kind, id=event_id or None)
