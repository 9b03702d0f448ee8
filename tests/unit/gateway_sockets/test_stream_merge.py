"""Whatever way events arrive, a watcher gets each chunk once and in order, and then the end."""

import itertools
import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.requests import EventKind, RequestEvent, RequestFinished, RequestState
from spaces_gateway.sockets.stream_merge import (
    MAX_AHEAD_BYTES,
    MAX_AHEAD_EVENTS,
    Chunk,
    Ended,
    Output,
    Progress,
    Reset,
    Started,
    StreamMerge,
    joined,
    readable,
)

SPACE, REQUEST = "s" * 26, "r" * 26
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def chunk(attempt: int, n: int, count: int = 1) -> RequestEvent:
    """Chunk i of attempt a holds the text "a:i"."""
    data = [f"{attempt}:{i}" for i in range(n, n + count)]
    return RequestEvent(
        space_id=SPACE,
        request_id=REQUEST,
        kind=EventKind.CHUNK,
        attempt=attempt,
        n=n,
        count=count,
        data_json=json.dumps(data),
    )


def told(kind: EventKind, attempt: int) -> RequestEvent:
    return RequestEvent(space_id=SPACE, request_id=REQUEST, kind=kind, attempt=attempt, percent=1)


def end(attempt: int, last_n: int) -> RequestFinished:
    return RequestFinished(
        space_id=SPACE,
        request_id=REQUEST,
        state=RequestState.SUCCEEDED,
        attempt=attempt,
        last_n=last_n,
        created_at=NOW,
        finished_at=NOW,
    )


@st.composite
def cuts(draw: st.DrawFn, attempt: int, total: int) -> list[RequestEvent]:
    """One way to cut the chunks 1 … total into frames."""
    frames, n = [], 1
    while n <= total:
        count = draw(st.integers(1, total - n + 1))
        frames.append(chunk(attempt, n, count))
        n += count
    return frames


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[RequestEvent], int, int]:
    """Events of up to three attempts, each cut once or twice, doubled and shuffled; the last attempt, its total."""
    attempts = draw(st.integers(1, 3))
    events: list[RequestEvent] = []
    total = 0
    for attempt in range(1, attempts + 1):
        total = draw(st.integers(0, 12))
        for _ in range(draw(st.integers(1, 2))):
            events += draw(cuts(attempt, total))
        events += [told(EventKind.PROGRESS, attempt)]
    events += draw(st.lists(st.sampled_from(events), max_size=6))
    return draw(st.permutations(events)), attempts, total


def chunks_of(outputs: list[Output], attempt: int) -> list[str]:
    texts: list[str] = []
    for output in outputs:
        if isinstance(output, Chunk) and output.attempt == attempt:
            data = json.loads(output.data_json)
            assert len(data) == output.count
            texts += data
    return texts


@given(histories(), st.data())
def test_every_chunk_of_the_last_attempt_comes_once_in_order_and_the_end_comes_last(
    history: tuple[list[RequestEvent], int, int], data: st.DataObject
) -> None:
    events, attempts, total = history
    place = data.draw(st.integers(0, len(events)))
    merge = StreamMerge()
    outputs: list[Output] = []
    for i, event in enumerate(events):
        if i == place:
            outputs += merge.finished(end(attempts, total))
        outputs += merge.event(event)
    outputs += merge.finished(end(attempts, total))

    assert chunks_of(outputs, attempts) == [f"{attempts}:{n}" for n in range(1, total + 1)]
    assert [o for o in outputs if isinstance(o, Ended)] == [Ended(end(attempts, total), True)]
    assert isinstance(outputs[-1], Ended)
    assert merge.done


@given(histories(), st.integers(0, 20))
def test_what_is_delivered_is_always_a_beginning_without_holes(
    history: tuple[list[RequestEvent], int, int], keep: int
) -> None:
    merge = StreamMerge()
    delivered: dict[int, int] = {}
    for event in history[0][:keep]:
        for output in merge.event(event):
            if isinstance(output, Chunk):
                assert output.n == delivered.get(output.attempt, 0) + 1
                delivered[output.attempt] = output.n + output.count - 1


