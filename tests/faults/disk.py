"""Faults of disks: slow ones under PostgreSQL, full ones under PostgreSQL and NATS."""

import asyncio
import errno
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2

from tests.faults.kinds import Kind
from tests.faults.rig import Rig

_SLOWEST_S = (0.005, 0.2)
_SLOW_HOLD_S = (2.0, 4.0)
_FULL_HOLD_S = (1.0, 3.0)
_BLOCK = b"\0" * 1_048_576


def kinds() -> list[Kind]:
    """All of this family."""
    return [
        Kind("slow fdatasync postgres", "disk", _slow, needs="shims"),
        Kind("full disk postgres", "disk", _full("postgres"), needs="disks"),
        Kind("full disk nats", "disk", _full("nats"), needs="disks"),
    ]


async def _slow(rig: Rig, dice: random.Random) -> None:
    assert rig.dials is not None
    rig.dials.slow_disk(*_SLOWEST_S, seed=dice.randrange(2**31))
    try:
        await asyncio.sleep(dice.uniform(*_SLOW_HOLD_S))
    finally:
        rig.dials.slow_disk(0.0, 0.0, seed=0)


def _full(name: str) -> Callable[[Rig, random.Random], Awaitable[None]]:
    async def inflict(rig: Rig, dice: random.Random) -> None:
        filler = rig.disks[name] / "filler"
        if name == "nats":
            rig.inflicted.stream_losses += 1
        try:
            await asyncio.to_thread(_fill, filler)
            await asyncio.sleep(dice.uniform(*_FULL_HOLD_S))
        finally:
            filler.unlink(missing_ok=True)
        await asyncio.to_thread(_as_an_operator_would, rig, name)

    return inflict


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for size in (len(_BLOCK), 4096, 1):
            try:
                while True:
                    file.write(_BLOCK[:size])
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise


def _as_an_operator_would(rig: Rig, name: str) -> None:
    """Starts again what gave up while its disk was full."""
    supervisor = rig.platform.processes.supervisor
    if name == "postgres":
        if not supervisor.running("postgres"):
            supervisor.revive("postgres")
        return
    if not supervisor.running("nats") or not _healthy(rig):
        rig.platform.kill("nats")
        rig.platform.revive("nats")


def _healthy(rig: Rig) -> bool:
    """Whether JetStream works; it switches itself off when it cannot write."""
    monitor_port = rig.platform.processes.ports[2]
    try:
        answer = httpx2.get(
            f"http://127.0.0.1:{monitor_port}/healthz", trust_env=False, timeout=2.0
        )
    except httpx2.HTTPError:
        return False
    return answer.status_code == 200
