"""Faults of links: what Toxiproxy does, between all parts."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.faults.kinds import Kind
from tests.faults.rig import SERVICES, Rig
from tests.faults.tcp_proxy import Proxy

# Group -> how the name of one of its links is chosen.
GROUPS: dict[str, Callable[[Rig, random.Random], str]] = {
    "worker-gateway": lambda rig, dice: dice.choice(sorted(rig.workers)),
    "services-nats": lambda _, dice: f"{dice.choice(SERVICES)}-nats",
    "services-postgres": lambda _, dice: f"{dice.choice(('scheduler', 'registry'))}-postgres",
    "client-gateway": lambda _rig, _dice: "client",
}


def _latency(proxy: Proxy, dice: random.Random) -> None:
    for toxics in (proxy.up, proxy.down):
        toxics.latency_s, toxics.jitter_s = dice.uniform(0.05, 0.3), 0.1


def _bandwidth(proxy: Proxy, dice: random.Random) -> None:
    for toxics in (proxy.up, proxy.down):
        toxics.bytes_per_s = dice.uniform(20_000, 100_000)


def _slicer(proxy: Proxy, dice: random.Random) -> None:
    for toxics in (proxy.up, proxy.down):
        toxics.slice_bytes = dice.randint(1, 64)


def _reset(proxy: Proxy, _dice: random.Random) -> None:
    proxy.reset_peer()


def _down(proxy: Proxy, _dice: random.Random) -> None:
    proxy.refuse = True
    proxy.reset_peer()


def _hole(*directions: str) -> Callable[[Proxy, random.Random], None]:
    def apply(proxy: Proxy, _dice: random.Random) -> None:
        proxy.up.hole = "up" in directions
        proxy.down.hole = "down" in directions

    return apply


# Toxic -> what it changes, and for how long it stays.
_TOXICS: dict[str, tuple[Callable[[Proxy, random.Random], None], tuple[float, float]]] = {
    "latency": (_latency, (1.0, 3.0)),
    "bandwidth": (_bandwidth, (1.0, 3.0)),
    "slicer": (_slicer, (1.0, 2.0)),
    "reset_peer": (_reset, (0.0, 0.1)),
    "down": (_down, (0.5, 4.0)),
    "timeout": (_hole("up", "down"), (1.0, 8.0)),
    "timeout up": (_hole("up"), (1.0, 8.0)),
    "timeout down": (_hole("down"), (1.0, 8.0)),
}


def kinds() -> list[Kind]:
    """All of this family: each toxic on each group of links."""
    return [
        Kind(f"{toxic} {group}", "link", _spoil(toxic, group))
        for toxic in _TOXICS
        for group in GROUPS
    ]


def _spoil(toxic: str, group: str) -> Callable[[Rig, random.Random], Awaitable[None]]:
    async def inflict(rig: Rig, dice: random.Random) -> None:
        proxy = rig.link(GROUPS[group](rig, dice))
        apply, hold_s = _TOXICS[toxic]
        await asyncio.to_thread(rig.proxies.change, proxy, lambda p: apply(p, dice))
        try:
            await asyncio.sleep(dice.uniform(*hold_s))
        finally:
            await asyncio.to_thread(rig.proxies.change, proxy, Proxy.heal)

    return inflict
