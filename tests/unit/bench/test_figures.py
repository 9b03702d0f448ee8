"""Percentiles, and figures on their way between processes."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.bench.load.figures import Figures, Times, percentile
from tests.bench.load.recorder import Recorder


def test_percentiles_are_values_that_were_seen() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) == 0.0


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0.01, 1.0))
def test_at_least_the_share_lies_at_or_below_the_percentile(
    values: list[float], share: float
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9


def test_figures_survive_the_pipe() -> None:
    figures = Figures(2.0, Times.of([0.001, 0.002]), 1, "why", 0.5, {"x": Times.of([0.1])}, 200)
    assert Figures.from_json(json.loads(json.dumps(figures.as_json()))) == figures
    assert figures.rps == 1.0
    assert figures.tokens_per_s == 100.0


def test_only_the_measured_phase_counts_but_an_error_always_does() -> None:
    recorder = Recorder()
    recorder.record(9.0)
    recorder.failed("in the warm-up")
    recorder.begin()
    recorder.record(0.001, tokens=3)
    recorder.note("first_token", 0.0005)
    recorder.failed("later")
    recorder.end()
    recorder.record(9.0)
    figures = recorder.figures()
    assert (figures.times.count, figures.times.max_ms, figures.tokens) == (1, 1.0, 3)
    assert (figures.errors, figures.first_error) == (2, "in the warm-up")
    assert figures.extra["first_token"].p95_ms == 0.5
