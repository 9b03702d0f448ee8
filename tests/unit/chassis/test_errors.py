"""Errors carry the problem a client may be shown."""

import pytest

from spaces_chassis.bus import decode_reply, encode_reply
from spaces_chassis.errors import (
    BusTimeout,
    BusUnavailable,
    DatabaseUnavailable,
    NoResponders,
    ProblemError,
)
from spaces_contracts.message import Done
from spaces_contracts.problems import Code, Problem


def test_a_problem_is_made_from_code_text_and_facts() -> None:
    error = ProblemError.of(Code.QUEUE_FULL, "full", limit=3)
    assert error.problem == Problem(code=Code.QUEUE_FULL, message="full", facts={"limit": 3})
    assert str(error) == "queue_full: full"


@pytest.mark.parametrize("kind", [BusTimeout, BusUnavailable, NoResponders, DatabaseUnavailable])
def test_what_cannot_be_reached_is_unavailable(kind: type[ProblemError]) -> None:
    error = kind("no answer")  # type: ignore[arg-type]  # these take a text
    assert isinstance(error, ProblemError)
    assert error.problem.code == Code.UNAVAILABLE
    assert error.problem.kind.status == 503


@pytest.mark.parametrize("code", list(Code))
def test_every_problem_survives_the_wire(code: Code) -> None:
    problem = Problem(code=code, message='a "text" with }', retry_after_s=1.5, facts={"a": [1]})
    with pytest.raises(ProblemError) as caught:
        decode_reply(Done, encode_reply(problem))
    assert caught.value.problem == problem


def test_a_reply_is_not_taken_for_a_problem() -> None:
    assert decode_reply(Done, encode_reply(Done())) == Done()
    assert decode_reply(Done, b'{"problem":{"code":"cancelled"}}') == Done()
