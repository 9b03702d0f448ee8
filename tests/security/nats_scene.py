"""Who is there when direct workers are attacked: the attacker, a victim of another tenant, and an observer of CORE."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import SecretStr

from spaces_chassis.bus import Bus
from spaces_chassis.errors import ProblemError
from spaces_chassis.settings import BusSettings
from spaces_contracts.access import Authenticate
from spaces_contracts.connections import AgentInfo, Attached, EdgeAttach
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import sha256_of
from spaces_contracts.requests import GetQueues, JobAnswer
from spaces_stack.ports import LOOPBACK
from spaces_stack.state_dir import StateDir
from tests.security.campaign import Campaign
from tests.security.hostile_subjects import Ids, Names
from tests.support.eventually import eventually
from tests.support.observed_nats import OBSERVER
from tests.support.platform import Platform


@dataclass
class Tap:
    """Everything that one client was given."""

    heard: list[Msg] = field(default_factory=list)

    async def hear(self, message: Msg) -> None:
        self.heard.append(message)


class Worker:
    """A worker's connection to the broker, without any manners."""

    def __init__(self, platform: Platform, tenant: str | None, name: str) -> None:
        fields = {"tenant_id": tenant} if tenant else {}
        self.url = f"nats://{LOOPBACK}:{platform.processes.ports[1]}"
        self.space = str(platform.create_space(name, **fields)["space_id"])
        self.token = platform.worker_token([self.space]).read_text().strip()
        self.connection = new_id()
        self.client = Client()
        self.refused: list[str] = []
        self.tap = Tap()

    async def connect(self, user: str | None = None, password: str | None = None) -> bool:
        """Whether the broker lets it in."""
        self.client, self.refused = Client(), []
        try:
            await self.client.connect(
                self.url,
                user=user if user is not None else f"{self.connection}:{self.space}",
                password=password if password is not None else self.token,
                name="spaces-worker",
                inbox_prefix=f"_INBOX.{self.connection}".encode(),
                error_cb=self._note,
                allow_reconnect=False,
                connect_timeout=5,
                skip_subject_validation=True,
            )
        except (NatsError, OSError):
            await closed(self.client)
            return False
        return self.client.is_connected

    async def attach(self) -> None:
        """Takes the seat of its space."""
        command = EdgeAttach(
            connection_id=self.connection,
            token_sha256=sha256_of(self.token),
            ref=self.space,
            instance_id=new_id(),
            instance_secret_sha256=sha256_of("secret"),
            agent=AgentInfo(version="1"),
        )
        answer = await self.client.request(command.address(), command.encode(), timeout=5)
        (verdict,) = Attached.model_validate_json(answer.data).verdicts
        assert verdict.problem is None, verdict.problem

    async def listen(self) -> None:
        """To all that is for it."""
        for pattern in (f"{self.down}.>", f"_INBOX.{self.connection}.>"):
            await self.client.subscribe(pattern, cb=self.tap.hear)
        await settled(self.client)

    @property
    def down(self) -> str:
        return f"wk.{self.space}.{self.connection}.d"

    @property
    def up(self) -> str:
        return f"wk.{self.space}.{self.connection}.u"

    async def _note(self, error: Exception) -> None:
        self.refused.append(str(error))


