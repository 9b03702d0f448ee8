"""What both socket protocols share: text frames of one JSON object with a `type`, at most 1 MiB.

Unknown fields are ignored; an unknown type is answered with an `error` frame and the socket stays
open.
"""

import json
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from spaces_contracts.message import Contract
from spaces_contracts.problems import Code, Problem

PROTOCOL = "spaces.v1.json"
FIRST_FRAME_S = 5.0


class Frame(Contract):
    """One frame; subclasses set `type` to a literal."""

    def encode(self) -> str:
        """The text of the frame; unset fields are left out, `type` never is."""
        return self.model_dump_json(exclude_none=True)


class Ping(Frame):
    """Are you there? Either side may ask."""

    type: Literal["ping"] = "ping"
    id: int = 0


class Pong(Frame):
    """The answer to a ping, with its id."""

    type: Literal["pong"] = "pong"
    id: int = 0


class ErrorFrame(Frame):
    """Something the other side sent was not understood or refused; `ref` names what."""

    type: Literal["error"] = "error"
    code: Code
    message: str
    ref: str | None = None
    request_id: str | None = None
    retry: bool = False
    facts: dict[str, Any] = {}
    retry_after_s: float | None = None


class GoAway(Frame):
    """The server will close this socket soon: reconnect after the given time and resume."""

    type: Literal["goaway"] = "goaway"
    reconnect_after_s: float


class FrameError(ValueError):
    """A frame that cannot be read, with the problem to answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_frame(adapter: TypeAdapter[Any], types: frozenset[str], text: str | bytes) -> Any:
    """One frame of a union. Raises FrameError with malformed_frame or unknown_frame_type."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise FrameError(_diagnose(types, text, error)) from None
    except UnicodeError:
        raise FrameError(
            Problem(code=Code.MALFORMED_FRAME, message="The frame is not UTF-8.")
        ) from None


def _diagnose(types: frozenset[str], text: str | bytes, error: ValidationError) -> Problem:
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return Problem(code=Code.MALFORMED_FRAME, message="The frame is not JSON.")
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        return Problem(code=Code.MALFORMED_FRAME, message="A frame is a JSON object with a `type`.")
    if frame["type"] not in types:
        known = ", ".join(sorted(types))
        return Problem(
            code=Code.UNKNOWN_FRAME_TYPE,
            message=f"Type {frame['type'][:40]!r} is not one of: {known}.",
        )
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return Problem(
        code=Code.MALFORMED_FRAME,
        message=f"{frame['type']}: {where or 'frame'}: {first['msg']}",
    )