@given(histories())
def test_attempts_only_rise_and_each_new_one_begins_with_a_reset(
    history: tuple[list[RequestEvent], int, int],
) -> None:
    merge = StreamMerge()
    attempt = 0
    for event in history[0]:
        for output in merge.event(event):
            assert not isinstance(output, Ended)
            if isinstance(output, Reset):
                assert output.attempt > attempt
            elif attempt and output.attempt != attempt:
                raise AssertionError("a new attempt without a reset")
            attempt = output.attempt


@given(histories(), st.integers(0, 3), st.integers(0, 12), st.integers(0, 12))
def test_a_watcher_that_resumes_gets_exactly_what_it_lacks(
    history: tuple[list[RequestEvent], int, int], attempt: int, had: int, dropped: int
) -> None:
    events, attempts, total = history
    if attempt > attempts or (attempt == attempts and had > total):
        return
    merge = StreamMerge(attempt, had)
    outputs = [output for event in events for output in merge.event(event)]
    outputs += merge.finished(end(attempts, total))
    first = had + 1 if attempt == attempts else 1
    assert chunks_of(outputs, attempts) == [f"{attempts}:{n}" for n in range(first, total + 1)]
    assert isinstance(outputs[-1], Ended)


@given(cuts(1, 12), st.data())
def test_a_gap_is_seen_and_giving_up_ends_the_stream_as_not_recovered(
    frames: list[RequestEvent], data: st.DataObject
) -> None:
    missing = data.draw(st.sampled_from(frames))
    merge = StreamMerge()
    outputs = [o for frame in frames if frame is not missing for o in merge.event(frame)]
    outputs += merge.finished(end(1, 12))
    assert merge.gap
    assert merge.ending
    assert not any(isinstance(output, Ended) for output in outputs)
    assert merge.give_up() == [Ended(end(1, 12), recovered=False)]
    assert merge.event(missing) == []
    assert merge.give_up() == []


@given(cuts(1, 12), st.data())
def test_a_gap_that_is_filled_in_time_ends_the_stream_whole(
    frames: list[RequestEvent], data: st.DataObject
) -> None:
    missing = data.draw(st.sampled_from(frames))
    merge = StreamMerge()
    outputs = [o for frame in frames if frame is not missing for o in merge.event(frame)]
    outputs += merge.finished(end(1, 12)) + merge.event(missing)
    assert len(chunks_of(outputs, 1)) == 12
    assert outputs[-1] == Ended(end(1, 12), recovered=True)
    assert merge.give_up() == []


def test_giving_up_before_the_end_is_known_changes_nothing() -> None:
    merge = StreamMerge()
    merge.event(chunk(1, 2))
    assert merge.gap
    assert not merge.ending
    assert merge.give_up() == []
    assert not merge.done


def test_more_chunks_than_the_worker_counted_do_not_hold_back_the_end() -> None:
    merge = StreamMerge()
    merge.event(chunk(1, 1, 3))
    assert merge.finished(end(1, 0)) == [Ended(end(1, 0), recovered=True)]


def test_an_end_of_an_older_attempt_is_delivered_as_not_recovered() -> None:
    merge = StreamMerge(attempt=3, n=2)
    assert merge.finished(end(1, 5)) == [Ended(end(1, 5), recovered=False)]


def test_an_end_of_a_newer_attempt_resets_first() -> None:
    merge = StreamMerge(attempt=1, n=4)
    assert merge.finished(end(2, 0)) == [Reset(2), Ended(end(2, 0), recovered=True)]


def test_only_the_first_end_counts() -> None:
    merge = StreamMerge()
    assert merge.finished(end(1, 2)) == []
    assert merge.finished(end(1, 0)) == []
    assert merge.ending


