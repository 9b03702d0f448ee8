"""A gateway that does what the test says, and agents that dial it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spaces_worker_agent.addresses import socket_url
from spaces_worker_agent.websocket_link import WebSocketLink
from tests.support.agents import StartAgent, agents
from tests.support.fake_gateway import FakeGateway, fake_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as running:
        yield running


@pytest.fixture
async def start_agent(tmp_path: Path, gateway: FakeGateway) -> AsyncIterator[StartAgent]:
    url = socket_url(gateway.url)
    async with agents(lambda: WebSocketLink(url), gateway.url, tmp_path) as start:
        yield start
