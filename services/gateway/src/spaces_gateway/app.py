"""The whole gateway on one screen."""

from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI

from spaces_chassis.batcher import BatcherMetrics
from spaces_chassis.bus import Bus
from spaces_chassis.clock import SystemClock
from spaces_chassis.http import App, HttpServer
from spaces_chassis.lifecycle import Loop, LoopMetrics, Part
from spaces_chassis.metrics import Metrics
from spaces_contracts.connections import GATEWAY_CLIENT_NAME
from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import MAX_FRAME_BYTES
from spaces_gateway.access import Access
from spaces_gateway.certificate import Certificate
from spaces_gateway.files.covers import CoverStore
from spaces_gateway.files.limits import UnpackLimits
from spaces_gateway.files.meters import FileMeters
from spaces_gateway.files.retention import RetentionSweep
from spaces_gateway.files.room import Room
from spaces_gateway.files.signing import FileLinks, random_key
from spaces_gateway.files.store import FileStore, open_store
from spaces_gateway.http.application import build_http
from spaces_gateway.http.bounds import HttpBounds, Watch
from spaces_gateway.http.cors import Cors
from spaces_gateway.http.edge import Edge
from spaces_gateway.http.hot import HotRoutes
from spaces_gateway.http.protection import on_every_answer
from spaces_gateway.http.waits import Waits
from spaces_gateway.quotas.quotas import Quotas
from spaces_gateway.services import Services
from spaces_gateway.settings import GatewaySettings
from spaces_gateway.sockets.assembly import build_sockets
from spaces_gateway.sockets.wire import SpacesWebSocketProtocol
from spaces_gateway.submission import Submission
from spaces_gateway.waiters import Waiters

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Gateway:
    """A gateway that is built and not yet started."""

    services: Services
    http: FastAPI
    hot: HotRoutes
    server: HttpServer
    watch: Watch
    parts: list[Part]  # in the order to start; drained and stopped in reverse


def build(settings: GatewaySettings, bus: Bus | None = None) -> Gateway:
    """Builds the process; a test gives its own bus."""
    services, submission = build_services(settings, bus)
    sockets = build_sockets(services)
    services.bus.add_routes(sockets.routes())
    waits = Waits(services.waiters, sockets.fanout.ends, services.metrics)
    clock, loops = services.clock, services.loop_metrics
    sweep = RetentionSweep(services.files, clock, settings.files_keep_days, Room(services.bus))
    parts: list[Part] = [
        services.bus,
        services.quotas,
        submission,
        Loop("quiet_requests", services.waiters.step, 1.0, clock, loops),
        Loop("file_retention", sweep.step, sweep.every_s, clock, loops),
    ]
    watch = Watch(HttpBounds(connections=settings.max_connections * 2 - 1), clock, services.metrics)
    parts.append(Loop("slow_connections", watch.step, watch.every_s, clock, loops))
    certificate = certificate_of(settings)
    if certificate is not None:
        parts.append(Loop("tls_certificate", certificate.step, certificate.every_s, clock, loops))
    http, hot = build_http(services, sockets, waits, parts)
    server = server_of(
        settings,
        Edge(
            http,
            hot,
            {"/ws": sockets.client_socket, "/ws/worker": sockets.worker_socket},
            services.metrics,
            settings.max_connections,
            Cors(settings.cors_origins),
        ),
        watch,
        certificate,
    )
    # Drained in reverse: not ready and waiting calls answered, sockets say goaway, then the server ends.
    parts += [server, *sockets.parts(), waits]
    return Gateway(services, http, hot, server, watch, parts)


def certificate_of(settings: GatewaySettings) -> Certificate | None:
    """What to serve HTTPS with. Raises SettingsError."""
    if settings.tls_cert is None:
        return None
    return Certificate(settings.tls_cert, settings.tls_key)


def server_of(
    settings: GatewaySettings, app: App, watch: Watch, certificate: Certificate | None = None
) -> HttpServer:
    """The server and its bounds, whatever stands behind it: conformance tests put an echo there."""
    tls: dict[str, Any] = {}
    if certificate is not None:
        tls["ssl_context_factory"] = lambda _config, _default: certificate.context
    return HttpServer(
        app,
        host=settings.host,
        port=settings.port,
        drain_s=max(1, int(settings.drain_s / 2)),
        proxy_headers=False,  # http/proxies.py reads them, and only from proxies that are trusted
        http=watch.protocol(),
        ws=SpacesWebSocketProtocol,
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        # The bounds of edge and sockets answer first; this one protects the process.
        limit_concurrency=settings.max_connections * 2,
        headers=on_every_answer(settings),
        **tls,
    )


def build_services(settings: GatewaySettings, bus: Bus | None) -> tuple[Services, Submission]:
    """What HTTP and sockets share."""
    metrics, clock, gateway_id = Metrics("gateway"), SystemClock(), new_id()
    if bus is None:
        bus = Bus.from_settings(
            settings, name=GATEWAY_CLIENT_NAME + gateway_id, clock=clock, metrics=metrics
        )
    access = Access(bus, clock)
    store = open_store(settings.files_url or str(settings.files_dir))
    files = FileStore(
        store,
        settings.max_file_bytes,
        FileMeters(metrics),
        Room(bus),
        UnpackLimits(
            settings.max_image_pixels,
            settings.max_unpacked_bytes,
            settings.max_unpacked_ratio,
            settings.nested_archives,
        ),
    )
    links = FileLinks(_signing_key(settings), clock)
    batches = BatcherMetrics(metrics)
    quotas = Quotas(bus, metrics, batches)
    submission = Submission(bus, access, files, links, quotas, clock, batches)
    services = Services(
        settings=settings,
        gateway_id=gateway_id,
        bus=bus,
        clock=clock,
        metrics=metrics,
        loop_metrics=LoopMetrics(metrics),
        access=access,
        files=files,
        covers=CoverStore(store),
        links=links,
        quotas=quotas,
        submission=submission,
        waiters=Waiters(bus, clock, gateway_id),
    )
    return services, submission


def _signing_key(settings: GatewaySettings) -> bytes:
    if settings.signing_key is not None:
        return settings.signing_key.get_secret_value().encode()
    log.warning("no_signing_key", consequence="file addresses work at this gateway only")
    return random_key()
