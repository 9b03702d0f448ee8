"""Answers remembered for a short time, asked for once however many want them."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

from spaces_chassis.clock import Clock

REMEMBER_S = 5.0
# Enough for every caller of one gateway process; the oldest go first.
REMEMBER_MAX = 20_000

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """What was answered lately, by question; only answers are kept, never refusals."""

    def __init__(self, clock: Clock, remember_s: float = REMEMBER_S) -> None:
        self._clock = clock
        self._remember_s = remember_s
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[V]] = {}
        self._generation = 0

    def known(self, key: K) -> V | None:
        """The answer, unless it is not known or too old."""
        kept = self._kept.get(key)
        if kept is not None and kept[0] > self._clock.monotonic():
            return kept[1]
        return None

    async def recall(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """The answer, asked for when it is not known or too old; once, however many want it meanwhile."""
        known = self.known(key)
        if known is not None:
            return known
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key, ask, self._generation))
            asking.add_done_callback(partial(self._answered, key))
        return await asyncio.shield(asking)  # one that gives up does not take the others along

    async def _ask(self, key: K, ask: Callable[[], Awaitable[V]], generation: int) -> V:
        answer = await ask()
        # An answer that was on its way while something was forgotten may be the old one.
        if generation == self._generation:
            self._kept[key] = (self._clock.monotonic() + self._remember_s, answer)
            self._kept.move_to_end(key)
            if len(self._kept) > REMEMBER_MAX:
                self._kept.popitem(last=False)
        return answer

    def _answered(self, key: K, asking: "asyncio.Task[V]") -> None:
        if self._asking.get(key) is asking:
            del self._asking[key]
        if not asking.cancelled():
            asking.exception()  # told to whoever still waits, and to nobody when all gave up

    def forget(self, concerns: Callable[[V], bool]) -> None:
        """Drops every answer that the predicate names."""
        self._generation += 1
        self._asking.clear()  # who asks from now on wants an answer from now on
        for key in [key for key, (_, value) in self._kept.items() if concerns(value)]:
            del self._kept[key]
