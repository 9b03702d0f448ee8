"""What HTTP and sockets share, in one value; app.py makes it and passes it on."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from spaces_chassis.bus import Bus, Route
from spaces_chassis.clock import Clock
from spaces_chassis.http import App
from spaces_chassis.lifecycle import LoopMetrics, Part
from spaces_chassis.metrics import Metrics
from spaces_contracts.access import Principal
from spaces_contracts.client_socket import After
from spaces_contracts.identifiers import GatewayId
from spaces_contracts.requests import RequestView
from spaces_gateway.access import Access
from spaces_gateway.files.covers import CoverStore
from spaces_gateway.files.signing import FileLinks
from spaces_gateway.files.store import FileStore
from spaces_gateway.quotas.quotas import Quotas
from spaces_gateway.settings import GatewaySettings
from spaces_gateway.submission import Submission
from spaces_gateway.waiters import Waiters


@dataclass(frozen=True)
class Services:
    """One gateway process."""

    settings: GatewaySettings
    gateway_id: GatewayId
    bus: Bus
    clock: Clock
    metrics: Metrics
    loop_metrics: LoopMetrics  # one a process: a second one would register its names twice
    access: Access
    files: FileStore
    covers: CoverStore
    links: FileLinks
    quotas: Quotas
    submission: Submission
    waiters: Waiters


# One server-sent event: its type, its id (empty: none), its data (one line of JSON).
ServerSentEvent = tuple[str, str, bytes]


class Sockets(Protocol):
    """What the sockets half offers (`sockets.assembly.build_sockets(services)`).

    `worker_socket` and `client_socket` are plain ASGI applications for /ws/worker and /ws.
    `routes` are its subscriptions, which also feed `Access.forget` and `Waiters.finished`.
    `parts` come after the HTTP server, so that they are drained (goaway) before it.
    `stream_request_events(request, after)` yields what `GET /api/requests/{id}/events` sends, for a request
    that the caller may read; it ends after `finished`, when the gateway drains, and with the caller's credential.
    """

    worker_socket: App
    client_socket: App

    def routes(self) -> Sequence[Route]: ...

    def parts(self) -> Sequence[Part]: ...

    def stream_request_events(
        self, request: RequestView, after: After, actor: Principal
    ) -> AsyncIterator[ServerSentEvent]: ...
