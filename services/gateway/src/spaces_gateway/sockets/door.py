"""How a socket is let in: version, origin and room are checked before the first frame is read."""

from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from spaces_chassis.metrics import Metrics
from spaces_contracts.frames import PROTOCOL
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import MAX_FRAME_BYTES
from spaces_gateway.http.proxies import Proxies
from spaces_gateway.origins import Origins
from spaces_gateway.sockets.answers import close, error
from spaces_gateway.sockets.limits import SocketLimits
from spaces_gateway.sockets.wire import Wire, wire_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
SendMessage = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Door:
    """Counts who is inside, for both kinds of socket of a process."""

    def __init__(self, limits: SocketLimits, metrics: Metrics, proxies: Proxies) -> None:
        self.limits = limits
        self._proxies = proxies
        self._origins = Origins(
            limits.allowed_origins, public_url=limits.public_url, tls=limits.tls
        )
        self.leaving = False
        self._inside = 0
        self._unknown = 0
        self._unknown_from: Counter[str] = Counter()
        sockets = metrics.gauge("spaces_gateway_sockets", "Open WebSockets, by kind.", ["kind"])
        self._gauges = {kind: sockets.labels(kind) for kind in ("worker", "client")}
        slow = metrics.counter(
            "spaces_gateway_sockets_too_slow_total",
            "Sockets given up because their peer did not read.",
            ["kind"],
        )
        self._slow = {kind: slow.labels(kind) for kind in ("worker", "client")}
        refused = metrics.counter(
            "spaces_gateway_sockets_refused_total", "Sockets refused when they opened.", ["code"]
        )
        self._refused = {
            code: refused.labels(code.value)
            for code in (
                Code.UNSUPPORTED_PROTOCOL,
                Code.ORIGIN_NOT_ALLOWED,
                Code.TOO_MANY_CONNECTIONS,
                Code.GOING_AWAY,
            )
        }

    async def open(
        self, scope: Scope, receive: Receive, send: SendMessage, *, kind: str
    ) -> "Visit | None":
        """Accepts the socket. One that may not stay hears why in an `error` frame, and None is returned."""
        await receive()  # websocket.connect
        offered: Sequence[str] = scope.get("subprotocols") or ()
        address = self._proxies.address(scope)
        problem = (
            self._version_problem(offered, required=kind == "worker")
            or self._origin_problem(scope, kind)
            or self._room_problem(address)
        )
        chosen = PROTOCOL if PROTOCOL in offered else None
        await send({"type": "websocket.accept", "subprotocol": chosen})
        wire = wire_of(scope)
        if problem is not None:
            self._refused[problem.code].inc()
            wire.write([error(problem).frame])
            wire.close(close(problem).code, problem.code)
            return None
        wire.limit(self.limits.unauthenticated_frame_bytes)
        return Visit(self, wire, kind, address)

    def _version_problem(self, offered: Sequence[str], *, required: bool) -> Problem | None:
        # A worker must say its version: an agent of another release then hears what to install.
        # Plain clients may leave it out, so that any WebSocket tool can be used by hand.
        if PROTOCOL in offered or (not offered and not required):
            return None
        spoken = ", ".join(offered) or "none"
        return Problem(
            code=Code.UNSUPPORTED_PROTOCOL,
            message=f"This gateway speaks {PROTOCOL}; offered: {spoken[:200]}.",
            facts={"supported": [PROTOCOL], "offered": list(offered)[:8]},
        )

    def _origin_problem(self, scope: Scope, kind: str) -> Problem | None:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        if not given or kind == "worker":  # not a browser; workers hold a token no page has
            return None
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        text = ", ".join(given)
        if len(given) == len(hosts) == 1 and self._origins.allow(text, hosts[0].lower()):
            return None
        return Problem(
            code=Code.ORIGIN_NOT_ALLOWED,
            message=f"Pages of {text[:200]} may not open this socket.",
            facts={"origin": text[:200]},
        )

    def _room_problem(self, address: str) -> Problem | None:
        if self.leaving:
            return Problem(code=Code.GOING_AWAY, message="This gateway is stopping.")
        if self._inside >= self.limits.sockets or self._unknown >= self.limits.unauthenticated:
            return Problem(code=Code.TOO_MANY_CONNECTIONS, facts={"sockets": self._inside})
        if self._unknown_from[address] >= self.limits.unauthenticated_per_address:
            message = "Too many sockets of this address have not said who they are."
            return Problem(code=Code.TOO_MANY_CONNECTIONS, message=message)
        return None

    def entered(self, kind: str, by: int) -> None:
        """For a Visit only."""
        self._inside += by
        self._gauges[kind].inc(by)

    def too_slow(self, kind: str) -> None:
        """For a Visit only."""
        self._slow[kind].inc()

    def unknown(self, address: str, by: int) -> None:
        """For a Visit only."""
        self._unknown += by
        self._unknown_from[address] += by
        if not self._unknown_from[address]:
            del self._unknown_from[address]


class Visit:
    """One socket that was let in, until `leave`."""

    __slots__ = ("_address", "_door", "_kind", "_known", "wire")

    def __init__(self, door: Door, wire: Wire, kind: str, address: str) -> None:
        self._address = address
        self._door = door
        self._kind = kind
        self._known = False
        self.wire = wire
        door.entered(kind, 1)
        door.unknown(address, 1)

    def identified(self) -> None:
        """The peer has shown who it is."""
        if not self._known:
            self._known = True
            self.wire.limit(MAX_FRAME_BYTES)
            self._door.unknown(self._address, -1)

    def too_slow(self) -> None:
        """The peer did not read."""
        self._door.too_slow(self._kind)

    def leave(self) -> None:
        """The socket is closed."""
        self.identified()
        self._door.entered(self._kind, -1)


async def until_disconnect(receive: Receive) -> int:
    """Waits for the end of a socket whose frames go to a sink; returns the close code."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return int(message.get("code") or 1005)
