"""What a person at a worker host sees: the real command's words on stderr and its exit code, over both links."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from spaces_contracts.frames import PROTOCOL
from spaces_worker_agent.exits import Exit
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.platform import Platform

COMMAND = Path(sys.executable).with_name("spaces-worker")
HANDLERS = Path(__file__).parents[1] / "support/handlers/echo.py"
ENDS_WITHIN_S = 30


class Agents:
    """Starts the real command with the flags of one link."""

    def __init__(self, platform: Platform, folder: Path, link: str) -> None:
        self.platform = platform
        self.folder = folder
        self.link = link
        self._started = 0

    async def start(
        self, spaces: str, token: str, *more: str, gateway_url: str | None = None
    ) -> Process:
        """The agent, running."""
        self._started += 1
        token_file = self.folder / f"token-{self._started}"
        token_file.touch(0o600)
        token_file.write_text(token)
        flags = ["--space", spaces, "--token-file", str(token_file)]
        flags += ["--gateway", gateway_url or self.platform.gateway_url]
        flags += ["--spool-dir", str(self.folder / f"spool-{self._started}")]
        if self.link == "nats":
            nats_url = self.platform.processes.describe().nats_url
            flags += ["--link", "nats", "--nats-url", str(nats_url)]
        return await asyncio.create_subprocess_exec(
            COMMAND, "run", HANDLERS, *flags, *more, stdout=PIPE, stderr=PIPE
        )

    async def says(self, spaces: str, token: str, **more: Any) -> tuple[int | None, str]:
        """Exit code, and the last line on stderr: the one that a person reads."""
        return await farewell(await self.start(spaces, token, **more))


async def farewell(agent: Process) -> tuple[int | None, str]:
    """How an agent ended by itself."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        _, err = await agent.communicate()
    assert b"Traceback" not in err, err.decode()
    return agent.returncode, err.decode().strip().splitlines()[-1]


@pytest.fixture(params=["ws", "nats"])
def agents(request: pytest.FixtureRequest, platform: Platform, tmp_path: Path) -> Agents:
    """Agents over one link."""
    return Agents(platform, tmp_path, request.param)


@pytest.fixture
def space(request: pytest.FixtureRequest, platform: Platform) -> str:
    """A space of this test's own; its name."""
    name = request.node.name.removeprefix("test_").replace("[", " ").rstrip("]").replace("_", " ")
    platform.create_space(name, policy={"when_offline": "queue"})
    return str(name)


def token(platform: Platform, *spaces: str) -> str:
    """A new token for these spaces."""
    return platform.worker_token(spaces).read_text().strip()


async def connected(platform: Platform, space: str) -> None:
    """Returns when a worker serves the space."""
    await eventually(lambda: platform.space(space)["connected"], timeout_s=ENDS_WITHIN_S)


async def ended_by_hand(agent: Process) -> None:
    """SIGTERM: nothing is left undone."""
    with contextlib.suppress(ProcessLookupError):
        agent.send_signal(signal.SIGTERM)
    async with asyncio.timeout(ENDS_WITHIN_S):
        _, err = await agent.communicate()
    assert agent.returncode == Exit.OK, err.decode()


async def test_names_that_do_not_fit(
    platform: Platform, admin: Api, agents: Agents, space: str
) -> None:
    """Unknown, ambiguous, out of scope, disabled: four agents at the same time."""
    twin, other, off = (f"{word} {agents.link}" for word in ("twin", "other", "off"))
    tenant = await admin.make("/api/tenants", name=other)
    both = [
        platform.create_space(twin, **fields)["space_id"]
        for fields in ({}, {"tenant_id": tenant["tenant_id"]})
    ]
    platform.create_space(off, enabled=False)
    unknown, several, foreign, disabled = await asyncio.gather(
        agents.says("nowhere", token(platform, space)),
        agents.says(twin, token(platform, *both)),
        agents.says(off, token(platform, space)),
        agents.says(off, token(platform, off)),
    )
    assert unknown[0] == Exit.SPACE_NOT_FOUND
    assert "No space 'nowhere' found. List spaces" in unknown[1]
    assert unknown[1].endswith("(space_not_found)")
    assert several[0] == Exit.MULTIPLE_SPACES
    assert f"Multiple spaces with name {twin!r} found: default/{twin}, {other}/{twin}" in several[1]
    assert "Say `tenant/name`, or the space's id. (multiple_spaces)" in several[1]
    assert foreign[0] == Exit.TOKEN_SCOPE
    assert f"The token does not cover space 'default/{off}'. Use a token" in foreign[1]
    assert foreign[1].endswith("(token_scope)")
    assert disabled[0] == Exit.SPACE_DISABLED
    assert f"Space {off!r} is disabled. Enable the space first. (space_disabled)" in disabled[1]


