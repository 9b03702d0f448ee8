"""A request's events as server-sent events: the client socket's frames for those without sockets."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from spaces_contracts.access import Principal
from spaces_contracts.client_socket import After
from spaces_contracts.requests import RequestView
from spaces_gateway.services import ServerSentEvent
from spaces_gateway.sockets.client_frames import Told
from spaces_gateway.sockets.client_hub import ClientHub
from spaces_gateway.sockets.limits import OutboxLimits
from spaces_gateway.sockets.request_stream import RequestStream


class EventBuffer:
    """What waits to be sent in one response. A reader that is too slow loses the response, and resumes."""

    def __init__(self, limits: OutboxLimits, principal: Principal, space_id: str) -> None:
        self._limits = limits
        self.principal: Principal | None = principal
        self.spaces = {space_id}
        self._waiting: deque[Told] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = asyncio.Event()
        self._read = asyncio.Event()

    def tell(self, message: Told) -> None:
        if self._closed:
            return
        if len(self._waiting) >= self._limits.messages or self._bytes >= self._limits.bytes:
            self._waiting.clear()
            self.close()
            return
        self._waiting.append(message)
        self._bytes += len(message.frame)
        self._changed.set()

    async def room(self) -> None:
        while not self._closed and (
            len(self._waiting) >= self._limits.messages // 4
            or self._bytes >= self._limits.bytes // 4
        ):
            self._read.clear()
            await self._read.wait()

    def close(self) -> None:
        """What waits is still read; nothing more is taken."""
        self._closed = True
        self._changed.set()
        self._read.set()

    def go_away(self, reconnect_after_s: float) -> None:
        """The process stops, or the space is hidden: the response ends, and its client asks again."""
        self.close()

    def access_changed(self, principal_id: str) -> None:
        """A credential is good no more: a response that it asked for ends."""
        if self.principal is not None and principal_id == self.principal.principal_id:
            self.close()

    async def next(self) -> Told | None:
        """The next frame; None at the end."""
        while not self._waiting:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._waiting.popleft()
        self._bytes -= len(message.frame)
        self._read.set()
        return message


async def stream_request_events(
    hub: ClientHub, request: RequestView, after: After, actor: Principal
) -> AsyncIterator[ServerSentEvent]:
    """(type, "attempt:n" or "", frame) until the end. The caller has checked who may read the request."""
    buffer = EventBuffer(hub.door.limits.client_outbox, actor, request.space_id)
    stream = RequestStream(hub.sources, request.request_id, buffer, lambda _: buffer.close(), after)
    hub.guests.add(buffer)
    if hub.hides(request.space_id, actor):
        buffer.close()
    try:
        await stream.open_known(request)
        stream.placed(request.state)
        while (message := await buffer.next()) is not None:
            yield message.type, message.position, message.frame
    finally:
        hub.guests.discard(buffer)
        stream.stop()
