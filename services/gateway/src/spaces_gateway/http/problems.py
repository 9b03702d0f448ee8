"""Problems as HTTP shows them (RFC 9457): one document for every refusal, whoever noticed it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from spaces_chassis.errors import ProblemError
from spaces_chassis.http import Scope
from spaces_contracts.problems import KINDS, Code, Problem
from spaces_gateway.quotas.rate_headers import headers_of

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/docs/problems#"
# What clients are told to wait when a retry can help and nobody knows better.
RETRY_AFTER_S = {Code.UNAVAILABLE: 1, Code.GOING_AWAY: 1, Code.TOO_MANY_CONNECTIONS: 5,
                 Code.QUEUE_FULL: 1, Code.WORKER_NOT_CONNECTED: 5}  # fmt: skip


class FieldError(BaseModel):
    """One thing that is wrong in what was sent."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})

    pointer: str = Field(description="Where: a JSON pointer into the body, or query/name.")
    detail: str


class ProblemDocument(BaseModel):
    """Why a call was refused or failed (RFC 9457). `code` is stable; texts may change."""

    type: str = Field(description="A stable address that explains the code.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was called.")
    code: Code
    retry: bool = Field(description="Whether the same call can succeed later.")
    retry_after_s: float | None = None
    what_to_do: str
    errors: list[FieldError] = []
    facts: dict[str, Any] = {}


class BadRequest(Exception):
    """What was sent does not fit; carries the list of errors. Answered with invalid_request."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.pointer}: {error.detail}" for error in errors))
        self.errors = list(errors)

    @classmethod
    def at(cls, pointer: str, detail: str) -> "BadRequest":
        """One error."""
        return cls([FieldError(pointer=pointer, detail=detail)])

    @classmethod
    def of(cls, error: ValidationError) -> "BadRequest":
        """What pydantic found in a body."""
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return cls([field_error(item, "#") for item in found])


def problem_document(
    problem: Problem, instance: str, errors: Sequence[FieldError] = ()
) -> dict[str, Any]:
    """The members of a problem document."""
    kind = KINDS[problem.code]
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.code,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.message or kind.title,
        "instance": instance,
        "code": problem.code.value,
        "retry": kind.retry,
        "what_to_do": kind.what_to_do,
    }
    retry_after_s = _retry_after_s(problem)
    if retry_after_s is not None:
        document["retry_after_s"] = retry_after_s
    if errors:
        document["errors"] = [error.model_dump() for error in errors]
    if problem.facts:
        document["facts"] = problem.facts
    return document


def problem_response(
    problem: Problem,
    instance: str,
    *,
    errors: Sequence[FieldError] = (),
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for a problem; `more` adds members."""
    document = problem_document(problem, instance, errors) | dict(more or {})
    response = Response(
        to_json(document, inf_nan_mode="null", fallback=str),
        status_code=document["status"],
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )
    if "retry_after_s" in document:
        response.headers["retry-after"] = str(math.ceil(document["retry_after_s"]))
    if problem.code is Code.RATE_LIMITED:
        response.headers.update(headers_of(problem))
    if document["status"] == 401:
        response.headers["www-authenticate"] = "Bearer"
    response.headers["cache-control"] = "no-store"
    return response


def problem_of(error: Exception) -> tuple[Problem, Sequence[FieldError]]:
    """What an error means to a client."""
    if isinstance(error, ProblemError):
        return error.problem, ()
    if isinstance(error, BadRequest):
        return invalid_request(error.errors), error.errors
    if isinstance(error, RequestValidationError):
        errors = [_located(item) for item in error.errors()]
        return invalid_request(errors), errors
    if isinstance(error, HTTPException):
        return _of_status(error), ()
    return Problem(code=Code.INTERNAL_ERROR, message="Something is wrong on the server."), ()


def invalid_request(errors: Sequence[FieldError]) -> Problem:
    """The problem whose text names the first error."""
    first = errors[0] if errors else None
    text = f"{first.pointer}: {first.detail}" if first else "The request does not fit the schema."
    return Problem(code=Code.INVALID_REQUEST, message=text)


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem document."""

    async def answer(request: Request, error: Exception) -> Response:
        problem, errors = problem_of(error)
        headers = error.headers if isinstance(error, HTTPException) else None
        return problem_response(problem, called(request.scope), errors=errors, headers=headers)

    for kind in (ProblemError, BadRequest, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def called(scope: Scope) -> str:
    """The path as it was sent, without what follows the question mark."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw_path.decode("latin-1")


def field_error(item: ErrorDetails, root: str) -> FieldError:
    """One error of pydantic's, with its place as a JSON pointer below `root`."""
    place = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in item["loc"])
    return FieldError(pointer=root + place, detail=item["msg"])


def _located(item: ErrorDetails) -> FieldError:
    source, *rest = item["loc"] or ("body",)
    below = {**item, "loc": tuple(rest)}
    if source == "body":
        if item["type"] == "json_invalid":
            return FieldError(pointer="#", detail="The body is not valid JSON.")
        return field_error(below, "#")  # type: ignore[arg-type]  # the same TypedDict, unpacked
    return field_error(below, str(source))  # type: ignore[arg-type]  # as above


def _of_status(error: HTTPException) -> Problem:
    if error.status_code == 404:
        return Problem(code=Code.NOT_FOUND, message="There is nothing at this address.")
    if error.status_code == 405:
        return Problem(
            code=Code.METHOD_NOT_ALLOWED, message="The address does not take this method."
        )
    if error.status_code == 413:
        return Problem(code=Code.PAYLOAD_TOO_LARGE, message=str(error.detail))
    if error.status_code < 500:
        return Problem(code=Code.INVALID_REQUEST, message=str(error.detail))
    return Problem(code=Code.INTERNAL_ERROR, message="Something is wrong on the server.")


def _retry_after_s(problem: Problem) -> float | None:
    if problem.retry_after_s is not None:
        return problem.retry_after_s
    return RETRY_AFTER_S.get(problem.code)
