"""How long a request will wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_scheduler.queue_estimate import eta_s, queue_eta_s

MEANS = st.floats(0.001, 1000)


@given(st.integers(1, 1000), st.integers(1, 100), MEANS)
def test_who_stands_further_back_waits_longer_and_more_slots_shorten_it(
    position: int, slots: int, mean: float
) -> None:
    here = eta_s(position, slots, mean)
    behind = eta_s(position + 1, slots, mean)
    faster = eta_s(position, slots + 1, mean)
    assert here is not None
    assert behind is not None
    assert faster is not None
    assert 0 < faster < here < behind


@pytest.mark.parametrize(
    ("position", "slots", "mean"), [(None, 1, 1.0), (0, 1, 1.0), (1, 0, 1.0), (1, 1, None)]
)
def test_nothing_is_invented(position: int | None, slots: int, mean: float | None) -> None:
    assert eta_s(position, slots, mean) is None


def test_the_next_one_waits_for_half_a_run() -> None:
    assert eta_s(1, 1, 4.0) == 2.0
    assert eta_s(3, 1, 4.0) == 10.0
    assert eta_s(3, 2, 4.0) == 5.0


@given(st.integers(0, 100), st.integers(0, 100), MEANS)
def test_a_free_slot_means_no_wait(queued: int, free: int, mean: float) -> None:
    eta = queue_eta_s(queued, free, max(free, 1), mean)
    assert (eta == 0.0) == (free > queued)
