"""The position of a reader: whatever the connection does, output comes whole, once and in order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spaces_client.resume import Event, Reading, Taken
from spaces_contracts.client_socket import (
    After,
    ChunkFrame,
    FinishedFrame,
    ProgressFrame,
    ResetFrame,
    StatusFrame,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import RequestState

RID, SID = new_id(), new_id()


def chunk(attempt: int, n: int, *data: Any) -> ChunkFrame:
    return ChunkFrame(request_id=RID, attempt=attempt, n=n, data=list(data))


def status(state: RequestState = RequestState.QUEUED, **fields: Any) -> StatusFrame:
    return StatusFrame(request_id=RID, space_id=SID, state=state, **fields)


def finished(attempt: int = 1, last_n: int = 0, recovered: bool = True) -> FinishedFrame:
    return FinishedFrame(
        request_id=RID,
        space_id=SID,
        state=RequestState.SUCCEEDED,
        attempt=attempt,
        last_n=last_n,
        recovered=recovered,
        output="all",
    )


def test_chunks_pass_and_move_the_position() -> None:
    reading = Reading()
    assert reading.take(chunk(1, 1, "a", "b")).events == [chunk(1, 1, "a", "b")]
    assert reading.after == After(attempt=1, n=2)


def test_what_was_read_before_is_dropped_and_an_overlap_is_trimmed() -> None:
    reading = Reading()
    reading.take(chunk(1, 1, "a", "b"))
    assert reading.take(chunk(1, 1, "a", "b")).events == []
    assert reading.take(chunk(1, 2, "b", "c", "d")).events == [chunk(1, 3, "c", "d")]


def test_a_gap_asks_once_and_shows_nothing_until_it_is_filled() -> None:
    reading = Reading()
    reading.take(chunk(1, 1, "a"))
    assert reading.take(chunk(1, 4, "d")) == Taken([], ask_again=True)
    assert reading.take(chunk(1, 5, "e")) == Taken([], ask_again=False)
    assert reading.take(chunk(1, 2, "b", "c", "d", "e")).events == [chunk(1, 2, "b", "c", "d", "e")]
    assert reading.take(chunk(1, 9, "i")).ask_again


def test_a_new_attempt_resets_a_reader_that_holds_chunks() -> None:
    reading = Reading()
    reading.take(chunk(1, 1, "a"))
    reset = ResetFrame(request_id=RID, attempt=2)
    assert reading.take(reset).events == [reset]
    assert reading.take(reset).events == []
    assert reading.take(chunk(1, 2, "late")).events == []
    assert reading.take(chunk(2, 1, "b")).events == [chunk(2, 1, "b")]


def test_a_chunk_of_a_newer_attempt_brings_its_own_reset() -> None:
    reading = Reading(After(attempt=1, n=3))
    assert reading.take(chunk(2, 1, "x")).events == [
        ResetFrame(request_id=RID, attempt=2),
        chunk(2, 1, "x"),
    ]


def test_a_reader_that_holds_nothing_hears_of_no_reset() -> None:
    reading = Reading()
    assert reading.take(ResetFrame(request_id=RID, attempt=2)).events == []
    assert reading.after == After(attempt=2, n=0)


def test_progress_of_an_older_attempt_is_dropped() -> None:
    reading = Reading(After(attempt=2, n=1))
    assert reading.take(ProgressFrame(request_id=RID, attempt=1, percent=5)).events == []
    now = ProgressFrame(request_id=RID, attempt=2, percent=5)
    assert reading.take(now).events == [now]


def test_the_same_status_again_is_no_news() -> None:
    reading = Reading()
    assert reading.take(status(ref="r1", position=1)).events == [status(position=1)]
    assert reading.take(status(ref="r2", position=1)).events == []
    assert reading.take(status(ref="r2", position=2)).events == [status(position=2)]


def test_an_end_with_chunks_missing_asks_for_them_first() -> None:
    reading = Reading()
    reading.take(chunk(1, 1, "a"))
    assert reading.take(finished(last_n=3)) == Taken([], ask_again=True)
    assert not reading.finished
    reading.take(chunk(1, 2, "b", "c"))
    assert reading.take(finished(last_n=3)).events == [finished(last_n=3)]
    assert reading.finished


def test_an_end_whose_chunks_never_come_says_that_they_are_missing() -> None:
    reading = Reading()
    reading.take(finished(last_n=3))
    assert reading.take(finished(last_n=3)).events == [finished(last_n=3, recovered=False)]


def test_an_end_that_the_gateway_calls_unrecovered_is_believed() -> None:
    reading = Reading()
    assert reading.take(finished(last_n=3, recovered=False)).events == [
        finished(last_n=3, recovered=False)
    ]


def test_nothing_follows_the_end() -> None:
    reading = Reading()
    reading.take(finished())
    for frame in (finished(), chunk(1, 1, "a"), status(), ResetFrame(request_id=RID, attempt=9)):
        assert reading.take(frame) == Taken()


def test_an_end_of_an_older_attempt_ends_all_the_same() -> None:
    reading = Reading(After(attempt=2, n=1))
    assert reading.take(finished(attempt=1, last_n=7)).events == [finished(attempt=1, last_n=7)]


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=3),
    cuts=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5)), max_size=30),
)
def test_any_pattern_of_cuts_gives_the_last_attempt_whole_once_in_order(
    sizes: list[int], cuts: list[tuple[int, int]]
) -> None:
    """A gateway that answers each subscription from (attempt, n) on; each connection lasts some frames."""
    reading = Reading()
    shown: list[tuple[int, int]] = []
    last = len(sizes)

    def sent_after(after: After, attempt: int, width: int) -> list[Event]:
        first = after.n + 1 if after.attempt == attempt else 1
        frames: list[Event] = [status(RequestState.RUNNING, attempt=attempt)]
        if attempt > after.attempt > 0:
            frames.append(ResetFrame(request_id=RID, attempt=attempt))
        for n in range(first, sizes[attempt - 1] + 1, width):
            numbers = range(n, min(n + width, sizes[attempt - 1] + 1))
            frames.append(chunk(attempt, n, *((attempt, number) for number in numbers)))
        if attempt == last:
            frames.append(finished(attempt, sizes[-1]))
        return frames

    for number, (frames, width) in enumerate([*cuts, (1000, 1)]):
        # Attempts go on while the reader is away.
        attempt = min(last, 1 + number * last // (len(cuts) + 1)) if number < len(cuts) else last
        attempt = max(attempt, reading.after.attempt)
        for frame in sent_after(reading.after, attempt, width)[:frames]:
            for event in reading.take(frame).events:
                if isinstance(event, ResetFrame):
                    shown.clear()
                elif isinstance(event, ChunkFrame):
                    shown.extend(event.data)
    assert reading.finished
    assert shown == [(last, number) for number in range(1, sizes[-1] + 1)]
