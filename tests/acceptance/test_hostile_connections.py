"""Hostile connections at a gateway as it is deployed: clear answers, no traceback, flat memory, others undisturbed."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.api import Api
from tests.support.platform import Platform, running_platform

HEAD = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
MOST_GROWTH_KIB = 48 * 1024


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A platform of its own: what one gateway logs and holds is looked at."""
    with running_platform() as running:
        yield running


async def hears(platform: Platform, *pieces: bytes) -> bytes:
    """What a connection gets that sends this and then waits for the end."""
    address = urlsplit(platform.gateway_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass  # it was hung up on, and may still read why
    try:
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def said(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12]), json.loads(body)["code"]


def held_kib(platform: Platform) -> int:
    status = Path(f"/proc/{platform.pid('gateway')}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


async def test_each_is_answered_and_nothing_is_left_behind(platform: Platform, admin: Api) -> None:
    assert said(await hears(platform, HEAD + b"x: y\r\n" * 10_000)) == (431, "headers_too_large")
    assert said(await hears(platform, b"\x16\x03\x01\x02\x00\x01")) == (400, "malformed_request")
    before = held_kib(platform)
    endless = [b"x: " + b"y" * 65_000 + b"\r\n"] * 160
    for _ in range(3):
        answers = await asyncio.gather(*[hears(platform, HEAD, *endless) for _ in range(20)])
        assert {said(answer) for answer in answers if answer} <= {(431, "headers_too_large")}
    # A hundred that never finish their headers are told so after ten seconds, all at once.
    slow = [asyncio.create_task(hears(platform, HEAD + b"x: ")) for _ in range(100)]
    assert (await admin.http.get("/health/live")).status_code == 200
    assert {said(answer) for answer in await asyncio.gather(*slow)} == {(408, "request_timeout")}
    assert held_kib(platform) - before < MOST_GROWTH_KIB
    log = (platform.folder / "logs" / "gateway.log").read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 300 :][:3000]
