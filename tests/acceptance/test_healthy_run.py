"""On a healthy system the repair loop has nothing to do."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.checker import Evidence, check
from tests.faults.load import LoadClient
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
    client = LoadClient(platform.gateway_url, api_key=platform.admin_key, patience_s=30)

    async def fill(name: str, space_id: str) -> None:
        for _ in range(PER_SPACE):
            await client.submit(name, space_id, {})

    try:
        await asyncio.gather(*(fill(name, space_id) for name, space_id in spaces.items()))
        outcomes = await client.settled(list(spaces.values()), patience_s=300)
    finally:
        await client.close()
    findings = await asyncio.to_thread(check, Evidence(client.submissions, outcomes))
    assert findings.violations() == []
    assert findings.accepted == SPACES * PER_SPACE
    assert metric(platform.metrics("scheduler"), "spaces_repaired_total") == repaired_before
    platform.stop_worker("healthy")
