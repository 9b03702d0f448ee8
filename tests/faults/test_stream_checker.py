"""What a reader of a stream may be told, and what is found when it is told otherwise."""

from typing import Any

import pytest

from tests.faults.history import Inflicted, Reading
from tests.faults.streams import judge

CHUNKS = 4


def chunk(n: int, count: int = 1, attempt: int = 1) -> tuple[str, dict[str, Any]]:
    data = [f"{m} " for m in range(n, n + count)]
    return "chunk", {"attempt": attempt, "n": n, "data": data}


def reset(attempt: int) -> tuple[str, dict[str, Any]]:
    return "reset", {"attempt": attempt}


def finished(**changes: Any) -> tuple[str, dict[str, Any]]:
    return "finished", {"state": "succeeded", "recovered": True, "output": None} | changes


def told(*frames: tuple[str, dict[str, Any]], losses: int = 0) -> tuple[list[str], int]:
    return judge([Reading("r", CHUNKS, list(frames))], Inflicted(stream_losses=losses))


def test_all_chunks_once_and_in_order_are_right() -> None:
    assert told(chunk(1, 2), chunk(3), chunk(4), finished()) == ([], 0)


def test_a_new_attempt_begins_again() -> None:
    frames = (chunk(1), chunk(2), reset(2), chunk(1, 4, attempt=2), finished())
    assert told(*frames) == ([], 0)


@pytest.mark.parametrize(
    ("frames", "word"),
    [
        ((chunk(1), chunk(3, 2), finished()), "missing"),
        ((chunk(1, 2), chunk(2, 3), finished()), "doubled"),
        ((chunk(1, 3), finished()), "3 chunks of 4"),
        ((chunk(1, 4), finished(), finished()), "after the end"),
        ((chunk(1, 4), finished(), chunk(4)), "after the end"),
        ((chunk(1, 4),), "never told of the end"),
        ((chunk(1), chunk(1, 4, attempt=2), finished()), "a chunk of attempt 2 in attempt 1"),
        ((reset(2), reset(1), chunk(1, 4), finished()), "back to 1"),
        (
            (("chunk", {"attempt": 1, "n": 1, "data": ["1 ", "2 ", "2 ", "4 "]}), finished()),
            "chunks of 4 at the end",
        ),
    ],
)
def test_what_is_wrong_is_found(frames: tuple[tuple[str, dict[str, Any]], ...], word: str) -> None:
    violations, _ = told(*frames)
    assert any(word in violation for violation in violations), violations


def test_a_whole_output_replaces_chunks_only_after_nats_lost_something() -> None:
    whole = finished(recovered=False, output="1 2 3 4 ")
    assert told(chunk(1), whole, losses=1) == ([], 1)
    assert told(chunk(1), whole)[0]
    parts = finished(recovered=False, output=["1 ", "2 ", "3 ", "4 "])
    assert told(parts, losses=1) == ([], 1)


def test_an_output_that_is_not_whole_is_found() -> None:
    assert told(chunk(1), finished(recovered=False, output="1 2 3 "), losses=1)[0]


def test_the_part_of_a_failed_stream_is_no_violation_of_the_stream() -> None:
    assert told(chunk(1), finished(state="failed")) == ([], 0)
