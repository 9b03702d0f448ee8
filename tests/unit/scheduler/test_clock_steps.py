"""Telling a step of the wall clock from time that passes."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from spaces_scheduler.clock_steps import STEP_S, Reading, step_between

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def reading(wall_s: float, monotonic_s: float, generation: int = 0) -> Reading:
    return Reading(NOON + timedelta(seconds=wall_s), monotonic_s, generation)


@given(st.floats(0, 1e6), st.floats(-STEP_S, STEP_S))
def test_time_that_passes_is_no_step(elapsed: float, drift: float) -> None:
    step = step_between(reading(0, 0), reading(elapsed + drift * 0.99, elapsed))
    assert step is None


@given(st.floats(0, 1e6), st.floats(STEP_S + 0.01, 1e6), st.sampled_from([1, -1]))
def test_a_step_is_seen_with_its_size_and_direction(elapsed: float, size: float, sign: int) -> None:
    step = step_between(reading(0, 0), reading(elapsed + sign * size, elapsed))
    assert step is not None
    assert abs(step - sign * size) < 0.001


def test_a_step_that_somebody_accounted_for_is_none_any_more() -> None:
    assert step_between(reading(0, 0), reading(3600, 1, generation=1)) is None


def test_the_expected_wall_clock_goes_on_as_before() -> None:
    assert reading(0, 100).wall_at(107.5) == NOON + timedelta(seconds=7.5)
