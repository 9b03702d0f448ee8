"""The window of a job's output: what may be on its way, what a handler hears, what one frame holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.requests import MAX_FRAME_BYTES
from spaces_worker_agent.window import (
    BATCH_CHARACTERS,
    BATCH_CHUNKS,
    CREDIT_CHARACTERS,
    CREDIT_CHUNKS,
    WINDOW_CHARACTERS,
    WINDOW_CHUNKS,
    Window,
    credit_due,
    next_batch,
    window_open,
)


def test_a_window_is_shut_by_as_many_chunks_or_characters_as_it_holds() -> None:
    assert window_open(0, 0)
    assert window_open(WINDOW_CHUNKS - 1, WINDOW_CHARACTERS - 1)
    for chunks, characters in (
        (WINDOW_CHUNKS, 0),
        (WINDOW_CHUNKS + 1, 0),
        (0, WINDOW_CHARACTERS),
        (0, WINDOW_CHARACTERS + 1),
    ):
        assert not window_open(chunks, characters)


def test_a_handler_hears_of_each_quarter_of_the_window() -> None:
    assert (CREDIT_CHUNKS * 4, CREDIT_CHARACTERS * 4) == (WINDOW_CHUNKS, WINDOW_CHARACTERS)
    assert isinstance(CREDIT_CHUNKS, int)
    assert isinstance(CREDIT_CHARACTERS, int)
    assert not credit_due(0, 0)
    assert not credit_due(CREDIT_CHUNKS - 1, CREDIT_CHARACTERS - 1)
    for chunks, characters in (
        (CREDIT_CHUNKS, 0),
        (CREDIT_CHUNKS + 1, 0),
        (0, CREDIT_CHARACTERS),
        (0, CREDIT_CHARACTERS + 1),
    ):
        assert credit_due(chunks, characters)


def test_a_new_window_is_empty() -> None:
    window = Window()
    assert not window.sent(b"x" * WINDOW_CHARACTERS)
    assert Window().sent(b"x" * (WINDOW_CHARACTERS - 1))


def test_characters_are_counted_and_not_their_bytes() -> None:
    assert Window().sent("蛙".encode() * (WINDOW_CHARACTERS - 1))
    assert not Window().sent("蛙".encode() * WINDOW_CHARACTERS)


@given(
    st.lists(st.integers(0, WINDOW_CHARACTERS // 3), min_size=1, max_size=8),
    st.lists(st.integers(0, 10), max_size=8),
)
def test_a_window_opens_by_what_is_stored_in_whatever_order_that_is_told(
    sizes: list[int], told: list[int]
) -> None:
    window = Window()
    for nth, size in enumerate(sizes, 1):
        assert window.sent(b"x" * size) == (sum(sizes[:nth]) < WINDOW_CHARACTERS)
    highest = 0
    for n in told:
        window.stored(n)
        highest = max(highest, min(n, len(sizes)))
        assert window.open == (sum(sizes[highest:]) < WINDOW_CHARACTERS)


def test_chunks_stored_are_counted_from_the_first_one() -> None:
    window = Window()
    for _ in range(WINDOW_CHUNKS - 1):
        assert window.sent(b"x")
    assert not window.sent(b"x")
    window.stored(1)
    assert not window.sent(b"x"), "one was free, and is taken again"
    window.stored(1)
    assert not window.open, "told twice, stored once"
    window.stored(3)
    assert window.sent(b"x")
    assert not window.sent(b"x")


@given(
    st.lists(st.sampled_from([0, 1, 1000, BATCH_CHARACTERS // 2, BATCH_CHARACTERS]), max_size=20),
    st.integers(0, 20),
)
def test_a_batch_takes_what_fits_and_not_one_less(sizes: list[int], start: int) -> None:
    chunks = ["x" * size for size in sizes]
    batch = next_batch(chunks, start)
    rest = chunks[start:]
    assert list(batch) == rest[: len(batch)]
    if rest:
        assert batch
    if len(batch) > 1:
        assert sum(map(len, batch)) <= BATCH_CHARACTERS
    if len(batch) < len(rest):
        assert sum(map(len, rest[: len(batch) + 1])) > BATCH_CHARACTERS


@pytest.mark.parametrize("start", [0, 1, 257, 800])
def test_a_batch_holds_at_most_so_many_chunks(start: int) -> None:
    chunks = ["x"] * 1000
    assert len(next_batch(chunks, start)) == min(BATCH_CHUNKS, 1000 - start)


def test_a_full_batch_of_the_longest_characters_is_at_most_half_a_frame() -> None:
    assert BATCH_CHARACTERS * 4 <= MAX_FRAME_BYTES // 2
    assert len(next_batch(["x" * (BATCH_CHARACTERS - 1), "y", "z"], 0)) == 2
    assert len(next_batch(["x" * BATCH_CHARACTERS, "y"], 0)) == 1
    assert len(next_batch(["x" * (BATCH_CHARACTERS + 1), "y"], 0)) == 1
