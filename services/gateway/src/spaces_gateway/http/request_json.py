"""A request as clients read it. Output is JSON text and goes into the answer unread.

The document's class describes it; the hot answers are put together from text, so nothing is built twice.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.problems import Code, Problem
from spaces_contracts.request_lists import AttemptView, RequestDetails
from spaces_contracts.requests import RequestFinished, RequestState, RequestView, SubmitVerdict
from spaces_gateway.files.signing import FileLinks
from spaces_gateway.http.naming import Known, MadeBy


class RequestError(BaseModel):
    """Why a request did not succeed."""

    code: Code
    message: str = ""
    facts: dict[str, Any] = {}


class RequestDocument(BaseModel):
    """One request. Times are UTC; `queue_ms` ends when the last attempt started."""

    request_id: str
    space_id: str
    state: RequestState
    attempt: int = 0
    position: int | None = Field(default=None, description="1 is next; null once it runs.")
    queue_size: int = 0
    eta_s: float | None = Field(default=None, description="Seconds until it should start.")
    duplicate: bool = Field(default=False, description="The idempotency key was used before.")
    priority: int = 0
    tries: int = 0
    cancel_requested: bool = False
    inputs: list[InputKind] = []
    files: list[FileRef] = []
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output: Any = Field(default=None, description="What the handler returned.")
    output_files: list[FileRef] = Field(
        default=[], description="Each with a signed address that works for an hour."
    )
    error: RequestError | None = None
    last_n: int = Field(default=0, description="Number of the last streamed chunk.")
    processing_time_seconds: float | None = None
    timestamp: datetime | None = Field(default=None, description="The worker's clock at the end.")
    queue_ms: int | None = None
    run_ms: int | None = None
    retry_of: str | None = Field(default=None, description="Of a request that was just made so.")


class RequestRow(RequestDocument):
    """A request with the names of what it belongs to."""

    tenant_id: str
    tenant_name: str | None = None
    space_name: str | None = Field(default=None, description="Also of a space that was removed.")
    made_by: MadeBy


class RequestPage(BaseModel):
    """Requests, newest first, without their outputs."""

    requests: list[RequestRow]
    next_cursor: str | None = Field(
        default=None,
        description="Set when there may be more. A page can be short, and even empty, and have one: so far was "
        "looked for what the filter names.",
    )


class AttemptDocument(BaseModel):
    """One time that the request was given to a worker."""

    attempt: int
    connection_id: str
    worker: str | None = Field(default=None, description="The worker's host name.")
    worker_version: str | None = None
    dispatched_at: datetime
    accepted_at: datetime | None = Field(
        default=None, description="Null when the worker said nothing before the end."
    )
    released_at: datetime | None = Field(
        default=None, description="When the worker's slot was free again."
    )


class DetailsDocument(RequestRow):
    """A request's input and story, without its output."""

    input: Any = Field(default=None, description="What the handler is given.")
    queued_at: datetime | None = Field(default=None, description="When it last began to wait.")
    cancel_requested_at: datetime | None = None
    attempts: list[AttemptDocument] = []
    retry_of: str | None = None
    retried_as: list[str] = []


def accepted_json(verdict: SubmitVerdict, space_id: str, **more: Any) -> bytes:
    """A request right after it was accepted."""
    return to_json(
        {
            **more,
            "request_id": verdict.request_id,
            "space_id": space_id,
            "state": verdict.state,
            "position": verdict.position,
            "queue_size": verdict.queue_size,
            "eta_s": verdict.eta_s,
            "duplicate": verdict.duplicate,
        }
    )


def finished_json(event: RequestFinished, links: FileLinks, duplicate: bool = False) -> bytes:
    """A request that ended while somebody waited."""
    facts = {
        "request_id": event.request_id,
        "space_id": event.space_id,
        "state": event.state,
        "attempt": event.attempt,
        "position": None,
        "queue_size": 0,
        "eta_s": None,
        "duplicate": duplicate,
    }
    return _ended_json(facts, event, links)


def view_json(view: RequestView, links: FileLinks, more: Mapping[str, Any] | None = None) -> bytes:
    """A request as it was read, with more members if there are any."""
    facts = {
        "request_id": view.request_id,
        "space_id": view.space_id,
        "state": view.state,
        "attempt": view.attempt,
        "position": view.position,
        "queue_size": view.queue_size,
        "eta_s": view.eta_s,
        "priority": view.priority,
        "tries": view.tries,
        "cancel_requested": view.cancel_requested,
        "inputs": view.inputs,
        # The worker's addresses are not the client's; it reads its own files with its key.
        "files": [file.model_copy(update={"url": None}) for file in view.files],
    }
    if more is not None:
        facts |= more
    return _ended_json(facts, view, links)


def page_json(
    views: Sequence[RequestView], next_cursor: str | None, links: FileLinks, known: Known
) -> bytes:
    """A page of requests."""
    listed = b",".join(view_json(view, links, known.of_request(view)) for view in views)
    return b'{"requests":[' + listed + b'],"next_cursor":' + to_json(next_cursor) + b"}"


def details_json(details: RequestDetails, links: FileLinks, known: Known) -> bytes:
    """A request's story. What was asked is JSON text and goes in unread."""
    more = known.of_request(details.request) | {
        "queued_at": details.queued_at,
        "cancel_requested_at": details.cancel_requested_at,
        "attempts": [_attempt(attempt, known) for attempt in details.attempts],
        "retry_of": details.retry_of,
        "retried_as": details.retried_as,
    }
    shown = view_json(details.request, links, more)
    return shown[:-1] + b',"input":' + (details.request.payload_json or "null").encode() + b"}"


def _attempt(attempt: AttemptView, known: Known) -> dict[str, Any]:
    worker = known.workers.get(attempt.connection_id)
    return attempt.model_dump(mode="json") | {
        "worker": worker.hostname if worker else None,
        "worker_version": worker.version if worker else None,
    }


def milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    """From one moment to another; None while one of them is missing."""
    if start is None or end is None:
        return None
    return round((end - start).total_seconds() * 1000)


def error_of(problem: Problem | None) -> dict[str, Any] | None:
    """The `error` of a request."""
    if problem is None:
        return None
    return {"code": problem.code, "message": problem.message, "facts": problem.facts}


def _ended_json(
    facts: dict[str, Any], request: RequestFinished | RequestView, links: FileLinks
) -> bytes:
    files = request.output_files
    facts["created_at"] = request.created_at
    facts["started_at"] = request.started_at
    facts["finished_at"] = request.finished_at
    facts["output_files"] = links.output_refs(files, request.request_id) if files else ()
    facts["error"] = error_of(request.error)
    facts["last_n"] = request.last_n
    facts["processing_time_seconds"] = request.processing_time_seconds
    facts["timestamp"] = request.timestamp
    facts["queue_ms"] = milliseconds(request.created_at, request.started_at)
    facts["run_ms"] = milliseconds(request.started_at, request.finished_at)
    members = to_json(facts, inf_nan_mode="null", fallback=str)
    return members[:-1] + b',"output":' + (request.output_json or "null").encode() + b"}"
