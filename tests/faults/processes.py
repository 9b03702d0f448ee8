"""Faults of processes: killed, paused for a moment, frozen for long."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable

import psutil

from tests.faults.kinds import Kind
from tests.faults.rig import Rig

_KILLED = ("gateway", "registry", "scheduler", "worker", "handler", "nats", "postgres")
_PAUSED = ("gateway", "registry", "scheduler", "worker", "handler", "nats", "postgres")
_FROZEN = ("gateway", "registry", "scheduler", "worker")
# Short enough that nobody may take it for a death, and long enough that everybody must.
PAUSE_S = (0.5, 2.0)
FREEZE_S = 15.0


def kinds() -> list[Kind]:
    """All of this family."""
    return [
        *(Kind(f"kill -9 {name}", "process", _kill(name)) for name in _KILLED),
        *(Kind(f"pause {name}", "process", _pause(name)) for name in _PAUSED),
        *(Kind(f"freeze {name}", "process", _freeze(name), rare=True) for name in _FROZEN),
    ]


def _kill(target: str) -> Callable[[Rig, random.Random], Awaitable[None]]:
    async def inflict(rig: Rig, dice: random.Random) -> None:
        if target == "handler":
            await asyncio.to_thread(_kill_handler, rig, dice)
            return
        name = target
        if target == "worker":
            name = dice.choice(sorted(rig.workers))
            rig.inflicted.worker_kills[rig.workers[name]] += 1
        elif target == "nats":
            rig.inflicted.stream_losses += 1
        await asyncio.to_thread(rig.platform.kill, name)
        await asyncio.to_thread(rig.platform.revive, name)

    return inflict


def _kill_handler(rig: Rig, dice: random.Random) -> None:
    worker = psutil.Process(rig.platform.pid(dice.choice(sorted(rig.workers))))
    if children := worker.children(recursive=True):
        rig.inflicted.handler_kills += 1
        dice.choice(sorted(children, key=lambda child: child.pid)).kill()


def _pause(target: str) -> Callable[[Rig, random.Random], Awaitable[None]]:
    async def inflict(rig: Rig, dice: random.Random) -> None:
        await stopped(rig, target, dice, dice.uniform(*PAUSE_S))

    return inflict


def _freeze(target: str) -> Callable[[Rig, random.Random], Awaitable[None]]:
    async def inflict(rig: Rig, dice: random.Random) -> None:
        await stopped(rig, target, dice, FREEZE_S)

    return inflict


async def stopped(rig: Rig, target: str, dice: random.Random, seconds: float) -> None:
    """A whole program stands still, or one worker with its handlers, or the handlers alone."""
    name = dice.choice(sorted(rig.workers)) if target in ("worker", "handler") else target
    parent = psutil.Process(rig.platform.pid(name))
    processes = parent.children(recursive=True)
    if target != "handler":
        processes.insert(0, parent)
    _signal(processes, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        _signal(processes, signal.SIGCONT)


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue  # a session of PostgreSQL that ended meanwhile
