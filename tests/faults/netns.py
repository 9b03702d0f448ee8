"""Faults below TCP, on the link of a worker in a network namespace of its own. Need root."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.faults.kinds import Kind
from tests.faults.network_namespace import NetworkNamespace
from tests.faults.rig import Rig

_Spoil = Callable[[NetworkNamespace, random.Random], None]
_FAULTS: dict[str, tuple[_Spoil, tuple[float, float]]] = {
    "packet loss": (lambda space, dice: space.lose(dice.randint(5, 30)), (2.0, 5.0)),
    "one-way drop in": (lambda space, _: space.drop("input"), (1.0, 8.0)),
    "one-way drop out": (lambda space, _: space.drop("output"), (1.0, 8.0)),
    "link down": (lambda space, _: space.link_down(), (1.0, 8.0)),
    "slow line (tbf)": (lambda space, dice: space.bandwidth(dice.randint(64, 512)), (1.0, 4.0)),
}


def kinds() -> list[Kind]:
    """All of this family."""
    return [Kind(name, "netns", _inflict(name), needs="namespace") for name in _FAULTS]


def _inflict(name: str) -> Callable[[Rig, random.Random], Awaitable[None]]:
    async def inflict(rig: Rig, dice: random.Random) -> None:
        assert rig.namespace is not None
        spoil, hold_s = _FAULTS[name]
        await asyncio.to_thread(spoil, rig.namespace, dice)
        try:
            await asyncio.sleep(dice.uniform(*hold_s))
        finally:
            await asyncio.to_thread(rig.namespace.heal)

    return inflict
