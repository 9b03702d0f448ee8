"""The sockets half of the gateway on one screen."""

from collections.abc import AsyncIterator, Sequence
from importlib.metadata import version

from spaces_chassis.bus import Route
from spaces_chassis.http import App
from spaces_chassis.lifecycle import Loop, Part
from spaces_contracts.access import Principal
from spaces_contracts.client_socket import After
from spaces_contracts.connections import GATEWAY_BEAT_S
from spaces_contracts.requests import RequestView
from spaces_gateway.http.proxies import Proxies
from spaces_gateway.services import ServerSentEvent, Services
from spaces_gateway.sockets import list_watch
from spaces_gateway.sockets.client_hub import ClientHub
from spaces_gateway.sockets.client_socket import ClientSocketApp
from spaces_gateway.sockets.door import Door
from spaces_gateway.sockets.endings import Endings
from spaces_gateway.sockets.event_store import EventStore
from spaces_gateway.sockets.fanout import Fanout
from spaces_gateway.sockets.limits import SocketLimits
from spaces_gateway.sockets.list_watch import ListWatches
from spaces_gateway.sockets.queue_hints import QueueHints
from spaces_gateway.sockets.recheck import Recheck
from spaces_gateway.sockets.request_stream import Sources
from spaces_gateway.sockets.sse import stream_request_events
from spaces_gateway.sockets.worker_hub import Identity, WorkerHub
from spaces_gateway.sockets.worker_socket import WorkerSocketApp
from spaces_gateway.subscriptions import Handlers, subscriptions

HEARTBEAT_CHECK_S = 1.0


class GatewaySockets:
    """What app.py mounts and runs."""

    def __init__(self, services: Services, limits: SocketLimits | None = None) -> None:
        s = services
        limits = limits or SocketLimits(
            sockets=s.settings.max_connections,
            unauthenticated_per_address=s.settings.max_unauthenticated_per_address,
            allowed_origins=tuple(s.settings.allowed_origins),
            public_url=s.settings.public_url,
            tls=s.settings.tls_cert is not None,
        )
        door = Door(limits, s.metrics, Proxies(s.settings.trusted_proxies))
        events = EventStore(s.bus, s.clock, s.metrics)
        endings = Endings(s.bus, s.clock)
        identity = Identity(s.gateway_id, version("spaces-gateway"))
        self.workers = workers = WorkerHub(s.bus, s.clock, identity, door, events, endings)
        self.fanout = fanout = Fanout(s.bus, s.waiters, s.metrics)
        hints = QueueHints(s.clock, s.waiters, fanout.spaces)
        self.lists = lists = ListWatches(s.bus, s.gateway_id)
        self.clients = ClientHub(
            s, door, Sources(s.bus, s.clock, s.waiters, fanout, hints, s.links), lists
        )
        self.worker_socket: App = WorkerSocketApp(workers)
        self.client_socket: App = ClientSocketApp(self.clients)
        self._routes = subscriptions(
            s.gateway_id, Handlers(s.access, s.waiters, workers, self.clients, s.quotas)
        )
        beats = Loop("gateway_beat", workers.beat, GATEWAY_BEAT_S, s.clock, s.loop_metrics)
        heartbeats = Loop(
            "worker_heartbeats", workers.tick, HEARTBEAT_CHECK_S, s.clock, s.loop_metrics
        )
        self.recheck = Recheck(s.bus, s.clock, s.access, self.clients)
        recheck = Loop(
            "credential_recheck", self.recheck.step, Recheck.every_s, s.clock, s.loop_metrics
        )
        self._parts: list[Part] = [
            endings,
            events,
            fanout,
            lists,
            beats,
            heartbeats,
            Loop("list_watches", lists.step, list_watch.EVERY_S, s.clock, s.loop_metrics),
            recheck,
            workers,
            self.clients,
        ]

    def routes(self) -> Sequence[Route]:
        """Its subscriptions, for the bus."""
        return self._routes

    def parts(self) -> Sequence[Part]:
        """After the HTTP server: drained (goaway) before it."""
        return self._parts

    def stream_request_events(
        self, request: RequestView, after: After, actor: Principal
    ) -> AsyncIterator[ServerSentEvent]:
        """What `GET /api/requests/{id}/events` sends; ends after `finished`, and when the gateway drains."""
        return stream_request_events(self.clients, request, after, actor)


def build_sockets(services: Services) -> GatewaySockets:
    """The sockets of one process."""
    return GatewaySockets(services)
