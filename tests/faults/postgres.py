"""Faults of PostgreSQL: restarts, a storm of connections, all sessions ended."""

import asyncio
import random
import signal

import asyncpg
import psutil

from tests.faults.kinds import Kind
from tests.faults.rig import Rig

_STORM_HOLD_S = (1.0, 3.0)
_MOST = 400
_AT_ONCE = 20


def kinds() -> list[Kind]:
    """All of this family."""
    return [
        Kind("postgres restart fast", "postgres", _restart_fast),
        Kind("postgres restart immediate", "postgres", _restart_immediate),
        Kind("postgres connection storm", "postgres", _storm),
        Kind("postgres sessions terminated", "postgres", _terminate),
    ]


async def _restart_fast(rig: Rig, _dice: random.Random) -> None:
    await asyncio.to_thread(rig.platform.processes.supervisor.stop, "postgres")
    await asyncio.to_thread(rig.platform.revive, "postgres")


async def _restart_immediate(rig: Rig, _dice: random.Random) -> None:
    process = psutil.Process(rig.platform.pid("postgres"))
    rig.platform.signal("postgres", signal.SIGQUIT)
    await asyncio.to_thread(process.wait, 30)
    await asyncio.to_thread(rig.platform.revive, "postgres")


async def _storm(rig: Rig, dice: random.Random) -> None:
    """Takes every connection that is left, holds them, and lets go."""
    taken: list[asyncpg.Connection] = []
    try:
        while len(taken) < _MOST:
            tries = [asyncpg.connect(rig.postgres_admin_url, timeout=10) for _ in range(_AT_ONCE)]
            answers = await asyncio.gather(*tries, return_exceptions=True)
            taken += [answer for answer in answers if isinstance(answer, asyncpg.Connection)]
            if any(isinstance(answer, BaseException) for answer in answers):
                break
        await asyncio.sleep(dice.uniform(*_STORM_HOLD_S))
    finally:
        await asyncio.gather(*(one.close(timeout=10) for one in taken), return_exceptions=True)


async def _terminate(rig: Rig, _dice: random.Random) -> None:
    connection = await asyncpg.connect(rig.postgres_admin_url, timeout=10)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
