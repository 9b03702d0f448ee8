"""One HTTP request and its answer, and what happens when the answer comes before the body was read.

Such a connection cannot serve another request, so it is closed; but a client that is still sending would get
a reset before it reads the answer. So a little more is read and dropped first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from spaces_chassis.http import Event, Scope
from spaces_gateway.http import one_write

LINGER_S = 5.0
LINGER_BYTES = 256 * 1024 * 1024


class Exchange:
    """Between the server and the application."""

    __slots__ = (
        "_cycle",
        "_expects",
        "_receive",
        "_received",
        "_send",
        "_unread",
        "more",
        "status",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Event]],
        send: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._receive = receive
        self._send = send
        self._unread, self._expects = _body_announced(scope)
        self._received = False
        # Taken out: each holds the other, and only the garbage collector would free them.
        self._cycle = scope.pop(one_write.EXTENSION, None)
        self.status = 0
        self.more: tuple[tuple[bytes, bytes], ...] = ()
        """Headers that the answer gets, whatever it is."""

    async def receive(self) -> Event:
        """The next event from the client."""
        event = await self._receive()
        self._received = True
        if event["type"] != "http.request" or not event.get("more_body", False):
            self._unread = False
        return event

    async def send(self, event: Event) -> None:
        """The next event of the answer."""
        if event["type"] == "http.response.start":
            self.status = event["status"]
            if self.more:
                event["headers"] = [*event.get("headers", ()), *self.more]
            if self._unread:
                event["headers"] = [*event.get("headers", ()), (b"connection", b"close")]
        elif self._unread and not event.get("more_body", False):
            await self._send({**event, "more_body": True})
            await self._linger()
            event = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(event)

    async def send_whole(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """A complete answer, in one write where the server can; content-length is added."""
        if self._cycle is not None and not self._unread:
            self.status = status
            await one_write.write_answer(self._cycle, status, (*headers, *self.more), body)
            return
        length = (b"content-length", b"%d" % len(body))
        await self.send(
            {"type": "http.response.start", "status": status, "headers": [*headers, length]}
        )
        await self.send({"type": "http.response.body", "body": body})

    async def _linger(self) -> None:
        if self._expects and not self._received:
            return  # the client waits for "100 Continue" and sends nothing without it
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_S):
                while self._unread and left > 0:
                    left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            return


def _body_announced(scope: Scope) -> tuple[bool, bool]:
    """Whether a body follows, and whether the client waits for leave to send it."""
    body = expects = False
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            body = True
        elif name == b"expect":
            expects = True
    return body, expects
