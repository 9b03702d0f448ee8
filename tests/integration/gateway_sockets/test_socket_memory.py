"""What a socket held is free when it closes: full garbage collections are too rare to wait for."""

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from spaces_chassis.bus.nats_transport import NatsHandle
from spaces_gateway.http.one_write import OneWriteProtocol
from spaces_gateway.sockets.client_session import ClientSession
from spaces_gateway.sockets.client_socket import ClientSocket
from spaces_gateway.sockets.fanout import Channel
from spaces_gateway.sockets.outbox import Outbox
from spaces_gateway.sockets.request_stream import RequestStream
from spaces_gateway.sockets.wire import ConformantProtocol, SpacesWebSocketProtocol
from spaces_gateway.sockets.worker_session import WorkerSession
from spaces_gateway.sockets.worker_socket import WorkerSocket
from tests.integration.gateway_sockets.conftest import Connect, Gateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.integration.gateway_sockets.socket_peer import Peer
from tests.support.eventually import eventually
from tests.support.keys import key_called

OF_A_SOCKET = (
    OneWriteProtocol, SpacesWebSocketProtocol, ConformantProtocol, Outbox,
    ClientSocket, ClientSession, RequestStream, WorkerSocket, WorkerSession,
)  # fmt: skip

ONE_CLIENT = dict.fromkeys(
    ("SpacesWebSocketProtocol", "ConformantProtocol", "Outbox", "ClientSocket", "ClientSession"), 1
)


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left() -> dict[str, int]:
    """Objects of sockets that are still there, by type."""
    return dict(
        Counter(type(each).__name__ for each in gc.get_objects() if type(each) in OF_A_SOCKET)
    )


def subscriptions() -> int:
    """Channels and the bus's subscriptions that are still there, ended or not."""
    return sum(type(each) in {Channel, NatsHandle} for each in gc.get_objects())


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("abruptly", [False, True])
async def test_a_closed_client_socket_leaves_nothing_behind(
    gateway: Gateway, platform: PlatformDouble, connect: Connect, *, abruptly: bool
) -> None:
    client = await watching(gateway, platform, connect)
    await client.send("submit", ref="r", space="demo", prompt="hi")
    await client.frame("submitted")
    assert left() == {**ONE_CLIENT, "RequestStream": 1}
    await end(client, abruptly=abruptly)
    await eventually(lambda: left() == {})


@pytest.mark.usefixtures("no_collections")
async def test_a_finished_request_leaves_nothing_behind(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await watching(gateway, platform, connect)
    await client.send("submit", ref="r", space="demo", prompt="hi")
    request_id = (await client.frame("submitted"))["request_id"]
    await platform.tell_chunk(request_id, 1, ["a"])
    await platform.finish(request_id, last_n=1, output_json="1")
    await client.frame("finished")
    await eventually(lambda: left() == ONE_CLIENT)


@pytest.mark.usefixtures("no_collections")
async def test_a_finished_request_leaves_no_subscription_behind(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await watching(gateway, platform, connect)
    before = subscriptions()
    for _ in range(3):
        await client.send("submit", ref="r", space="demo", prompt="hi")
        request_id = (await client.frame("submitted"))["request_id"]
        assert subscriptions() > before
        await platform.finish(request_id, output_json="1")
        await client.frame("finished")
        await eventually(lambda: subscriptions() == before)


@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("abruptly", [False, True])
async def test_a_closed_worker_socket_leaves_nothing_behind(
    gateway: Gateway, connect: Connect, *, abruptly: bool
) -> None:
    worker = await connect(gateway, "/ws/worker")
    await worker.registered("demo")
    assert left().keys() >= {"WorkerSocket", "WorkerSession"}
    await end(worker, abruptly=abruptly)
    await eventually(lambda: left() == {})


async def watching(gateway: Gateway, platform: PlatformDouble, connect: Connect) -> Peer:
    """A client that watches a space."""
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    await client.frame("ready")
    await client.send("subscribe", space_id=platform.space_ids["demo"])
    await client.frame("space")
    assert left() == ONE_CLIENT
    return client


async def end(peer: Peer, *, abruptly: bool) -> None:
    if abruptly:
        peer.connection.transport.abort()
    else:
        await peer.connection.close()
