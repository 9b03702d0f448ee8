"""A gateway on a real port, its bus in memory, beside doubles of registry and scheduler."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from spaces_chassis.testing import MemoryBroker, MemoryBus
from spaces_gateway.app import Gateway, build
from spaces_gateway.settings import GatewaySettings
from tests.integration.gateway.backends import Backends

USER = {"authorization": "Bearer user-secret"}
ADMIN = {"authorization": "Bearer admin-secret"}


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
    broker = MemoryBroker()
    backends = Backends(broker)
    gateway = build(settings(tmp_path), MemoryBus(broker))
    async with AsyncExitStack() as stack:
        await backends.start()
        stack.push_async_callback(backends.bus.stop)
        await start(stack, gateway)
        client = httpx2.AsyncClient(base_url=gateway.server.url, headers=USER, trust_env=False)
        await stack.enter_async_context(client)
        yield Running(gateway, backends, broker, client)