def test_progress_and_start_are_passed_on_until_the_end_is_known() -> None:
    merge = StreamMerge()
    assert merge.event(told(EventKind.STARTED, 1)) == [Started(1)]
    assert merge.event(told(EventKind.PROGRESS, 1)) == [Progress(1, 1, None)]
    merge.finished(end(1, 3))
    assert merge.event(told(EventKind.PROGRESS, 1)) == []
    assert merge.event(chunk(2, 1)) == []


def test_too_much_ahead_of_a_gap_is_left_in_the_stream_and_the_gap_stays_known() -> None:
    merge = StreamMerge()
    for n in range(2, MAX_AHEAD_EVENTS + 10):
        assert merge.event(chunk(1, n)) == []
    outputs = merge.event(chunk(1, 1))
    assert len(outputs) == MAX_AHEAD_EVENTS + 1
    assert merge.gap


def test_a_longer_cut_of_the_same_chunk_replaces_the_shorter_one_ahead() -> None:
    merge = StreamMerge()
    for count in (1, 3, 2):
        merge.event(chunk(1, 2, count))
    assert chunks_of(merge.event(chunk(1, 1)), 1) == ["1:1", "1:2", "1:3", "1:4"]


@given(cuts(1, 12), st.integers(20, 80))
def test_joining_keeps_every_chunk_in_order_and_its_size(
    frames: list[RequestEvent], most: int
) -> None:
    merge = StreamMerge()
    outputs = [output for frame in frames for output in merge.event(frame)]
    together = joined([*outputs, Reset(2), Chunk(2, 1, 1, "[0]")], most)
    assert chunks_of(together, 1) == chunks_of(outputs, 1)
    for before, after in itertools.pairwise(together):
        if isinstance(before, Chunk) and isinstance(after, Chunk) and before.attempt == 1:
            assert after.n == before.n + before.count
            assert len(before.data_json) + len(after.data_json) > most
    longest = max(len(o.data_json) for o in outputs if isinstance(o, Chunk))
    assert all(len(o.data_json) <= max(most, longest) for o in together if isinstance(o, Chunk))


def test_chunks_are_readable_only_if_they_hold_what_they_say() -> None:
    good = chunk(1, 1, 2)
    assert readable(good)
    assert readable(told(EventKind.PROGRESS, 1))
    for change in (
        {"count": 3},
        {"count": 0},
        {"n": 0},
        {"data_json": None},
        {"data_json": '{"a": 1}'},
        {"data_json": "[1, 2"},
        {"data_json": " [1, 2]"},
        {"data_json": '[1, 2],"type":"finished"'},
        {"data_json": '[1],"x":[2]'},
    ):
        assert not readable(good.model_copy(update=change)), change


def test_a_broken_chunk_is_ignored() -> None:
    merge = StreamMerge()
    assert merge.event(chunk(1, 1).model_copy(update={"data_json": None})) == []
    assert merge.event(chunk(1, 1).model_copy(update={"count": 0})) == []
    assert merge.n == 0


def test_a_position_without_an_attempt_is_the_beginning() -> None:
    merge = StreamMerge(attempt=0, n=5)
    assert chunks_of(merge.event(chunk(1, 1)), 1) == ["1:1"]
    assert StreamMerge(attempt=0, n=5).finished(end(1, 0)) == [Ended(end(1, 0), recovered=True)]


def test_the_bytes_kept_ahead_of_a_gap_are_bounded_and_given_back() -> None:
    big = chunk(1, 2).model_copy(update={"data_json": f'["{"x" * (MAX_AHEAD_BYTES - 4)}"]'})
    merge = StreamMerge()
    merge.event(big)
    merge.event(chunk(1, 3))  # no room for it
    assert len(merge.event(chunk(1, 1))) == 2
    assert merge.gap
    merge.event(chunk(1, 5))  # there is room again
    assert len(merge.event(chunk(1, 3, 2))) == 2
    assert not merge.gap
