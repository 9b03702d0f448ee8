"""Ratios, what was wanted, medians, and how they are shown."""

from typing import Any

import pytest

from tests.bench.plot import plot
from tests.bench.ratios import judged, ratio, ratios
from tests.bench.rounds import combined
from tests.bench.table import grid, table


def row(system: str, rps: float, *, rounds: tuple[float, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "system": system,
        "durable": system == "product",
        "transport": "http",
        "spaces": 1,
        "slots": 64,
        "clients": 64,
        "rps": rps,
        "p50_ms": 1000 / rps,
        "p95_ms": 2000 / rps,
        "p99_ms": 3000 / rps,
        "cpu_s_per_1000": 1 / rps,
        "rss_mib": 100.0,
        "part": "echo-64",
        "rounds": [{"rps": value} for value in rounds or (rps,)],
        "cpu_s_per_1000_by_process": {"gateway": 0.1},
        **more,
    }


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    ours = row("product", 400, rounds=(400, 100, 420))  # the second round met a slow phase
    theirs = row("celery-redis", 100, rounds=(100, 50, 100))
    assert ratio(ours, theirs, "rps") == 4.0


def test_a_round_that_others_disturbed_counts_only_when_there_is_no_better() -> None:
    ours, theirs = row("product", 400, rounds=(100, 400)), row("a", 100, rounds=(100, 100))
    ours["rounds"][0]["others_cores"] = 1.0
    assert ratio(ours, theirs, "rps") == 4.0
    theirs["rounds"][1]["others_cores"] = 1.0
    assert ratio(ours, theirs, "rps") == 2.5


def test_rounds_of_different_parts_are_not_paired() -> None:
    ours = row("product", 400, rounds=(400, 100, 420), part="spaces")
    assert ratio(ours, row("product", 100, rounds=(1, 1, 1)), "rps") == 4.0


def test_ratios_leave_out_cells_with_errors() -> None:
    rows = [row("product", 400), row("a", 100), row("b", 100, errors=1)]
    assert [(found["peer"], found["rps"]) for found in ratios(rows)] == [("a", 4.0)]
    assert ratios([row("product", 400, errors=2), row("a", 100)]) == []


def test_the_seeds_best_variant_is_what_counts() -> None:
    rows = [
        row("product", 400),
        row("flask-socketio-gevent", 200),
        row("flask-socketio-threading", 50),
    ]
    (found,) = [one for one in judged(rows) if "Flask-SocketIO" in one["what"]]
    assert (found["value"], found["at_least"], found["reached"]) == (2.0, 2.3, False)


@pytest.mark.parametrize(("p95", "reached"), [(9.9, True), (10.1, False)])
def test_a_latency_must_stay_below_its_limit(p95: float, reached: bool) -> None:
    offered = row("product", 500) | {"transport": "offered", "p95_ms": p95}
    (found,) = judged([offered])
    assert found["reached"] is reached


def test_rounds_are_combined_by_median_and_errors_add_up() -> None:
    rounds = [row("a", rps) for rps in (100.0, 300.0, 200.0)]
    for one in rounds:
        del one["rounds"]  # what a single measurement does not have
    rounds[1] |= {"errors": 2, "first_error": "x"}
    one = combined(rounds)
    assert (one["rps"], one["errors"], one["first_error"]) == (200.0, 2, "x")
    assert one["cpu_s_per_1000_by_process"] == {"gateway": 0.1}
    assert [kept.get("rps") for kept in one["rounds"]] == [100.0, None, 200.0]


def test_a_disturbed_round_is_no_part_of_the_median() -> None:
    rounds = [row("a", rps, others_cores=others) for rps, others in ((100.0, 1.0), (300.0, 0.1))]
    for one in rounds:
        del one["rounds"]
    assert combined(rounds)["rps"] == 300.0
    assert combined(rounds[:1])["rps"] == 100.0


def test_the_table_begins_with_what_was_wanted_and_the_ratios() -> None:
    rows = [row("product", 400), row("faststream-jetstream", 100)]
    report = {
        "wanted": judged(rows),
        "ratios": ratios(rows),
        "results": rows,
        "cpu_s_per_1000_by_process": rows,
    }
    text = table(report)
    places = [text.index(word) for word in ("Wanted", "Ratios", "Figures", "CPU seconds per")]
    assert places == sorted(places)
    assert "4.00x" in text


def test_an_invalid_cell_says_why() -> None:
    rows = [row("a", 100, errors=3, first_error="500: no")]
    empty: dict[str, Any] = {"wanted": [], "ratios": [], "cpu_s_per_1000_by_process": []}
    assert "INVALID: 3 errors, first: 500: no" in table({**empty, "results": rows})


def test_a_table_without_lines_is_nothing() -> None:
    assert grid("x", ["a"], []) == ""


def test_the_plot_has_a_line_for_every_system() -> None:
    rows = [row(system, 100.0 * n, clients=n) for system in ("product", "a") for n in (1, 16)]
    drawn = plot(rows)
    assert drawn.count("<polyline") == 2
    assert "product http 1x64" in drawn
    assert plot([]).startswith("<svg")
