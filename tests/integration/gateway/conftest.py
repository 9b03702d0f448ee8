"""A gateway on a real port, its bus in memory, beside doubles of registry and scheduler."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from spaces_chassis.bus import Bus
from spaces_chassis.settings import BusSettings
from spaces_chassis.testing import MemoryBroker, MemoryBus
from spaces_contracts.access import PrincipalKind
from spaces_gateway.app import Gateway, build
from spaces_gateway.settings import GatewaySettings
from spaces_stack.ports import free_ports
from tests.integration.gateway.backends import Backends
from tests.support.eventually import eventually
from tests.support.keys import bearer
from tests.support.observed_nats import OBSERVER
from tests.support.servers import RunningNats

USER = bearer("user")
ADMIN = bearer("admin", PrincipalKind.ADMIN)


@dataclass
class Running:
    """One gateway and who stands behind it."""

    gateway: Gateway
    backends: Backends
    broker: MemoryBroker
    client: httpx2.AsyncClient  # as a user of one tenant

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.client.get(path, **options)

    async def post(self, path: str, **options: Any) -> httpx2.Response:
        return await self.client.post(path, **options)


def settings(folder: Path, **changes: Any) -> GatewaySettings:
    return GatewaySettings(
        port=0,
        files_dir=folder / "files",
        web_dir=folder / "not-built",
        signing_key=SecretStr("a key for tests only"),
        allowed_origins=[],
        drain_s=2,
        max_file_bytes=1_000_000,
    ).model_copy(update=changes)


async def start(stack: AsyncExitStack, gateway: Gateway) -> None:
    for part in gateway.parts:
        stack.push_async_callback(part.stop)
        await part.start()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_with(settings(tmp_path)) as running:
        yield running


@asynccontextmanager
async def running_with(settings: GatewaySettings) -> AsyncIterator[Running]:
    """A gateway with settings of one's own."""
    broker = MemoryBroker()
    backends = Backends(MemoryBus(broker))
    gateway = build(settings, MemoryBus(broker))
    async with AsyncExitStack() as stack:
        await backends.start()
        stack.push_async_callback(backends.bus.stop)
        await start(stack, gateway)
        client = httpx2.AsyncClient(base_url=gateway.server.url, headers=USER, trust_env=False)
        await stack.enter_async_context(client)
        yield Running(gateway, backends, broker, client)


@dataclass
class Process:
    """A gateway as its own process, on a real bus."""

    url: str
    pid: int
    process: asyncio.subprocess.Process
    backends: Backends
    log: Path
    folder: Path


@pytest.fixture
async def process(nats_server: RunningNats, tmp_path: Path) -> AsyncIterator[Process]:
    (port,) = free_ports(1)
    log = tmp_path / "gateway.log"
    environ = {
        "PATH": os.environ["PATH"],
        "SPACES_NATS_URL": nats_server.url,
        "SPACES_NATS_USER": "gateway",
        "SPACES_NATS_PASSWORD": nats_server.password("gateway"),
        "SPACES_GATEWAY_PORT": str(port),
        "SPACES_GATEWAY_FILES_DIR": str(tmp_path / "files"),
        "SPACES_GATEWAY_SIGNING_KEY": "a key for tests only",
        "SPACES_LOG_FORMAT": "json",
        "SPACES_LOG_LEVEL": "DEBUG",
    }
    backends = Backends(Bus.from_settings(bus_settings(nats_server, OBSERVER), name="double"))
    await backends.start()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "spaces-gateway"),
            env=environ,
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        await eventually(lambda: answers(url + "/health/ready"), timeout_s=20)
        yield Process(url, process.pid, process, backends, log, tmp_path)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await backends.bus.stop()


async def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(url)).status_code == 200
        except httpx2.TransportError:
            return False


def bus_settings(nats_server: RunningNats, user: str) -> BusSettings:
    return BusSettings(
        nats_url=nats_server.url,
        nats_user=user,
        nats_password=SecretStr(nats_server.password(user)),
    )
