"""Routes of the former platform, with their paths and shapes: /websockets/submit and /websockets/status."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from spaces_chassis.errors import ProblemError
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Code
from spaces_contracts.requests import GetRequests, RequestState, RequestView
from spaces_gateway.http import examples
from spaces_gateway.http.bodies import idempotency_key
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import SpaceRef, space_ref
from spaces_gateway.http.principals import CallerOrSession, caller_or_session
from spaces_gateway.http.problems import BadRequest, called, problem_of, problem_response
from spaces_gateway.http.request_json import RequestError, error_of
from spaces_gateway.http.requests import SUBMIT_PROBLEMS
from spaces_gateway.http.submits import SubmitReader
from spaces_gateway.services import Services

KeptState = Literal["queued", "processing", "completed", "failed", "timeout", "cancelled"]
STATES: dict[RequestState, KeptState] = {
    RequestState.QUEUED: "queued",
    RequestState.RUNNING: "processing",
    RequestState.SUCCEEDED: "completed",
    RequestState.FAILED: "failed",
    RequestState.EXPIRED: "timeout",
    RequestState.CANCELLED: "cancelled",
}


class KeptSubmitted(BaseModel):
    """A request that was accepted."""

    success: Literal[True] = True
    request_id: str


class KeptResult(BaseModel):
    """What the handler returned: the members of its object, or `output` when it is something else."""

    model_config = ConfigDict(extra="allow")

    processing_time_seconds: float | None = None
    timestamp: datetime | None = None


class KeptStatus(BaseModel):
    """Where a request is."""

    request_id: str
    status: KeptState
    queue_size: int = 0
    position: int | None = Field(default=None, description="1 is next; null once it runs.")
    result: KeptResult | None = None
    error: RequestError | None = None


def kept_refusal(request: Request, error: ProblemError | BadRequest) -> Response:
    """A problem document that is also what the former platform answered."""
    problem, errors = problem_of(error)
    more = {"success": False, "error": problem.message or problem.kind.title}
    return problem_response(problem, called(request.scope), errors=errors, more=more)


class KeptApi:
    """The kept routes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reader = SubmitReader(services.files)

    def operations(self) -> Operations:
        """Submit and status."""
        api = Operations("kept")
        api.add(
            "POST /websockets/submit/{space_id}",
            self.submit_websocket_request,
            *SUBMIT_PROBLEMS,
            Code.CROSS_SITE,
            guard=caller_or_session,
            response_model=KeptSubmitted,
            extra=examples.SUBMIT_BODY,
        )
        api.add(
            "GET /websockets/status",
            self.get_websocket_status,
            Code.REQUEST_NOT_FOUND,
            guard=caller_or_session,
            response_model=KeptStatus,
        )
        return api

    async def submit_websocket_request(
        self, request: Request, space_id: SpaceRef, actor: CallerOrSession
    ) -> Response:
        """Submit a request (kept).

        Form or JSON. An error has `success: false` and `error` beside the members of the problem.
        """
        try:
            ref = space_ref(space_id)
            await self._services.access.space(actor, ref)
            self._services.quotas.refuse_if_spent(actor)
            async with self._reader.reading(request, actor, strict=False) as body:
                accepted = await self._services.submission.submit(
                    actor, ref, body, idempotency_key=idempotency_key(request)
                )
        except (ProblemError, BadRequest) as error:
            return kept_refusal(request, error)
        content = to_json({"success": True, "request_id": accepted.request_id})
        return Response(content, media_type="application/json")

    async def get_websocket_status(
        self,
        actor: CallerOrSession,
        request_id: Annotated[
            str, Query(pattern="^[0-9a-z]{20,32}$", examples=[examples.REQUEST_ID])
        ],
    ) -> Response:
        """Read a request's status (kept)."""
        reply = await self._services.bus.request(
            GetRequests(request_ids=[request_id], **dict(sight_of(actor)))
        )
        if not reply.requests:
            raise ProblemError.of(Code.REQUEST_NOT_FOUND, f"There is no request {request_id!r}.")
        return Response(self._status(reply.requests[0]), media_type="application/json")

    def _status(self, view: RequestView) -> bytes:
        return to_json(
            {
                "request_id": view.request_id,
                "status": STATES[view.state],
                "queue_size": view.queue_size,
                "position": view.position,
                "result": self._result(view),
                "error": error_of(view.error),
            },
            inf_nan_mode="null",
        )

    def _result(self, view: RequestView) -> dict[str, Any] | None:
        if not view.state.terminal:
            return None
        output = from_json(view.output_json) if view.output_json else None
        result = dict(output) if isinstance(output, dict) else {"output": output}
        if view.output_files:
            result["output_files"] = self._services.links.output_refs(
                view.output_files, view.request_id
            )
        result["processing_time_seconds"] = view.processing_time_seconds
        result["timestamp"] = view.timestamp
        return result
