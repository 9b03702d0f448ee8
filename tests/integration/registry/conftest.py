"""A registry on real servers, and what talks to it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from nats.aio.client import Client
from pydantic import SecretStr

from spaces_chassis.bus import Bus, on
from spaces_chassis.errors import ProblemError
from spaces_chassis.lifecycle import Loop, Part
from spaces_chassis.settings import BusSettings
from spaces_chassis.testing import ManualClock, Signal
from spaces_contracts.access import Authenticate, CreateCredential, Principal, PrincipalKind
from spaces_contracts.connections import (
    AgentInfo,
    Attach,
    Attachment,
    AttachVerdict,
    Connection,
    InFlight,
    ListConnections,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import new_key, sha256_of, shown_prefix
from spaces_contracts.limits import Limits
from spaces_contracts.message import Command, Message
from spaces_contracts.problems import Problem
from spaces_contracts.spaces import CreateSpace, Space, SpacePolicy
from spaces_registry.app import Registry
from spaces_registry.settings import RegistrySettings
from tests.integration.registry.direct_worker import Direct, closed, connect
from tests.support.observed_nats import OBSERVER
from tests.support.servers import RunningNats, RunningPostgres

M = TypeVar("M", bound=Message)


@pytest.fixture
def settings(
    postgres_server: RunningPostgres,
    database: str,
    nats_server: RunningNats,
    tmp_path: Path,
) -> RegistrySettings:
    """What a registry of this test is started with."""
    return RegistrySettings(
        nats_url=nats_server.url,
        nats_user="registry",
        nats_password=SecretStr(nats_server.password("registry")),
        postgres_url=SecretStr(postgres_server.role_url("spaces_registry", database)),
        admin_key_file=tmp_path / "admin-key",
        sys_user="registry-sys",
        sys_password=SecretStr(nats_server.password("registry-sys")),
        callout_user="registry-callout",
        callout_password=SecretStr(nats_server.password("registry-callout")),
        issuer_seed=SecretStr(nats_server.issuer_seed()),
    )


@asynccontextmanager
async def running(parts: Sequence[Part]) -> AsyncIterator[None]:
    """The parts of a process, started as it starts them."""
    started: list[Part] = []
    try:
        for part in parts:
            started.append(part)
            await part.start()
        yield
    finally:
        for part in reversed(started):
            await part.stop()


@pytest.fixture
async def registry(settings: RegistrySettings) -> AsyncIterator[Registry]:
    """One registry, whose clock and loops only a test turns."""
    registry = Registry(settings, ManualClock(datetime.now(UTC)))
    async with running([part for part in registry.parts if not isinstance(part, Loop)]):
        yield registry


@pytest.fixture
async def tables(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The database behind the registry's back."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def bus(nats_server: RunningNats) -> AsyncIterator[Bus]:
    """The bus of whoever may do everything."""
    bus = Bus.from_settings(
        BusSettings(
            nats_url=nats_server.url,
            nats_user=OBSERVER,
            nats_password=SecretStr(nats_server.password(OBSERVER)),
        ),
        name="test",
    )
    async with running([bus]):
        yield bus


@dataclass(frozen=True)
class Agent:
    """A worker process: its token and who it is."""

    token: str
    instance_id: str = field(default_factory=new_id)
    secret: str = field(default_factory=new_id)
    gateway_id: str = field(default_factory=new_id)


@dataclass
class World:
    """Short ways to make what a test needs."""

    bus: Bus
    admin: Principal
    registry: Registry

    async def key(
        self,
        kind: PrincipalKind,
        *spaces: str,
        tenant_id: str | None = None,
        limits: Limits | None = None,
    ) -> str:
        secret = new_key(kind)
        await self.bus.request(
            CreateCredential(
                actor=self.admin,
                kind=kind,
                name="test",
                secret_sha256=sha256_of(secret),
                prefix=shown_prefix(secret),
                tenant_id=tenant_id,
                spaces=list(spaces),
                limits=limits,
            )
        )
        return secret

    async def token(self, *spaces: str) -> str:
        return await self.key(PrincipalKind.WORKER_TOKEN, *spaces)

    async def who(self, secret: str) -> Principal:
        reply = await self.bus.request(Authenticate(secret_sha256=sha256_of(secret)))
        return reply.principal

    async def space(self, name: str = "chat", tenant_id: str | None = None, **policy: Any) -> Space:
        reply = await self.bus.request(
            CreateSpace(
                actor=self.admin, name=name, tenant_id=tenant_id, policy=SpacePolicy(**policy)
            )
        )
        return reply.space

    async def attach_all(
        self, agent: Agent, *refs: str, takeover: bool = False, in_flight: Sequence[InFlight] = ()
    ) -> list[AttachVerdict]:
        reply = await self.bus.request(
            Attach(
                gateway_id=agent.gateway_id,
                token_sha256=sha256_of(agent.token),
                attachments=[Attachment(ref=ref, connection_id=new_id()) for ref in refs],
                instance_id=agent.instance_id,
                instance_secret_sha256=sha256_of(agent.secret),
                agent=AgentInfo(version="1"),
                in_flight=list(in_flight),
                takeover=takeover,
            ),
            timeout_s=10,
        )
        return reply.verdicts

    async def attach(self, agent: Agent, ref: str, *, takeover: bool = False) -> AttachVerdict:
        (verdict,) = await self.attach_all(agent, ref, takeover=takeover)
        return verdict

    async def connections(self, space_id: str | None = None) -> list[Connection]:
        reply = await self.bus.request(ListConnections(actor=self.admin, space_id=space_id))
        return reply.connections

    async def seconds(self, count: int) -> int:
        """That many steps of the death loop, a second apart; how many connections died."""
        clock = self.registry.clock
        assert isinstance(clock, ManualClock)
        died = 0
        for _ in range(count):
            clock.forward(1)
            died += await self.registry.deaths.step()
        return died

    async def refused(self, command: Command[Any]) -> Problem:
        """The problem that a command is answered with."""
        return await self.refused_within(command, 2.0)

    async def refused_within(self, command: Command[Any], timeout_s: float) -> Problem:
        """The same, for what takes its time: a password is hashed."""
        with pytest.raises(ProblemError) as error:
            await self.bus.request(command, timeout_s=timeout_s)
        return error.value.problem

    @asynccontextmanager
    async def hearing(
        self, message_type: type[M], subject: str | None = None
    ) -> AsyncIterator[Signal[M]]:
        """What is published of one kind, as it comes."""
        heard: Signal[M] = Signal()
        route = on(message_type, lambda message, _delivery: heard.send(message))
        subscription = await self.bus.subscribe(route, subject)
        yield heard
        await subscription.stop()


@pytest.fixture
async def world(registry: Registry, bus: Bus, settings: RegistrySettings) -> World:
    """A registry with nothing in it but its first admin."""
    assert settings.admin_key_file is not None
    key = settings.admin_key_file.read_text().strip()
    reply = await bus.request(Authenticate(secret_sha256=sha256_of(key)))
    return World(bus, reply.principal, registry)


@pytest.fixture
async def direct(world: World, nats_server: RunningNats) -> AsyncIterator[Direct]:
    space = await world.space("chat")
    token = await world.token("chat")
    connection_id = new_id()
    client = Client()
    await connect(client, nats_server, f"{connection_id}:chat", token)
    yield Direct(client, space, token, connection_id)
    await closed(client)
