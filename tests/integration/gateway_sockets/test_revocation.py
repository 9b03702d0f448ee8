"""What ends when a credential does: sockets, streams, and what was just about to open."""

import asyncio

from spaces_contracts.client_socket import After
from tests.integration.gateway_sockets.conftest import Connect, Gateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.integration.gateway_sockets.samples import principal
from tests.integration.gateway_sockets.test_refusals import refused_with
from tests.support.eventually import eventually
from tests.support.keys import key_called


async def test_a_revoked_credential_ends_its_sockets(
    gateway: Gateway, connect: Connect, platform: PlatformDouble
) -> None:
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    principal_id = (await client.frame("ready"))["principal_id"]
    await platform.tell_access_changed(principal_id)
    frame = await refused_with(client, "token_revoked", 4401)
    assert frame["message"] == "This credential was changed or revoked."


async def test_a_credential_that_is_revoked_while_it_is_checked_opens_nothing(
    gateway: Gateway, connect: Connect, platform: PlatformDouble
) -> None:
    """Its answer was on its way before the change, and comes after it."""
    platform.authenticate_gate = asyncio.Event()
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    await eventually(lambda: platform.authenticating is not None)
    assert platform.authenticating is not None
    await platform.tell_access_changed(platform.authenticating.principal_id)
    await gateway.services.bus.flush()
    platform.authenticate_gate.set()
    await refused_with(client, "token_revoked", 4401)


async def test_a_login_that_ends_closes_its_sockets_and_streams_and_no_others(
    gateway: Gateway, connect: Connect, platform: PlatformDouble
) -> None:
    request = platform.queued("demo")
    mine, other = principal(), principal()
    mine_stream = gateway.sockets.stream_request_events(request, After(), mine)
    other_stream = gateway.sockets.stream_request_events(request, After(), other)
    await anext(mine_stream)
    await anext(other_stream)
    await platform.tell_access_changed(mine.principal_id)
    assert [event async for event in mine_stream] == []
    await platform.finish(request.request_id, last_n=0)
    assert [kind for kind, _, _ in [event async for event in other_stream]] == ["finished"]
