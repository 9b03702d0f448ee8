"""Faults of wall clocks: steps forward and back, of our processes and of PostgreSQL. nats-server is static: not it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from tests.faults.kinds import Kind
from tests.faults.rig import SERVICES, Rig

_STEPS_S = (-3600.0, -5.0, 5.0, 3600.0)
_HOLD_S = (1.0, 5.0)
# Beyond what the campaign's requests may wait.
_LEAP_S = 900.0


def kinds() -> list[Kind]:
    """All of this family."""
    return [
        Kind(f"clock {step_s:+g} s {name}", "clock", _step(name, step_s), needs="shims")
        for name in (*SERVICES, "worker", "postgres")
        for step_s in _STEPS_S
    ]


def _step(target: str, step_s: float) -> Callable[[Rig, random.Random], Awaitable[None]]:
    async def inflict(rig: Rig, dice: random.Random) -> None:
        assert rig.dials is not None
        name = dice.choice(sorted(rig.workers)) if target == "worker" else target
        rig.dials.step_clock(name, step_s)
        _note(rig, name, step_s)
        try:
            await asyncio.sleep(dice.uniform(*_HOLD_S))
        finally:
            rig.dials.step_clock(name, 0.0)  # a step, too
            _note(rig, name, -step_s)

    return inflict


def _note(rig: Rig, name: str, step_s: float) -> None:
    if name == "postgres" and step_s > _LEAP_S:
        rig.inflicted.clock_leaps_s.append(time.monotonic())
