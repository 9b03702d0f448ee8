"""Trends: exact on lines, deaf to outliers, and honest about noise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.trend import theil_sen

NUMBERS = st.integers(-100, 100)


@given(NUMBERS, NUMBERS)
def test_a_line_has_its_slope_and_no_width(slope: int, start: int) -> None:
    trend = theil_sen([(x, start + slope * x) for x in range(8)])
    assert (trend.slope, trend.low, trend.high) == (slope, slope, slope)


@given(st.lists(NUMBERS, min_size=3, max_size=12))
def test_the_slope_lies_in_its_interval(values: list[int]) -> None:
    trend = theil_sen(list(enumerate(values)))
    assert trend.low <= trend.slope <= trend.high


def test_one_wild_point_changes_nothing() -> None:
    points = [(float(x), 2.0 * x) for x in range(20)]
    points[7] = (7.0, 1e6)
    assert theil_sen(points).slope == 2.0


def test_what_only_trembles_has_an_interval_around_zero() -> None:
    trend = theil_sen([(float(x), float(x % 3)) for x in range(30)])
    assert trend.low <= 0 <= trend.high


def test_two_points_are_no_trend() -> None:
    with pytest.raises(ValueError, match="three"):
        theil_sen([(0, 0), (1, 1)])
