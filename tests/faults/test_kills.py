"""Whatever process is killed: nothing is lost, doubled, stuck or overtaken."""

import asyncio

import pytest

from tests.faults.campaign import write_report
from tests.faults.kills import STALL_LIMIT_S, TARGETS, run_round
from tests.support.platform import running_platform


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_every_part_killed_once_under_500_requests_loses_nothing() -> None:
    with running_platform() as platform:
        done = asyncio.run(run_round(platform, seed=20261121))
    write_report(done.reports)
    assert done.findings.violations() == []
    assert done.findings.accepted == 500
    assert {report.fault for report in done.reports} == {f"kill -9 {name}" for name in TARGETS}
    assert done.findings.longest_stall_s <= STALL_LIMIT_S
