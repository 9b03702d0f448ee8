"""Counts of ranges and what is estimated from them."""

import pytest

from spaces_chassis.metrics import LATENCY_BUCKETS_S
from spaces_scheduler.figures import RANGES, Counts, percentile, ranges, step_s


def counts(**at: int) -> list[int]:
    found = [0] * RANGES
    for name, count in at.items():
        found[int(name[1:])] = count
    return found


def test_nothing_has_no_percentile() -> None:
    assert percentile(counts(), 0.5) is None


def test_a_percentile_lies_in_its_range() -> None:
    assert percentile(counts(_1=10), 0.5) == pytest.approx(0.00075)
    found = percentile(counts(_1=90, _9=10), 0.95)
    assert found is not None
    assert LATENCY_BUCKETS_S[8] < found <= LATENCY_BUCKETS_S[9]


def test_what_took_longest_counts_as_the_longest_that_is_known() -> None:
    assert percentile(counts(**{f"_{RANGES - 1}": 5}), 0.5) == LATENCY_BUCKETS_S[-1]


def test_ranges_are_the_differences_of_what_metrics_say() -> None:
    assert ranges([1.0, 1.0, 4.0]) == [1, 0, 3]


def test_what_is_new_is_what_was_added() -> None:
    before = Counts(2, {"failed": 1}, counts(_0=1), counts(_2=1))
    now = Counts(5, {"failed": 1, "succeeded": 2}, counts(_0=1, _3=2), counts(_2=3))
    new = now.since(before)
    assert (new.accepted, new.ended["succeeded"], new.ended["failed"]) == (3, 2, 0)
    assert (new.waits[3], new.runs[2], new.waits[0]) == (2, 2, 0)
    assert now.since(now).empty
    assert not new.empty


@pytest.mark.parametrize("hours", [1, 6, 24, 168])
def test_a_plot_has_a_useful_number_of_points(hours: int) -> None:
    assert 24 <= hours * 3600 / step_s(hours) <= 170
