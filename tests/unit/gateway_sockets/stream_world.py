"""One request stream and everything around it: a bus that stores, a clock turned by hand, an audience."""

import asyncio

from spaces_chassis.errors import BusUnavailable
from spaces_chassis.metrics import Metrics
from spaces_chassis.testing import ManualClock
from spaces_contracts.client_socket import After
from spaces_contracts.requests import RequestEvent, RequestFinished, RequestState, RequestView
from spaces_gateway.files.signing import FileLinks
from spaces_gateway.sockets.client_frames import Told
from spaces_gateway.sockets.fanout import Fanout
from spaces_gateway.sockets.request_stream import (
    GAP_PAUSE_S,
    RequestStream,
    Sources,
)
from spaces_gateway.waiters import Waiters
from tests.unit.gateway_sockets.test_stream_merge import NOW, REQUEST, SPACE


class Subscription:
    async def stop(self) -> None: ...


class StoredBus:
    """What is stored, and a switch to have it away."""

    def __init__(self) -> None:
        self.stored: list[RequestEvent] = []
        self.away = False
        self.reads: list[int] = []
        self.requests: dict[str, RequestView] = {}

    async def replay(self, subject: str, after_seq: int, limit: int) -> list[tuple[int, bytes]]:
        assert subject == f"evt.{SPACE}.{REQUEST}"
        self.reads.append(after_seq)
        await asyncio.sleep(0)
        if self.away:
            raise BusUnavailable("away")
        found = [(seq, e.encode()) for seq, e in enumerate(self.stored, 1) if seq > after_seq]
        return found[:limit]

    async def subscribe(self, route: object, subject: str) -> Subscription:
        return Subscription()


class Audience:
    def __init__(self) -> None:
        self.told: list[Told] = []
        self.open = asyncio.Event()
        self.open.set()

    def tell(self, message: Told) -> None:
        self.told.append(message)

    async def room(self) -> None:
        await self.open.wait()

    @property
    def kinds(self) -> list[str]:
        return [message.type for message in self.told if message.type != "status"]


class NoHints:
    def __init__(self) -> None:
        self.queued = 0

    def add(self, space_id: str, stream: RequestStream) -> None:
        self.queued += 1

    def remove(self, space_id: str, stream: RequestStream) -> None:
        self.queued -= 1


class World:
    """One stream and everything around it."""

    def __init__(self) -> None:
        self.bus = StoredBus()
        self.clock = ManualClock()
        self.waiters = Waiters(self.bus, self.clock, "g" * 26)  # type: ignore[arg-type]  # as far as streams use it
        self.fanout = Fanout(self.bus, self.waiters, Metrics("test"))  # type: ignore[arg-type]  # likewise
        self.hints = NoHints()
        self.audience = Audience()
        self.over = 0
        self.looked_up: list[str] = []

        async def look_up(request_ids: list[str]) -> None:
            self.looked_up += request_ids

        self.waiters.look_up = look_up  # type: ignore[method-assign,assignment]  # read from here
        links = FileLinks(b"k" * 32, self.clock)
        sources = Sources(self.bus, self.clock, self.waiters, self.fanout, self.hints, links)  # type: ignore[arg-type]  # NoHints
        self.stream = RequestStream(sources, REQUEST, self.audience, self._over, After())

    def _over(self, _stream: RequestStream) -> None:
        self.over += 1

    def live(self, event: RequestEvent) -> None:
        for listener in self.fanout.events._channels[f"evt.{SPACE}.{REQUEST}"].listeners:
            listener(event)

    def finish(self, event: RequestFinished) -> None:
        self.waiters.finished(event)

    async def turn(self, seconds: float) -> None:
        """Lets time pass in the steps that a gap is looked at in."""
        for _ in range(round(seconds / GAP_PAUSE_S) + 1):
            for _ in range(6):
                await asyncio.sleep(0)
            self.clock.forward(GAP_PAUSE_S)
        for _ in range(6):
            await asyncio.sleep(0)


def view(state: RequestState = RequestState.RUNNING, **fields: object) -> RequestView:
    base = {
        "request_id": REQUEST,
        "space_id": SPACE,
        "tenant_id": "t" * 26,
        "principal_id": "p" * 26,
        "state": state,
        "attempt": 1,
        "created_at": NOW,
    }
    return RequestView.model_validate({**base, **fields})
