"""Thousands of visitors in one process, and how they come and go."""

import asyncio
import contextlib
import random
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import nats

from tests.bench.crowd.news import News
from tests.bench.crowd.visitor import Address, Visitor
from tests.bench.load.figures import percentile
from tests.bench.load.flow import clock

_OPENING_AT_ONCE = 128
_GIVEN_UP_S = 120.0
# A page that is left is opened again at some moment within this time.
_AWAY_S = 1.0
# An event that is not there so long after it was published is missing.
_ARRIVED_S = 3.0


@dataclass(frozen=True)
class Plan:
    """Who the visitors are."""

    port: int
    token: str
    sockets: int
    space_ids: tuple[str, ...]
    nats_url: str
    nats_user: str
    nats_password: str


class Crowd:
    """Tells the visitors what to do, and keeps the book on them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        address = Address(plan.port, plan.token)
        self._visitors = [
            Visitor(address, plan.space_ids[number % len(plan.space_ids)], self)
            for number in range(plan.sockets)
        ]
        self._chance = random.Random(1)
        self._here = 0
        self._changed = asyncio.Event()
        self._begin()

    def _begin(self) -> None:
        self._news = News(self._plan.space_ids, self._chance)
        self._tries = self._left = 0
        self._lost: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._began = clock()
        self._first_try: float | None = None
        self._back = array("d")

    # Book

    def tried(self) -> None:
        self._tries += 1
        self._first_try = self._first_try or clock()

    def back(self, visitor: Visitor) -> None:
        self._here += 1
        self._news.came(visitor)
        self._back.append(clock())
        self._changed.set()

    def gone(self, visitor: Visitor) -> None:
        self._here -= 1
        self._changed.set()

    def lost(self, reason: str) -> None:
        self._lost[reason] += 1

    def failed(self, reason: str) -> None:
        self._errors[reason] += 1

    def event(self, visitor: Visitor, number: int) -> None:
        self._news.arrived(visitor, number)

    # What the parent asks for

    async def open(self) -> dict[str, Any]:
        """Everybody comes, some at once."""
        self._begin()
        for number, visitor in enumerate(self._visitors):
            await self._until(partial(self._at_least, number - _OPENING_AT_ONCE))
            visitor.come()
        await self._until(self._complete)
        return self._storm()

    async def cut(self) -> dict[str, Any]:
        """Everybody's connection is gone at once."""
        self._begin()
        for visitor in self._visitors:
            visitor.cut()
        await self._until(self._complete)
        return self._storm()

    async def brace(self) -> dict[str, Any]:
        """Somebody else is about to cut everybody off; `watch` comes after it."""
        self._begin()
        return {}

    async def watch(self) -> dict[str, Any]:
        """Until all were cut off and are back."""
        await self._until(lambda: self._here == 0)
        await self._until(self._complete)
        return self._storm()

    async def churn(
        self, seconds: float, share_per_minute: float, events_per_s: float
    ) -> dict[str, Any]:
        """A share leaves and comes again each minute, at random, while events are published."""
        plan = self._plan
        connection = await nats.connect(
            plan.nats_url, user=plan.nats_user, password=plan.nats_password
        )
        self._begin()
        for visitor in self._visitors:
            self._news.came(visitor)
        leaving = asyncio.create_task(self._leave(len(self._visitors) * share_per_minute / 60))
        try:
            await self._news.publish(connection, seconds, events_per_s)
        finally:
            leaving.cancel()
        await asyncio.sleep(_ARRIVED_S)
        await connection.close()
        return {
            "seconds": seconds,
            "left": self._left,
            **self._news.told(self._visitors),
            "not_back": len(self._visitors) - self._here,
            "lost": dict(self._lost),
            "errors": dict(self._errors),
        }

    async def _leave(self, per_s: float) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(per_s))
            visitor = self._chance.choice(self._visitors)
            if visitor.here:
                visitor.leave()
                visitor.come(self._chance.uniform(0.0, _AWAY_S))
                self._left += 1

    def _at_least(self, count: int) -> bool:
        return self._here >= count

    def _complete(self) -> bool:
        return self._here == len(self._visitors)

    async def _until(self, true: Callable[[], bool]) -> None:
        with contextlib.suppress(TimeoutError):  # the figures tell who did not come
            async with asyncio.timeout(_GIVEN_UP_S):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()

    def _storm(self) -> dict[str, Any]:
        """How they came back, in seconds since it began."""
        seconds = [at - self._began for at in self._back]
        took_s = (self._back[-1] - (self._first_try or 0.0)) if self._back else 0.0
        return {
            "back_50_s": round(percentile(seconds, 0.5), 3),
            "back_99_s": round(percentile(seconds, 0.99), 3),
            "back_all_s": round(percentile(seconds, 1.0), 3),
            "connects_per_s": round(len(seconds) / took_s, 1) if took_s else 0.0,
            "tries": self._tries,
            "not_back": len(self._visitors) - self._here,
            "lost": dict(self._lost),
            "errors": dict(self._errors),
        }
