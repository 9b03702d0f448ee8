"""What a cumulative acknowledgement may say."""

from hypothesis import given
from hypothesis import strategies as st

from spaces_gateway.sockets.chunk_window import ChunkWindow


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.integers(1, 50), st.data())
def test_it_acknowledges_exactly_what_is_stored_without_a_hole(
    counts: list[int], first: int, data: st.DataObject
) -> None:
    window = ChunkWindow()
    frames: list[tuple[int, int]] = []
    n = first
    for count in counts:
        window.received(n, count)
        frames.append((n, n + count - 1))
        n += count
    waiting = dict(frames)
    for start, _ in data.draw(st.permutations(frames)):
        window.stored(start)
        del waiting[start]
        expected = min(waiting) - 1 if waiting else n - 1
        assert window.acknowledged == expected
        assert window.empty == (not waiting)


def test_a_frame_that_was_sent_twice_waits_for_both() -> None:
    window = ChunkWindow()
    window.received(1, 2)
    window.received(1, 2)
    window.stored(1)
    assert (window.acknowledged, window.empty) == (0, False)
    window.stored(1)
    assert (window.acknowledged, window.empty) == (2, True)


def test_an_answer_for_nothing_changes_nothing() -> None:
    window = ChunkWindow()
    window.stored(3)
    assert (window.acknowledged, window.empty) == (0, True)
