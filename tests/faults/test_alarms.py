"""Every kind of false alarm counts."""

from pathlib import Path

import pytest

from tests.faults.alarms import sum_up, verdict
from tests.faults.executions import Executions
from tests.faults.history import Outcome
from tests.faults.test_checker import at

QUIET = {
    "minutes": 3.0,
    "pauses": 70,
    "requests": 5000,
    "not_succeeded": 0,
    "executions_again": 0,
    "attempts_above_1": 0,
    "connections_lost": 0,
    "suspicions": 2,
}


def test_shards_without_alarms_add_up() -> None:
    report = sum_up([QUIET, QUIET])
    assert report["false_alarms"] == 0
    assert (report["minutes"], report["pauses"], report["suspicions"]) == (6.0, 140, 4)


@pytest.mark.parametrize(
    "name", ["not_succeeded", "executions_again", "attempts_above_1", "connections_lost"]
)
def test_each_of_these_is_a_false_alarm(name: str) -> None:
    assert sum_up([QUIET, QUIET | {name: 1}])["false_alarms"] == 1


def outcome(state: str = "succeeded", attempt: int = 1) -> Outcome:
    return Outcome("r", "s", state, "p", at(0), at(1), at(0), attempt)


def test_a_verdict_counts_failures_later_attempts_and_repeated_executions(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("begun a 1 1.0\nended a 1 2.0\nbegun b 1 3.0\nbegun b 2 4.0\nbegun c 1")
    executions = Executions(log)
    assert executions.read() == 3  # the last line is not whole yet
    assert executions.ended_s == {("a", 1): 2.0}
    told = verdict([outcome(), outcome(state="failed"), outcome(attempt=2)], executions)
    assert told == {
        "requests": 3,
        "not_succeeded": 1,
        "executions_again": 1,
        "attempts_above_1": 1,
    }
