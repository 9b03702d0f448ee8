"""The bounds of the sockets. Defaults are what the protocol's documentation states."""

from dataclasses import dataclass, field

from spaces_contracts.frames import FIRST_FRAME_S


@dataclass(frozen=True)
class OutboxLimits:
    """How much may wait for one peer to read."""

    messages: int
    bytes: int


@dataclass(frozen=True)
class SocketLimits:
    """All settings of both sockets."""

    first_frame_s: float = FIRST_FRAME_S
    sockets: int = 10_000  # per process, both kinds
    unauthenticated: int = 2_000
    # Of these, from one address: nobody takes the room of all others. A proxy that is not trusted is one address.
    unauthenticated_per_address: int = 1_000
    # What somebody says before they are known is short; a worker lists what it has in flight.
    unauthenticated_frame_bytes: int = 256 * 1024
    subscriptions: int = 1024  # per client socket, requests and spaces together
    submits: int = 64  # unanswered, per client socket; then its frames wait unread
    client_outbox: OutboxLimits = field(default_factory=lambda: OutboxLimits(256, 256 * 1024))
    # Jobs and answers to a whole host; losing it costs more than losing one client.
    worker_outbox: OutboxLimits = field(default_factory=lambda: OutboxLimits(2048, 4 * 1024 * 1024))
    unstored_bytes: int = 4 * 1024 * 1024  # of one worker's chunks; then its frames wait unread
    reconnect_spread_s: float = 2.0
    # Pages from elsewhere may not open `/ws`. Empty: only the gateway's own origin; "*": any.
    allowed_origins: tuple[str, ...] = ()
    public_url: str | None = None  # the own origin; None: the Host that a call names
    tls: bool = False  # then the own origin begins with https
