"""Agents in the test's process: real handler processes, a real spool, short waits."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from spaces_contracts.connections import AgentInfo
from spaces_worker_agent.backoff import Backoff
from spaces_worker_agent.engine import Engine
from spaces_worker_agent.exits import Leave
from spaces_worker_agent.files import Bearer, Transfers
from spaces_worker_agent.link import Introduction, Link
from spaces_worker_agent.process import HandlerCommand
from spaces_worker_agent.spool import Spool
from spaces_worker_agent.supervisor import Supervisor
from spaces_worker_agent.watching import Quiet

HANDLERS = Path(__file__).parents[1] / "integration" / "worker_agent" / "handlers.py"


@dataclass
class Agent:
    """An agent that runs."""

    engine: Engine
    supervisor: Supervisor
    left: "asyncio.Task[Leave]"

    async def leave(self) -> Leave:
        """Why it left."""
        return await asyncio.wait_for(asyncio.shield(self.left), 30)


StartAgent = Callable[..., Awaitable[Agent]]


@asynccontextmanager
async def agents(
    make_link: Callable[[], Link], origin: str, folder: Path
) -> AsyncIterator[StartAgent]:
    """`await start("handler", slots=1, …)`; whatever still runs at the end is stopped."""
    running: list[Agent] = []

    async def start(  # noqa: PLR0913  # an agent's many choices are meant
        name: str = "handler",
        *,
        slots: int = 1,
        spaces: tuple[str, ...] = ("demo",),
        spool: Path | None = None,
        grace_s: float = 0.2,
        takeover: bool = False,
        processes: int = 1,
    ) -> Agent:
        engine = await start_engine(
            name, spool or folder / "spool", origin, slots, grace_s, processes
        )
        agent = run_engine(engine, make_link(), spaces, slots, takeover)
        running.append(agent)
        return agent

    yield start
    for agent in running:
        if not agent.left.done():
            agent.supervisor.drain()
            agent.supervisor.drain()
        await agent.leave()


async def start_engine(
    name: str, spool: Path, origin: str, slots: int, grace_s: float, processes: int = 1
) -> Engine:
    """Handlers are loaded when it returns."""
    opened = Spool.open(spool)
    bearer = Bearer("token-of-the-test", opened.identity.instance_id)
    engine = Engine(
        opened,
        HandlerCommand(f"{HANDLERS}:{name}", dict(os.environ), grace_s, processes),
        slots=slots,
        transfers=Transfers(origin, httpx2.AsyncClient(trust_env=False), bearer),
        work_root=Path(tempfile.mkdtemp(dir=spool.parent)),
        watcher=Quiet(),
    )
    await engine.start()
    return engine


def run_engine(
    engine: Engine, link: Link, spaces: tuple[str, ...], slots: int, takeover: bool = False
) -> Agent:
    """Wires what app.py wires."""
    identity = engine.spool.identity

    def introduce(wanted: tuple[str, ...]) -> Introduction:
        return Introduction(
            token="token-of-the-test",
            spaces=wanted,
            slots=slots,
            instance_id=identity.instance_id,
            secret=identity.secret,
            agent=AgentInfo(version="1"),
            in_flight=tuple(engine.session.in_flight()),
            takeover=takeover,
        )

    backoff = Backoff(first_s=0.01, cap_s=0.05)
    supervisor = Supervisor(link, engine, introduce, spaces, backoff=backoff, drain_s=20)
    return Agent(engine, supervisor, asyncio.create_task(supervisor.run()))
