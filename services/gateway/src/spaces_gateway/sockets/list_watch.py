"""Lists of requests that clients look at: what the scheduler tells of changes, to each as much as it takes.

Nothing is asked of the scheduler while nobody looks. What somebody sees is what they may read: a tenant's changes go to
its own people and to admins, those in a private space to who sees it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic_core import to_json

from spaces_chassis.bus import Bus, Delivery, Route, listen
from spaces_chassis.errors import BusUnavailable
from spaces_contracts.access import Principal
from spaces_contracts.client_socket import ChangesFrame
from spaces_contracts.identifiers import GatewayId
from spaces_contracts.permissions import sight_of
from spaces_contracts.request_changes import (
    MAX_CHANGES,
    WATCH_EVERY_S,
    RequestChange,
    RequestsChanged,
    WatchChanges,
)
from spaces_gateway.sockets.fanout import Channels
from spaces_gateway.sockets.outbox import Outbox

EVERY_S = WATCH_EVERY_S
# A watcher gets at most so many frames a second, and each holds a request once.
FRAME_EVERY_S = 0.25
_EVERYWHERE = RequestsChanged.subject.pattern
# Between two looks at a page the subscription stays.
_LINGER_S = 5.0


class ListWatch:
    """One client's look at a list: of one space, or of all that it may see."""

    def __init__(self, outbox: Outbox, actor: Principal, space_id: str | None) -> None:
        self._outbox = outbox
        self._sight = sight_of(actor)
        self.space_id = space_id
        self._latest: dict[str, tuple[str, RequestChange]] = {}
        self._missed = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, ref: str | None) -> None:
        """The client knows from here on that changes come."""
        self._outbox.put(ChangesFrame(ref=ref).encode().encode())

    def changed(self, message: RequestsChanged) -> None:
        """Something changed in a space, perhaps in another one."""
        if self.space_id is not None and message.space_id != self.space_id:
            return
        if not self._sight.sees(message.tenant_id, message.private_to):
            return
        self._missed += message.missed
        for change in message.changes:
            self._take(message.space_id, change)
        self._soon()

    def lost(self) -> None:
        """Changes may have gone by unheard."""
        self._missed += 1
        self._soon()

    def stop(self) -> None:
        """Nothing more is sent."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._latest.clear()

    def _take(self, space_id: str, change: RequestChange) -> None:
        before = self._latest.get(change.request_id)
        if before is None:
            if len(self._latest) >= MAX_CHANGES:
                self._missed += 1
                return
        elif _rank(before[1]) > _rank(change):
            return  # two schedulers' words crossed
        elif change.principal_id is None and before[1].principal_id is not None:
            change = change.model_copy(update={"principal_id": before[1].principal_id})
        self._latest[change.request_id] = (space_id, change)

    def _soon(self) -> None:
        if self._timer is None and (self._latest or self._missed):
            self._timer = asyncio.get_running_loop().call_later(FRAME_EVERY_S, self._send)

    def _send(self) -> None:
        self._timer = None
        if not self._outbox.roomy:  # a slow reader gets fewer frames, not more of them at once
            self._soon()
            return
        latest, self._latest = self._latest, {}
        missed, self._missed = self._missed, 0
        changes = [_shown(space_id, change) for space_id, change in latest.values()]
        self._outbox.put(to_json({"type": "changes", "changes": changes, "missed": missed}))


def _rank(change: RequestChange) -> tuple[int, int]:
    return change.attempt, int(change.state.terminal)


def _shown(space_id: str, change: RequestChange) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "request_id": change.request_id,
        "space_id": space_id,
        "state": change.state,
        "attempt": change.attempt,
        "at": change.at,
    }
    if change.principal_id is not None:
        shown["principal_id"] = change.principal_id
    if change.code is not None:
        shown["code"] = change.code
    return shown


class ListWatches:
    """A Part: all lists that clients of this process look at share one subscription."""

    name = "list_watches"

    def __init__(self, bus: Bus, gateway_id: GatewayId) -> None:
        self._bus = bus
        self._beat = WatchChanges(gateway_id=gateway_id)
        self._channels: Channels[RequestsChanged] = Channels(bus, _route, _LINGER_S)
        self._watches: set[ListWatch] = set()
        self._connected_for_s = 0.0

    def __len__(self) -> int:
        return len(self._watches)

    async def add(self, watch: ListWatch) -> None:
        """Schedulers are told before this returns. Raises BusUnavailable."""
        await self._channels.add(_EVERYWHERE, watch.changed)
        self._watches.add(watch)
        await self._bus.publish(self._beat)

    def remove(self, watch: ListWatch) -> None:
        """It hears nothing more."""
        watch.stop()
        self._watches.discard(watch)
        self._channels.remove(_EVERYWHERE, watch.changed)

    async def step(self) -> None:
        """Tells schedulers that somebody looks, and watchers that the bus was away; run by a Loop."""
        connected_for_s = self._bus.connected_for_s
        if connected_for_s < self._connected_for_s:
            for watch in self._watches:
                watch.lost()
        self._connected_for_s = connected_for_s
        if self._watches:
            with suppress(BusUnavailable):
                await self._bus.publish(self._beat)

    async def start(self) -> None:
        """The subscription comes with the first who looks."""

    async def drain(self) -> None:
        """Clients are sent away by their sockets."""

    async def stop(self) -> None:
        """Ends the subscription."""
        await self._channels.stop()

    def healthy(self) -> bool:
        return True


class SocketLists:
    """The lists of one socket, by space; the empty name is all."""

    def __init__(self, watches: ListWatches, outbox: Outbox) -> None:
        self._all = watches
        self._outbox = outbox
        self._mine: dict[str, ListWatch] = {}

    async def begin(self, actor: Principal, space_id: str | None, ref: str | None) -> None:
        """Raises BusUnavailable."""
        watch = ListWatch(self._outbox, actor, space_id)
        self._mine[space_id or ""] = watch
        try:
            await self._all.add(watch)
        except BaseException:  # also when the socket is gone: nothing may stay behind
            self._mine.pop(space_id or "", None)
            self._all.remove(watch)
            raise
        if self._mine.get(space_id or "") is not watch:  # unsubscribed meanwhile
            self._all.remove(watch)
            return
        watch.begin(ref)

    def end(self, space_id: str | None) -> None:
        """That list is looked at no more."""
        watch = self._mine.pop(space_id or "", None)
        if watch is not None:
            self._all.remove(watch)

    @property
    def spaces(self) -> set[str]:
        """Those of which a list is looked at."""
        return set(self._mine) - {""}

    def stop(self) -> None:
        """The socket is gone."""
        for watch in self._mine.values():
            self._all.remove(watch)
        self._mine.clear()


def _route(subject: str, tell: Callable[[RequestsChanged], None]) -> Route:
    def receive(delivery: Delivery) -> None:
        tell(RequestsChanged.decode(delivery.body, delivery.subject))

    return listen(subject, receive)
