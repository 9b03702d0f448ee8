"""Limits as a client socket meets them."""

import json

import pytest

from spaces_gateway.sockets.limits import SocketLimits
from tests.integration.gateway_sockets.conftest import Connect, Gateway, MakeGateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.integration.gateway_sockets.test_refusals import refused_with
from tests.support.keys import key_called


async def test_a_submit_over_the_limit_is_answered_and_the_socket_stays_open(
    gateway: Gateway, connect: Connect, platform: PlatformDouble
) -> None:
    platform.requests_per_minute = 0
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    await client.frame("ready")
    for ref in ("1", "2"):
        await client.send("submit", ref=ref, space="demo", prompt="p")
        frame = await client.frame("error")
        assert (frame["code"], frame["ref"], frame["retry"]) == ("rate_limited", ref, True)
        assert 0 < frame["retry_after_s"] <= 60
        assert frame["facts"]["limit"] == 0
    assert platform.given == {}
    await client.send("ping", id=1)
    await client.frame("pong")


async def test_strangers_of_one_address_have_a_part_of_the_room(
    make_gateway: MakeGateway, connect: Connect, platform: PlatformDouble
) -> None:
    gateway = await make_gateway(SocketLimits(unauthenticated=10, unauthenticated_per_address=2))
    first = await connect(gateway, "/ws")
    await connect(gateway, "/ws")
    await refused_with(await connect(gateway, "/ws"), "too_many_connections", 1013)
    await first.send("auth", token=key_called("user"))
    await first.frame("ready")
    await connect(gateway, "/ws")
    await refused_with(await connect(gateway, "/ws/worker"), "too_many_connections", 1013)


@pytest.mark.parametrize("path", ["/ws", "/ws/worker"])
async def test_a_stranger_sends_short_frames(
    gateway: Gateway, connect: Connect, platform: PlatformDouble, path: str
) -> None:
    peer = await connect(gateway, path)
    await peer.send_text(json.dumps({"type": "ping", "id": 1, "pad": "x" * 300_000}))
    assert await peer.close_code() == 1009


async def test_a_known_client_sends_frames_of_a_mebibyte(
    gateway: Gateway, connect: Connect, platform: PlatformDouble
) -> None:
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    await client.frame("ready")
    await client.send_text(json.dumps({"type": "ping", "id": 1, "pad": "x" * 1_000_000}))
    await client.frame("pong")
