"""Agents in the test's process: real handler processes, a real spool, a gateway that does what the test says."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spaces_contracts.connections import AgentInfo
from spaces_worker_agent.addresses import socket_url
from spaces_worker_agent.backoff import Backoff
from spaces_worker_agent.engine import Engine
from spaces_worker_agent.exits import Leave
from spaces_worker_agent.files import Transfers
from spaces_worker_agent.link import Introduction
from spaces_worker_agent.slot import HandlerCommand
from spaces_worker_agent.spool import Spool
from spaces_worker_agent.supervisor import Supervisor
from spaces_worker_agent.watching import Quiet
from spaces_worker_agent.websocket_link import WebSocketLink
from tests.support.fake_gateway import FakeGateway, fake_gateway

HANDLERS = Path(__file__).with_name("handlers.py")


@dataclass
class Agent:
    """An agent that runs."""

    engine: Engine
    supervisor: Supervisor
    left: "asyncio.Task[Leave]"

    async def leave(self) -> Leave:
        """Why it left."""
        return await asyncio.wait_for(asyncio.shield(self.left), 30)


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway() as running:
        yield running


@pytest.fixture
def work_root(tmp_path: Path) -> Path:
    return tmp_path / "work"


StartAgent = Callable[..., Any]


@pytest.fixture
async def start_agent(tmp_path: Path, gateway: FakeGateway) -> AsyncIterator[StartAgent]:
    """`await start_agent("handler", slots=1, …)`; whatever still runs at the end is stopped."""
    running: list[Agent] = []

    async def start(name: str = "handler", **options: Any) -> Agent:
        agent = await make_agent(gateway.url, tmp_path, name, **options)
        running.append(agent)
        return agent

    yield start
    for agent in running:
        if not agent.left.done():
            agent.supervisor.drain()
            agent.supervisor.drain()
        await agent.leave()


async def make_agent(
    url: str,
    tmp_path: Path,
    name: str,
    *,
    slots: int = 1,
    spaces: tuple[str, ...] = ("demo",),
    spool_dir: Path | None = None,
    grace_s: float = 0.2,
    link: Any = None,
) -> Agent:
    """Wires an agent as app.py does, with short waits."""
    import os

    spool = Spool.open(spool_dir or tmp_path / "spool")
    engine = Engine(
        spool,
        HandlerCommand(f"{HANDLERS}:{name}", dict(os.environ), grace_s),
        slots=slots,
        transfers=Transfers(url, httpx2.AsyncClient(trust_env=False)),
        work_root=Path(tempfile.mkdtemp(dir=tmp_path)),
        watcher=Quiet(),
    )
    await engine.start()
    identity = spool.identity

    def introduce(wanted: tuple[str, ...]) -> Introduction:
        return Introduction(
            token="token-of-the-test",
            spaces=wanted,
            slots=slots,
            instance_id=identity.instance_id,
            secret=identity.secret,
            agent=AgentInfo(version="1"),
            in_flight=tuple(engine.session.in_flight()),
        )

    supervisor = Supervisor(
        link or WebSocketLink(socket_url(url)),
        engine,
        introduce,
        spaces,
        backoff=Backoff(first_s=0.01, cap_s=0.05),
        drain_s=20,
    )

    async def run() -> Leave:
        try:
            return await supervisor.run()
        finally:
            await engine._transfers.close()  # type: ignore[attr-defined]  # the test made it

    return Agent(engine, supervisor, asyncio.create_task(run()))
