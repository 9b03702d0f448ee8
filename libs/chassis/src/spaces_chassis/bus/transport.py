"""The seam between the bus and what carries its bytes: NATS in production, memory in tests."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

# Answers and commands carry it: past this moment (Unix time in ms) nobody waits any more.
DEADLINE_HEADER = "Spaces-Deadline-Ms"
# What NATS puts in front of a status message, such as 503 "no responders".
STATUS_HEADER = "Status"
NO_HEADERS: Mapping[str, str] = {}


class Packet(NamedTuple):
    """What arrived, before anybody read its body."""

    subject: str
    reply_to: str | None
    body: bytes
    headers: Mapping[str, str]


Receive = Callable[[Packet], Awaitable[None] | None]


class Handle(Protocol):
    """One subscription at the transport."""

    async def stop(self) -> None:
        """Ends it at once; what was received and not yet handled is dropped."""
        ...

    async def drain(self) -> None:
        """Ends it after what was received has been handled."""
        ...


class Watcher(Protocol):
    """Whom the transport tells about its connection. None of these may raise or wait."""

    def on_connected(self) -> None: ...

    def on_disconnected(self) -> None: ...

    def on_closed(self, reason: str) -> None: ...

    def on_error(self, error: Exception) -> None: ...


class Transport(Protocol):
    """Carries bytes by subject."""

    @property
    def connected(self) -> bool: ...

    @property
    def unsent_bytes(self) -> int:
        """What was published and not yet given to the socket."""
        ...

    def server_info(self) -> Mapping[str, Any]:
        """What the server said of itself; empty when it said nothing."""
        ...

    async def connect(self, watcher: Watcher) -> None:
        """Returns when connected; waits for the server as long as it takes."""
        ...

    def publish(
        self, subject: str, body: bytes, reply_to: str | None, headers: Mapping[str, str] | None
    ) -> None:
        """Hands bytes over without waiting. Raises BusUnavailable when not connected."""
        ...

    async def subscribe(self, subject: str, queue: str | None, receive: Receive) -> Handle:
        """Asks for messages; only `barrier` makes sure that the server knows."""
        ...

    async def barrier(self, timeout_s: float) -> None:
        """Returns when the server has processed all that was sent. Raises BusUnavailable."""
        ...

    async def close(self) -> None:
        """Sends what is left and ends the connection."""
        ...
