"""On a healthy system the repair loop has nothing to do."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.load import LoadClient, Work
from tests.support.metrics import metric
from tests.support.platform import Platform

HANDLERS = Path(__file__).parents[1] / "support/handlers/echo.py"
SPACES = 50
PER_SPACE = 200


@pytest.mark.timeout(400)
async def test_10000_requests_over_50_spaces_need_no_repair(platform: Platform) -> None:
    policy = {"when_offline": "queue", "timeout_s": 600, "queue_timeout_s": 600}
    spaces = {
        f"healthy-{n}": platform.create_space(f"healthy-{n}", policy=policy)["space_id"]
        for n in range(SPACES)
    }
    platform.start_worker("healthy", spaces=list(spaces.values()), handler=str(HANDLERS))
    repaired_before = metric(platform.metrics("scheduler"), "spaces_repaired_total")
    client = LoadClient(platform.gateway_urls, platform.admin_key)
    try:
        await client.submit_all(spaces, Work(PER_SPACE, patience_s=30))
        outcomes = await client.settled(spaces, patience_s=300)
    finally:
        await client.close()
    findings = await asyncio.to_thread(check, client.submissions, outcomes)
    assert findings.violations() == []
    assert findings.accepted == SPACES * PER_SPACE
    assert metric(platform.metrics("scheduler"), "spaces_repaired_total") == repaired_before
    platform.stop_worker("healthy")
