"""A request as clients read it. Output is JSON text and goes into the answer unread.

The document's class describes it; the hot answers are put together from text, so nothing is built twice.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json

from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import RequestFinished, RequestState, RequestView, SubmitVerdict
from spaces_gateway.files.signing import FileLinks


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


class RequestPage(BaseModel):
    """Requests, newest first, without their outputs."""

    requests: list[RequestDocument]
    next_cursor: str | None = Field(default=None, description="Set when there are more.")


def accepted_json(verdict: SubmitVerdict, space_id: str) -> bytes:
    """A request right after it was accepted."""
    return to_json(
        {
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


def view_json(view: RequestView, links: FileLinks) -> bytes:
    """A request as it was read."""
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
    return _ended_json(facts, view, links)


def page_json(views: Sequence[RequestView], next_cursor: str | None, links: FileLinks) -> bytes:
    """A page of requests."""
    listed = b",".join(view_json(view, links) for view in views)
    return b'{"requests":[' + listed + b'],"next_cursor":' + to_json(next_cursor) + b"}"


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