@dataclass
class Scene:
    """Who is there, and what has been found."""

    campaign: Campaign
    attacker: Worker
    victim: Worker
    core: Client
    core_tap: Tap
    names: Names
    http: httpx2.AsyncClient
    bus: Bus
    victim_chunk: bytes = b'{"kind": "chunk", "n": 1}'

    async def settle(self) -> None:
        """What was sent has been given to whoever gets it, answers of services included."""
        for client in (self.attacker.client, self.core, self.attacker.client, self.victim.client):
            if client.is_connected:
                await settled(client)

    async def beat(self) -> None:
        """Keeps both connections alive."""
        for worker in (self.attacker, self.victim):
            await worker.client.publish(f"{worker.up}.hb", b"{}")
        await self.settle()

    def reached(self, mark: str, *targets: str) -> list[str]:
        """Where outside the attacker's own subjects something of an attempt came out."""
        # `_R_` is where the broker itself has answers to other accounts sent.
        attacker = self.attacker
        edge = f"edge.{attacker.connection}.attach"
        own = (f"{attacker.up}.", f"evt.{attacker.space}.", edge, "_R_.")
        found = [f"victim heard {message.subject}" for message in self.victim.tap.heard]
        for message in self.core_tap.heard:
            if message.reply.startswith(f"_INBOX.{OBSERVER}."):
                continue  # the observer's own questions
            marked = mark.encode() in message.data or message.subject in targets
            if marked and not message.subject.startswith(own):
                found.append(f"CORE heard {message.subject}")
        self.victim.tap.heard.clear()
        self.core_tap.heard.clear()
        return found

    async def services_have_read(self) -> None:
        """Asks registry and scheduler something, and waits for their answers: what came before has been read."""
        await self.bus.request(GetQueues(space_ids=[self.victim.space]), timeout_s=5)
        with suppress(ProblemError):
            await self.bus.request(Authenticate(secret_sha256="0" * 64), timeout_s=5)

    async def intact(self) -> bool:
        """Whether the victim's request still runs, and has no events but its own."""
        request = (await self.http.get(f"/api/requests/{self.names.victim.request}")).json()
        events = await self.bus.replay(f"evt.{self.victim.space}.>")
        strange = [body for _, body in events if body not in (b"{}", self.victim_chunk)]
        kept = [body for _, body in events if body == self.victim_chunk]
        return bool(
            request["state"] == "running"
            and request["attempt"] == 1
            and not strange
            and len(kept) == 1
        )

    def note(self, attempt: str, found: Sequence[str]) -> None:
        self.campaign.attempts += 1
        self.campaign.wrongly_allowed += [f"{attempt}: {one}" for one in found]


@asynccontextmanager
async def scene_of(platform: Platform, campaign: Campaign) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx2.AsyncClient(
                base_url=platform.gateway_url,
                headers={"Authorization": f"Bearer {platform.admin_key}"},
                trust_env=False,
            )
        )
        other = (await http.post("/api/tenants", json={"name": "victim"})).json()["tenant_id"]
        attacker = Worker(platform, None, "hostile")
        victim = Worker(platform, other, "victim")
        for worker in (victim, attacker):
            assert await worker.connect(), "a worker with its own token is let in"
            await worker.attach()
        await victim.listen()
        core, core_tap = Client(), Tap()
        password = StateDir(platform.folder).secrets.get(f"nats-{OBSERVER}")
        await core.connect(victim.url, user=OBSERVER, password=password)
        settings = BusSettings(
            nats_url=victim.url, nats_user=OBSERVER, nats_password=SecretStr(password)
        )
        bus = Bus.from_settings(settings, name="observer")
        await bus.start()
        stack.push_async_callback(bus.stop)
        await core.subscribe(">", cb=core_tap.hear)
        await settled(core)
        for client in (core, victim.client):
            stack.push_async_callback(client.close)
        stack.push_async_callback(lambda: closed(attacker.client))
        submitted = await http.post(f"/api/spaces/{victim.space}/requests", json={"prompt": "hi"})
        request_id = submitted.raise_for_status().json()["request_id"]
        await eventually(lambda: victim.tap.heard)
        taken = JobAnswer(
            space_id=victim.space,
            connection_id=victim.connection,
            request_id=request_id,
            attempt=1,
        )
        await victim.client.publish(taken.address(), taken.encode())
        # A gateway beats each 3 s, and its beat names it.
        await eventually(lambda: _beats(core_tap), timeout_s=10)
        gateway = _beats(core_tap)[0].split(".")[2]
        names = Names(
            own=Ids(attacker.space, attacker.connection, new_id()),
            victim=Ids(victim.space, victim.connection, request_id),
            gateway=gateway,
        )
        scene = Scene(campaign, attacker, victim, core, core_tap, names, http, bus)
        scene.reached("")
        yield scene


def _beats(tap: Tap) -> list[str]:
    return [message.subject for message in tap.heard if message.subject.startswith("hb.gw.")]


async def settled(client: Client) -> None:
    """Returns when the server has what was sent, and what it sent before has arrived."""
    # The client's flush() overtakes a buffered SUB unless the loop has turned once.
    await asyncio.sleep(0)
    await client.flush()
    await asyncio.sleep(0)


async def closed(client: Client) -> None:
    """The client's own close() leaves the socket of a refused connection to the garbage collector."""
    transport: Any = client._transport
    await client.close()
    if transport is not None:
        transport.close()
        with suppress(OSError):
            await transport.wait_closed()
