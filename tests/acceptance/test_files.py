"""Large files reach the worker byte for byte, and never sit in the gateway's memory."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.support.platform import Platform

HANDLERS = Path(__file__).parents[1] / "support/handlers/echo.py"
SIZE_BYTES = 200 * 1_000_000
PART_BYTES = 1_000_000
GROWTH_LIMIT_BYTES = 32 * 1_048_576


async def _content(digest: "hashlib._Hash") -> AsyncIterator[bytes]:
    dice = random.Random(200)
    for _ in range(SIZE_BYTES // PART_BYTES):
        part = dice.randbytes(PART_BYTES)
        digest.update(part)
        yield part


async def _peak_rss(process: psutil.Process, done: asyncio.Event) -> int:
    peak = 0
    while not done.is_set():
        peak = max(peak, process.memory_info().rss)
        with_timeout = asyncio.wait_for(done.wait(), timeout=0.05)
        try:
            await with_timeout
        except TimeoutError:
            continue
    return peak


@pytest.mark.timeout(300)
async def test_a_200_mb_file_reaches_the_worker_unchanged_and_not_through_memory(
    platform: Platform,
) -> None:
    space = platform.create_space("big files", inputs=["prompt", "file"])
    platform.start_worker("big-files", spaces=[space["space_id"]], handler=f"{HANDLERS}:digest")
    gateway = psutil.Process(platform.pid("gateway"))
    headers = {"Authorization": f"Bearer {platform.admin_key}"}
    digest = hashlib.sha256()
    before = gateway.memory_info().rss
    done = asyncio.Event()
    peak = asyncio.create_task(_peak_rss(gateway, done))
    async with httpx2.AsyncClient(trust_env=False, timeout=120, headers=headers) as http:
        stored = await http.post(
            f"{platform.gateway_url}/api/files",
            content=_content(digest),
            headers={"Content-Type": "application/octet-stream", "X-File-Name": "big.bin"},
        )
        assert stored.status_code in (200, 201), stored.text
        assert stored.json()["sha256"] == digest.hexdigest()
        answer = await http.post(
            f"{platform.gateway_url}/api/spaces/{space['space_id']}/requests",
            params={"wait": "60"},
            json={"prompt": "what is this?", "files": [stored.json()["file_id"]]},
        )
    done.set()
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "succeeded", answer.json()
    (file,) = answer.json()["output"]["files"]
    assert file == {"name": "big.bin", "size_bytes": SIZE_BYTES, "sha256": digest.hexdigest()}
    assert await peak - before <= GROWTH_LIMIT_BYTES
    platform.stop_worker("big-files")
