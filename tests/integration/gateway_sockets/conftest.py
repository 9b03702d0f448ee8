"""A gateway's sockets on a real port and a real bus, beside doubles of registry and scheduler."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore
from pydantic import SecretStr

from spaces_chassis.bus import Bus
from spaces_chassis.clock import SystemClock
from spaces_chassis.http import HttpServer
from spaces_chassis.lifecycle import LoopMetrics, Part
from spaces_chassis.metrics import Metrics
from spaces_chassis.settings import BusSettings
from spaces_contracts.identifiers import new_id
from spaces_gateway.access import Access
from spaces_gateway.files.covers import CoverStore
from spaces_gateway.files.signing import FileLinks
from spaces_gateway.files.store import FileStore
from spaces_gateway.http.one_write import OneWriteProtocol
from spaces_gateway.quotas.quotas import Quotas
from spaces_gateway.services import Services
from spaces_gateway.settings import GatewaySettings
from spaces_gateway.sockets.assembly import GatewaySockets
from spaces_gateway.sockets.limits import SocketLimits
from spaces_gateway.sockets.wire import SpacesWebSocketProtocol
from spaces_gateway.submission import Submission
from spaces_gateway.waiters import Waiters
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.integration.gateway_sockets.socket_peer import Peer
from tests.support.observed_nats import OBSERVER
from tests.support.servers import RunningNats


def bus_settings(nats_server: RunningNats, user: str) -> BusSettings:
    return BusSettings(
        nats_url=nats_server.url,
        nats_user=user,
        nats_password=SecretStr(nats_server.password(user)),
    )


@dataclass
class Gateway:
    """One gateway process, as far as sockets go."""

    sockets: GatewaySockets
    server: HttpServer
    services: Services
    parts: Sequence[Part]

    def url(self, path: str) -> str:
        return self.server.url.replace("http", "ws", 1) + path

    async def drain(self) -> None:
        for part in reversed(self.sockets.parts()):
            await part.drain()


MakeGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def platform(nats_server: RunningNats) -> AsyncIterator[PlatformDouble]:
    bus = Bus.from_settings(bus_settings(nats_server, OBSERVER), name="platform-double")
    double = PlatformDouble(bus)
    await double.start()
    yield double
    await bus.stop()


@asynccontextmanager
async def running(parts: Sequence[Part]) -> AsyncIterator[None]:
    started: list[Part] = []
    try:
        for part in parts:
            started.append(part)
            await part.start()
        yield
    finally:
        for part in reversed(started):
            await part.stop()


def assemble(nats_server: RunningNats, folder: Path, limits: SocketLimits | None) -> Gateway:
    """The sockets of a gateway, and what they need of the rest."""
    settings = GatewaySettings(
        nats_url=nats_server.url,
        nats_user="gateway",
        nats_password=SecretStr(nats_server.password("gateway")),
        files_dir=folder / "files",
    )
    services, submission = services_of(settings)
    sockets = GatewaySockets(services, limits)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            route = {"/ws": sockets.client_socket, "/ws/worker": sockets.worker_socket}
            await route[scope["path"]](scope, receive, send)

    server = HttpServer(
        app,
        host="127.0.0.1",
        port=0,
        http=OneWriteProtocol,
        ws=SpacesWebSocketProtocol,
        ws_max_size=1_048_576,
        ws_per_message_deflate=False,
    )
    services.bus.add_routes(sockets.routes())
    parts: list[Part] = [services.bus, services.quotas, submission, server, *sockets.parts()]
    return Gateway(sockets, server, services, parts)


def services_of(settings: GatewaySettings) -> tuple[Services, Submission]:
    clock, metrics, gateway_id = SystemClock(), Metrics("gateway"), new_id()
    bus = Bus.from_settings(settings, name="gateway", clock=clock, metrics=metrics)
    access = Access(bus, clock)
    links = FileLinks(b"k" * 32, clock)
    store = MemoryStore()
    files = FileStore(store, settings.max_file_bytes)
    quotas = Quotas(bus, metrics)
    submission = Submission(bus, access, files, links, quotas, clock)
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


@pytest.fixture
async def make_gateway(
    nats_server: RunningNats, platform: PlatformDouble, tmp_path: Path
) -> AsyncIterator[MakeGateway]:
    """Starts gateways; `limits` shorten their times."""
    async with AsyncExitStack() as stack:

        async def make(limits: SocketLimits | None = None) -> Gateway:
            gateway = assemble(nats_server, tmp_path, limits)
            await stack.enter_async_context(running(gateway.parts))
            return gateway

        yield make


@pytest.fixture
async def gateway(make_gateway: MakeGateway) -> Gateway:
    return await make_gateway()


@pytest.fixture
async def peers() -> AsyncIterator[AsyncExitStack]:
    """Closes what a test opened: `await peers.enter_async_context(Peer.open(…))`."""
    async with AsyncExitStack() as stack:
        yield stack


Connect = Callable[..., Awaitable[Peer]]


@pytest.fixture
async def connect(peers: AsyncExitStack) -> Connect:
    """Opens a raw socket to a gateway."""

    async def open_peer(gateway: Gateway, path: str, **options: Any) -> Peer:
        return await peers.enter_async_context(Peer.open(gateway.url(path), **options))

    return open_peer
