"""The gateway keeps to its OpenAPI document, whoever calls it with whatever."""

from pathlib import Path

import pytest

from tests.security import schema
from tests.support.platform import Platform


@pytest.mark.timeout(600)
async def test_generated_calls_find_no_failure(platform: Platform, tmp_path: Path) -> None:
    found = await schema.run(
        platform.gateway_url, platform.admin_key, tmp_path, examples=1, most_callers=1
    )
    assert found.errors == []
    assert found.attempts > 1_000
    assert "Traceback" not in platform.log("gateway") + platform.log("registry")
