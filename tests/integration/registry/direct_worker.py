"""A direct worker, as the broker sees one."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from spaces_contracts.connections import (
    AgentInfo,
    Attached,
    EdgeAttach,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import sha256_of
from spaces_contracts.spaces import Space
from tests.support.servers import RunningNats


async def quiet(_error: Exception) -> None:
    """Refusals come here; the tests look at what did not happen."""


async def settled(client: Client) -> None:
    # The client's flush() overtakes a buffered SUB unless the loop has turned once.
    await asyncio.sleep(0)
    await client.flush()


async def connect(client: Client, server: RunningNats, user: str, password: str) -> None:
    await client.connect(
        server.url,
        user=user,
        password=password,
        name="spaces-worker",
        inbox_prefix=f"_INBOX.{user.split(':')[0]}".encode(),
        error_cb=quiet,
        allow_reconnect=False,
    )


async def closed(client: Client) -> None:
    # The client's own close() leaves the socket of a refused connection to the garbage collector.
    transport: Any = client._transport
    await client.close()
    if transport is not None:
        transport.close()
        with suppress(OSError):
            await transport.wait_closed()


async def let_in(server: RunningNats, user: str, password: str) -> bool:
    client = Client()
    try:
        await connect(client, server, user, password)
        return client.is_connected
    except (NatsError, OSError):
        return False
    finally:
        await closed(client)


@dataclass(frozen=True)
class Direct:
    """A direct worker's session with the broker."""

    client: Client
    space: Space
    token: str
    connection_id: str

    async def attach(self, connection_id: str | None = None) -> Attached:
        command = EdgeAttach(
            connection_id=connection_id or self.connection_id,
            token_sha256=sha256_of(self.token),
            ref="chat",
            instance_id=new_id(),
            instance_secret_sha256=sha256_of("secret"),
            agent=AgentInfo(version="1"),
        )
        answer = await self.client.request(command.address(), command.encode(), timeout=5)
        return Attached.model_validate_json(answer.data)
