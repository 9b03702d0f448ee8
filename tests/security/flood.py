"""A flood by one tenant at a hundred times its share: what it gets, and what another tenant notices.

The tenant that floods has a limit of requests a minute and sends a hundred times as many, from a process of its own.
Another tenant sends one request after another to its own space and waits for each result: its wait while nobody floods
is compared with its wait during the flood.
"""

import asyncio
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.security.campaign import Campaign
from tests.support.api import Api, api
from tests.support.platform import Platform

TIMES = 100
MINUTE_S = 60
MAY_GROW = 2.0
# Below this a wait says more about the machine than about the flood.
FLOOR_S = 0.02
CONNECTIONS = 16
HANDLER = Path(__file__).parents[1] / "support/handlers/echo.py"
ROOT = Path(__file__).parents[2]


@dataclass
class Flood:
    """What was seen."""

    share_per_minute: int
    windows: int
    idle_p95_s: float
    flooded_p95_s: float
    sent_per_s: float
    answers: dict[str, int]
    refused_others: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times longer the other tenant waited."""
        return self.flooded_p95_s / self.idle_p95_s


def run(
    platform: Platform, *, seconds: float = 60.0, share_per_minute: int = 600, floor_s: float = 0.0
) -> Campaign:
    """The campaign against a running platform, which gets two tenants, two spaces and two workers."""
    flood = asyncio.run(measure(platform, seconds=seconds, share_per_minute=share_per_minute))
    return judge(flood, floor_s)


def judge(flood: Flood, floor_s: float = 0.0) -> Campaign:
    """Too much let in, somebody else refused or kept waiting, or anything but a clear answer."""
    found = Campaign("flood", attempts=sum(flood.answers.values()))
    accepted = flood.answers.get("202", 0)
    if accepted > flood.share_per_minute * flood.windows:
        found.wrongly_allowed.append(
            f"{accepted} requests in {flood.windows} minutes of {flood.share_per_minute}"
        )
    found.wrongly_refused += flood.refused_others
    found.errors += [
        f"{count} answers {status}"
        for status, count in sorted(flood.answers.items())
        if status not in ("202", "429")
    ]
    print(
        f"flood: {flood.sent_per_s:.0f}/s sent, another's p95 {flood.idle_p95_s * 1e3:.1f} -> "
        f"{flood.flooded_p95_s * 1e3:.1f} ms"
    )
    if flood.flooded_p95_s > max(MAY_GROW * flood.idle_p95_s, floor_s):
        found.errors.append(
            f"the other tenant's p95 wait grew {flood.ratio:.2f} times, "
            f"from {flood.idle_p95_s * 1000:.1f} to {flood.flooded_p95_s * 1000:.1f} ms"
        )
    return found


async def measure(platform: Platform, *, seconds: float, share_per_minute: int) -> Flood:
    """Idle first, then the flood."""
    async with api(platform.gateway_url, platform.admin_key) as admin:
        quiet_key, quiet_space = await _tenant(platform, admin, "quiet")
        flood_key, flood_space = await _tenant(
            platform, admin, "flood", requests_per_minute=share_per_minute
        )
    async with api(platform.gateway_url, quiet_key) as quiet:
        refused: list[str] = []
        await _waits(quiet, quiet_space, 1.0, refused)  # nothing is cold any more
        idle = await _waits(quiet, quiet_space, seconds, refused)
        started = time.time()
        sender = await _start(
            platform.gateway_url, flood_key, flood_space, share_per_minute, seconds
        )
        flooded = await _waits(quiet, quiet_space, seconds, refused)
        output, _ = await sender.communicate()
        windows = int(time.time() // MINUTE_S - started // MINUTE_S) + 1
    answers: dict[str, int] = json.loads(output)
    return Flood(
        share_per_minute=share_per_minute,
        windows=windows,
        idle_p95_s=percentile(idle, 95),
        flooded_p95_s=percentile(flooded, 95),
        sent_per_s=sum(answers.values()) / seconds,
        answers=answers,
        refused_others=refused,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


async def _tenant(platform: Platform, admin: Api, name: str, **limits: int) -> tuple[str, str]:
    tenant_id = (await admin.make("/api/tenants", name=name))["tenant_id"]
    space = (await admin.make("/api/spaces", name=name, tenant_id=tenant_id))["space_id"]
    key: str = (await admin.make("/api/keys", name=name, tenant_id=tenant_id))["secret"]
    answer = await admin.http.patch(f"/api/tenants/{tenant_id}/quotas", json=limits)
    assert answer.status_code == 200, answer.text
    await asyncio.to_thread(
        platform.start_worker, name, spaces=[space], handler=f"{HANDLER}:handler"
    )
    return key, space


async def _waits(client: Api, space: str, seconds: float, refused: list[str]) -> list[float]:
    """How long each of some requests took from its submit to its result, one after another."""
    waits: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.monotonic()
        answer = await client.http.post(
            f"/api/spaces/{space}/requests?wait=30", json={"prompt": "hello"}
        )
        waits.append(time.monotonic() - started)
        if answer.status_code != 200:
            refused.append(f"{answer.status_code}: {answer.text[:200]}")
    return waits


async def _start(
    url: str, key: str, space: str, share_per_minute: int, seconds: float
) -> asyncio.subprocess.Process:
    rate = TIMES * share_per_minute / MINUTE_S
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.security.flood", url, key, space, str(rate), str(seconds),
        stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip


class Sender:
    """Sends at a rate over some connections, as fast as they are answered."""

    def __init__(self, url: str, key: str, space: str) -> None:
        self._address = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
        body = b'{"prompt":"flood"}'
        self._request = (
            f"POST /api/spaces/{space}/requests HTTP/1.1\r\nHost: flood\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.answers: Counter[str] = Counter()

    async def run(self, rate: float, seconds: float) -> None:
        """Each connection takes its part of the rate; one that was late sends the rest at once."""
        every_s = CONNECTIONS / rate
        await asyncio.gather(*[self._connection(every_s, seconds) for _ in range(CONNECTIONS)])

    async def _connection(self, every_s: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection(*self._address)
        due, until = loop.time(), loop.time() + seconds
        while due < until:
            if due > loop.time():
                await _moment(loop, due)
            writer.write(self._request)
            self.answers[await _answer(reader)] += 1
            due += every_s
            if loop.time() >= until:
                break
        writer.close()


async def _moment(loop: asyncio.AbstractEventLoop, due: float) -> None:
    reached: asyncio.Future[None] = loop.create_future()
    loop.call_at(due, reached.set_result, None)
    await reached


async def _answer(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return head[9:12].decode()


def main(url: str, key: str, space: str, rate: str, seconds: str) -> None:
    """The flood, as a process: prints how often each status was answered."""
    sender = Sender(url, key, space)
    asyncio.run(sender.run(float(rate), float(seconds)))
    print(json.dumps(sender.answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
