"""How answers look on the wire: a reply's JSON object, or a problem under a key no reply can have."""

from typing import TypeVar

from spaces_chassis.errors import ProblemError
from spaces_contracts.message import Reply
from spaces_contracts.problems import Problem

R = TypeVar("R", bound=Reply)

# No pydantic field can be called so; and a reader tells the two apart by the first bytes.
_PROBLEM = b'{"$problem":'


def encode_reply(answer: Reply | Problem) -> bytes:
    """The bytes of an answer."""
    if isinstance(answer, Problem):
        return _PROBLEM + answer.model_dump_json(exclude_defaults=True).encode() + b"}"
    return answer.encode()


def decode_reply(reply_type: type[R], body: bytes) -> R:
    """Reads an answer. Raises ProblemError when the other side answered with a problem."""
    if body.startswith(_PROBLEM):
        raise ProblemError(Problem.model_validate_json(body[len(_PROBLEM) : -1]))
    return reply_type.model_validate_json(body)
