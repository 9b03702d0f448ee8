"""The sockets half of the gateway on one screen."""

from collections.abc import Sequence
from importlib.metadata import version

from spaces_chassis.bus import Route
from spaces_chassis.http import App
from spaces_chassis.lifecycle import Loop, Part
from spaces_contracts.connections import GATEWAY_BEAT_S
from spaces_gateway.services import Services
from spaces_gateway.sockets.door import Door
from spaces_gateway.sockets.endings import Endings
from spaces_gateway.sockets.event_store import EventStore
from spaces_gateway.sockets.limits import SocketLimits
from spaces_gateway.sockets.worker_hub import Identity, WorkerHub
from spaces_gateway.sockets.worker_socket import WorkerSocketApp
from spaces_gateway.subscriptions import Handlers, subscriptions

WATCH_EVERY_S = 1.0


class GatewaySockets:
    """What app.py mounts and runs."""

    def __init__(self, services: Services, limits: SocketLimits | None = None) -> None:
        s = services
        limits = limits or SocketLimits(
            sockets=s.settings.max_connections, allowed_origins=tuple(s.settings.allowed_origins)
        )
        door = Door(limits, s.metrics)
        events = EventStore(s.bus, s.clock, s.metrics)
        endings = Endings(s.bus, s.clock)
        identity = Identity(s.gateway_id, version("spaces-gateway"))
        workers = WorkerHub(s.bus, s.clock, identity, door, events, endings)
        loops = s.loop_metrics
        self.worker_socket: App = WorkerSocketApp(workers)
        self.client_socket: App = WorkerSocketApp(workers)
        self._routes = subscriptions(s.gateway_id, Handlers(s.access, s.waiters, workers))
        self._parts: list[Part] = [
            endings,
            events,
            Loop("worker_heartbeats", workers.tick, WATCH_EVERY_S, s.clock, loops),
            Loop("gateway_beat", workers.beat, GATEWAY_BEAT_S, s.clock, loops),
            workers,
        ]

    def routes(self) -> Sequence[Route]:
        """Its subscriptions, for the bus."""
        return self._routes

    def parts(self) -> Sequence[Part]:
        """After the HTTP server: drained (goaway) before it."""
        return self._parts


def build_sockets(services: Services) -> GatewaySockets:
    """The sockets of one process."""
    return GatewaySockets(services)
