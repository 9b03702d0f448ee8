"""A power cut loses nothing that was acknowledged, and the same cut with unsafe settings does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults import power_cut
from tests.faults.power_disk import why_not

ROOT = Path(__file__).parents[2]
_ROW = {
    **dict.fromkeys((*power_cut.SUMS, *power_cut.SUMS_MORE), 0),
    "spool_on_disk": False,
    "services_too": True,
    "in_checkpoint": False,
    "restored_s": 1.0,
    "true_cut": True,
    "environment": {},
}


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "power-cut.json"
    monkeypatch.setattr(power_cut, "REPORT", path)
    return path


def row(**values: Any) -> dict[str, Any]:
    return _ROW | values


@pytest.mark.faults
@pytest.mark.timeout(180)
@pytest.mark.skipif(why_not() is not None, reason=f"power cut: {why_not()}")
def test_one_cut_keeps_what_was_acknowledged_and_its_control_does_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", power_cut.MODULE, "--cuts", "1", "--control", "1"),
            *("--acknowledged", "200", "--seed", "20261121"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / power_cut.REPORT).read_text())
    assert told["cuts"] == 1
    assert told["acknowledged"] >= 200
    assert (told["lost"], told["duplicated"], told["results_changed"]) == (0, 0, 0)
    assert told["control"]["lost"] > 0
    assert told["environment"]["postgres"]["synchronous_commit"] == "on"
    assert told["environment"]["postgres"]["fsync"] == "on"


def test_a_control_that_lost_nothing_fails_the_campaign(report: Path) -> None:
    outcome = power_cut.sum_up([row()], [row(acknowledged=9)])
    assert outcome == power_cut.PROVES_NOTHING
    assert json.loads(report.read_text())["control"] == {"cuts": 1} | dict.fromkeys(
        power_cut.SUMS, 0
    ) | {"acknowledged": 9}


def test_a_disk_that_kept_unflushed_data_fails_the_campaign(report: Path) -> None:
    outcome = power_cut.sum_up([row(true_cut=False)], [row(lost=5)])
    assert outcome == power_cut.PROVES_NOTHING


@pytest.mark.parametrize("kind", ["lost", "duplicated", "results_changed", "stuck", "wrong"])
def test_one_broken_promise_fails_the_campaign(report: Path, kind: str) -> None:
    assert power_cut.sum_up([row(), row(**{kind: 1})], [row(lost=5)]) == 1
    assert json.loads(report.read_text())[kind] == 1


def test_a_clean_campaign_with_a_losing_control_passes(report: Path) -> None:
    cuts = [row(acknowledged=1000), row(acknowledged=1200)]
    assert power_cut.sum_up(cuts, [row(lost=5)]) == 0
    told = json.loads(report.read_text())
    assert (told["cuts"], told["acknowledged"], told["control"]["lost"]) == (2, 2200, 5)
