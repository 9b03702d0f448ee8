"""Reading what was sent: JSON up to 1 MiB, and headers that people write by hand."""

import re
from typing import Any, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.datastructures import QueryParams
from starlette.requests import Request

from spaces_chassis.errors import ProblemError
from spaces_contracts.problems import Code
from spaces_gateway.http.problems import BadRequest

MAX_JSON_BYTES = 1_048_576
LONGEST_WAIT_S = 60
_KEY = re.compile(rb"[!-~]{1,255}")
_WAIT = re.compile(rb"wait=([0-9.]{1,9})")  # what nearly all send; unescaping costs microseconds
M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, limit: int = MAX_JSON_BYTES) -> bytes:
    """The whole body. Problem: payload_too_large, before more than `limit` bytes are held."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def read_json(body: bytes) -> Any:
    """Strict JSON: no NaN, no lone surrogates."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest.at("#", f"The body is not valid JSON: {error}.") from None


def read_model(model: type[M], body: bytes) -> M:
    """A body as a model. Raises BadRequest with each field's error."""
    try:
        return model.model_validate(read_json(body))
    except ValidationError as error:
        raise BadRequest.of(error) from None


def too_large(limit: int) -> ProblemError:
    """The problem for a body over its limit."""
    return ProblemError.of(
        Code.PAYLOAD_TOO_LARGE, f"The body is larger than {limit} bytes.", max_bytes=limit
    )


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key header, if any."""
    key = request.headers.get("idempotency-key")
    return None if key is None else checked_key(key.encode("latin-1"))


def checked_key(key: bytes | None) -> str | None:
    """The value of an Idempotency-Key header."""
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise BadRequest.at(
            "header/Idempotency-Key", "Use 1 to 255 visible ASCII characters without spaces."
        )
    return key.decode()


def file_name(request: Request) -> str | None:
    """The X-File-Name header, percent-encoded UTF-8."""
    name = request.headers.get("x-file-name")
    return unquote(name, errors="replace") if name else None


def wait_in(query: bytes) -> float:
    """Seconds to wait for the end: the query parameter `wait`; 0 without it."""
    plain = _WAIT.fullmatch(query)
    text = plain[1].decode() if plain else QueryParams(query).get("wait")
    if text is None:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT_S:
        raise BadRequest.at("query/wait", f"Use a number of seconds from 0 to {LONGEST_WAIT_S}.")
    return seconds
