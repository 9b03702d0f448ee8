"""All client sockets and event streams of this process, and what they share."""

import random
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from spaces_chassis.batcher import Batcher
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import EVERYTHING, AccessChanged, Principal
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Code
from spaces_contracts.requests import GetQueues, GetRequests, Queue, RequestView
from spaces_contracts.spaces import Space
from spaces_gateway.services import Services
from spaces_gateway.sockets.door import Door
from spaces_gateway.sockets.list_watch import ListWatches
from spaces_gateway.sockets.request_stream import Sources

if TYPE_CHECKING:
    from spaces_gateway.sockets.client_socket import ClientSocket

# For how long it is remembered that a space was hidden: longer than an answer of before is on its way.
HIDES_S = 10.0
MAX_HIDES = 1000


class Guest(Protocol):
    """Something that ends when the process stops, or when its credential does."""

    @property
    def principal(self) -> Principal | None: ...

    def go_away(self, reconnect_after_s: float) -> None: ...

    def access_changed(self, principal_id: str) -> None: ...

    @property
    def spaces(self) -> set[str]: ...


class ClientHub:
    """A Part that says goodbye to the clients when the process stops."""

    name = "client_sockets"

    def __init__(
        self, services: Services, door: Door, sources: Sources, lists: ListWatches
    ) -> None:
        self.services = services
        self.door = door
        self.sources = sources
        self.lists = lists
        self.sockets: set[ClientSocket] = set()
        self.guests: set[Guest] = set()
        self._hides: OrderedDict[str, tuple[float, AccessChanged]] = OrderedDict()
        self._views: Batcher[str, RequestView | None] = Batcher(self._read, name="views")
        self._queues: Batcher[str, Queue | None] = Batcher(self._read_queues, name="queues")

    async def view(self, request_id: str, actor: Principal) -> RequestView:
        """A request as this actor may see it. Problems: request_not_found, unavailable."""
        view = await self._views.add(request_id)
        if view is None or not may_see(actor, view) or self.hides(view.space_id, actor):
            raise ProblemError.of(Code.REQUEST_NOT_FOUND, f"There is no request {request_id!r}.")
        return view

    async def space(self, space_id: str, actor: Principal) -> Space:
        """A space as this actor may see it. Problems: space_not_found, unavailable."""
        space = await self.services.access.space(actor, space_id)
        if self.hides(space.space_id, actor):
            raise ProblemError.of(Code.SPACE_NOT_FOUND, f"No space {space_id!r} found")
        return space

    async def _read(self, request_ids: list[str]) -> Sequence[RequestView | None]:
        reply = await self.services.bus.request(
            GetRequests(request_ids=request_ids, **dict(EVERYTHING))
        )
        found = {view.request_id: view for view in reply.requests}
        return [found.get(request_id) for request_id in request_ids]

    async def queue(self, space_id: str) -> Queue | None:
        """A space's queue now; None when the space is gone. Problem: unavailable.

        When thousands of sockets come back at once, each asks for the space that it watches.
        """
        return await self._queues.add(space_id)

    async def _read_queues(self, space_ids: list[str]) -> Sequence[Queue | None]:
        reply = await self.services.bus.request(GetQueues(space_ids=list(dict.fromkeys(space_ids))))
        found = {queue.space_id: queue for queue in reply.queues}
        return [found.get(space_id) for space_id in space_ids]

    def access_changed(self, changed: AccessChanged) -> None:
        """A key that was revoked, or a login that ended, ends its sockets and streams, too.

        So does a space that became private, for those who do not see it any more and have something of it open.
        """
        if changed.what == "principal":
            for guest in list(self.guests):
                guest.access_changed(changed.changed_id)
        elif changed.what == "space":
            self._audience_changed(changed)

    def _audience_changed(self, changed: AccessChanged) -> None:
        self._hides.pop(changed.changed_id, None)
        if changed.private_to is None:
            return
        self._hides[changed.changed_id] = (self.services.clock.monotonic() + HIDES_S, changed)
        while len(self._hides) > MAX_HIDES:
            self._hides.popitem(last=False)
        for guest in list(self.guests):
            principal = guest.principal
            if principal is None or changed.changed_id not in guest.spaces:
                continue
            if not sight_of(principal).sees(changed.tenant_id, changed.private_to):
                # Whoever comes back is told that there is no such space.
                guest.go_away(random.uniform(0.0, self.door.limits.reconnect_spread_s))

    def hides(self, space_id: str, actor: Principal) -> bool:
        """Whether a space that the actor just saw was hidden from them meanwhile: answers are overtaken by changes."""
        until, changed = self._hides.get(space_id, (0.0, None))
        if changed is None or until < self.services.clock.monotonic():
            return False
        return not sight_of(actor).sees(changed.tenant_id, changed.private_to)

    def watched_spaces(self) -> set[str]:
        """Spaces of which something is open."""
        return {space_id for guest in self.guests for space_id in guest.spaces if space_id}

    # Part

    async def start(self) -> None:
        """Starts the readers of requests and queues."""
        await self._views.start()
        await self._queues.start()

    async def drain(self) -> None:
        """Sends everybody away, each with its own time to come back."""
        self.door.leaving = True
        for guest in list(self.guests):
            guest.go_away(random.uniform(0.0, self.door.limits.reconnect_spread_s))

    async def stop(self) -> None:
        """Drops what is still connected."""
        for socket in list(self.sockets):
            socket.wire.abort()
        await self._queues.stop()
        await self._views.stop()

    def healthy(self) -> bool:
        return self._views.healthy() and self._queues.healthy()


def may_see(actor: Principal, view: RequestView) -> bool:
    """Admins see all, others what is in spaces of their tenant that they see."""
    return sight_of(actor).sees(view.tenant_id, view.private_to)