async def test_tokens_that_do_not_fit(
    platform: Platform, admin: Api, agents: Agents, space: str
) -> None:
    made = await admin.make("/api/worker-tokens", name="former", spaces=[space])
    key_id = made["credential"]["principal"]["principal_id"]
    assert (await admin.http.delete(f"/api/worker-tokens/{key_id}")).status_code == 200
    wrong, revoked = await asyncio.gather(
        agents.says(space, "spw_of-nobody-at-all-0000000000000"),
        agents.says(space, made["secret"]),
    )
    assert wrong[0] == Exit.TOKEN_INVALID
    assert "The worker token is not known. Make a new worker token" in wrong[1]
    assert wrong[1].endswith("(token_invalid)")
    assert revoked[0] == Exit.TOKEN_REVOKED
    assert "revoked. Ask for a new credential. (token_revoked)" in revoked[1]


async def test_a_second_worker_leaves_and_a_takeover_ends_the_first(
    platform: Platform, admin: Api, agents: Agents, space: str
) -> None:
    secret = token(platform, space)
    first = await agents.start(space, secret)
    await connected(platform, space)
    code, said = await agents.says(space, secret)
    assert code == Exit.ALREADY_CONNECTED
    assert "The space already has a worker connected. Stop the other worker" in said
    assert said.endswith("or start with --takeover. (already_connected)")
    request = await admin.ended((await admin.submit(space))["request_id"])
    assert request["state"] == "succeeded", "the first worker was not disturbed"

    second = await agents.start(space, secret, "--takeover")
    code, said = await farewell(first)
    assert code == Exit.SUPERSEDED
    assert "Another worker took this connection's place" in said
    assert said.endswith("(superseded)")
    await connected(platform, space)
    await ended_by_hand(second)


async def test_what_an_operator_ends_stays_ended(
    platform: Platform, admin: Api, agents: Agents, space: str
) -> None:
    """A revoked token and a kick end a running agent, each with its own code."""
    made = await admin.make("/api/worker-tokens", name="running", spaces=[space])
    agent = await agents.start(space, made["secret"])
    await connected(platform, space)
    key_id = made["credential"]["principal"]["principal_id"]
    assert (await admin.http.delete(f"/api/worker-tokens/{key_id}")).status_code == 200
    code, said = await farewell(agent)
    assert code == Exit.TOKEN_REVOKED
    assert said.endswith("(token_revoked)")

    agent = await agents.start(space, token(platform, space))
    await connected(platform, space)
    listed = (await admin.http.get(f"/api/spaces/{space}/connections")).json()["connections"]
    (connection_id,) = {one["connection_id"] for one in listed}
    kicked = await admin.http.post(f"/api/connections/{connection_id}/kick")
    assert kicked.status_code == 204, kicked.text
    code, said = await farewell(agent)
    assert code == Exit.KICKED
    assert "An operator ended this connection" in said
    assert said.endswith("(kicked)")


@pytest.mark.parametrize("version", ["spaces.v0.json", "spaces.v9.json"])
async def test_an_agent_older_or_newer_than_the_gateway(
    platform: Platform, tmp_path: Path, space: str, version: str
) -> None:
    """The relay makes the agent offer another version: the gateway and the agent are the real ones."""
    agents = Agents(platform, tmp_path, "ws")
    async with offering(platform.gateway_url, version) as address:
        code, said = await agents.says(space, token(platform, space), gateway_url=address)
    assert code == Exit.UNSUPPORTED_PROTOCOL
    assert "The gateway does not speak spaces.v1.json. Install the version of the agent" in said
    assert said.endswith("(unsupported_protocol)")


@asynccontextmanager
async def offering(gateway_url: str, version: str) -> AsyncIterator[str]:
    """A relay to the gateway that changes the version in what passes upwards."""
    host, port = gateway_url.removeprefix("http://").split(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: bytes) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                writer.write(part.replace(PROTOCOL.encode(), told))
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(
            pump(reader, up_writer, version.encode()),
            pump(up_reader, writer, PROTOCOL.encode()),
        )

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
