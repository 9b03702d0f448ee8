"""A space that becomes private: what others have open on it ends at once, and comes back to nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from spaces_chassis.bus import serve
from spaces_contracts.access import Permission
from spaces_contracts.client_socket import After
from spaces_contracts.identifiers import new_id
from spaces_contracts.request_changes import RequestsChanged
from spaces_contracts.spaces import CheckSpaces, SpaceAudience, SpaceAudiences
from tests.integration.gateway_sockets.conftest import Connect, Gateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.integration.gateway_sockets.samples import TENANT, principal
from tests.integration.gateway_sockets.socket_peer import Peer
from tests.integration.gateway_sockets.test_client_streams import signed_in
from tests.integration.gateway_sockets.test_list_watch import change
from tests.support.eventually import eventually

MEMBER = [
    Permission.REQUESTS_READ,
    Permission.REQUESTS_WRITE,
    Permission.SPACES_READ,
]
MAKER = new_id()


async def watching(what: str, gateway: Gateway, platform: PlatformDouble, connect: Connect) -> Peer:
    """A member's socket that watches something of the space `demo`."""
    platform.scopes = MEMBER
    client = await signed_in(connect, gateway)
    space_id = platform.space_ids["demo"]
    frames: dict[str, dict[str, Any]] = {
        "the space": {"space_id": space_id},
        "its list": {"space_id": space_id, "changes": True},
        "a request": {"request_id": platform.queued("demo").request_id},
    }
    await client.send("subscribe", **frames[what])
    await client.next()
    return client


@pytest.mark.parametrize("what", ["the space", "its list", "a request"])
async def test_who_watches_it_and_does_not_see_it_any_more_is_sent_away(
    gateway: Gateway, platform: PlatformDouble, connect: Connect, what: str
) -> None:
    client = await watching(what, gateway, platform, connect)
    await platform.tell_space_changed("demo", None)
    await client.quiet()
    await platform.tell_space_changed("demo", MAKER)
    await client.frame("goaway")
    assert await client.close_code() == 1012


async def test_who_still_sees_it_and_who_watches_something_else_stay(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    platform.space_ids["other"] = new_id()
    stays = []
    for scopes, ref in (([*MEMBER, Permission.SPACES_PRIVATE], "demo"), (MEMBER, "other")):
        platform.scopes = scopes
        client = await signed_in(connect, gateway)
        await client.send("subscribe", space_id=platform.space_ids[ref])
        await client.next()
        stays.append(client)
    await platform.tell_space_changed("demo", MAKER)
    await platform.bus.flush()
    for client in stays:
        await client.quiet()


async def test_an_event_stream_ends(gateway: Gateway, platform: PlatformDouble) -> None:
    request = platform.queued("demo")
    member = principal(scopes=MEMBER)
    stream = gateway.sockets.stream_request_events(request, After(), member)
    await anext(stream)
    await platform.tell_space_changed("demo", MAKER)
    assert [event async for event in stream] == []


async def test_answers_that_a_change_overtook_open_nothing(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    """They were true when they were read."""
    platform.scopes = MEMBER
    client = await signed_in(connect, gateway)
    await platform.tell_space_changed("demo", MAKER)
    space_id, request = platform.space_ids["demo"], platform.queued("demo")
    await eventually(lambda: bool(gateway.sockets.clients._hides))
    asked: list[tuple[dict[str, Any], str]] = [
        ({"space_id": space_id}, "space_not_found"),
        ({"space_id": space_id, "changes": True}, "space_not_found"),
        ({"request_id": request.request_id}, "request_not_found"),
    ]
    for frame, code in asked:
        await client.send("subscribe", **frame)
        assert (await client.frame("error"))["code"] == code
    stream = gateway.sockets.stream_request_events(request, After(), principal(scopes=MEMBER))
    assert [kind async for kind, _, _ in stream] in ([], ["status"])


async def test_a_list_shows_changes_of_spaces_that_its_client_sees(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    platform.scopes = MEMBER
    client = await signed_in(connect, gateway)
    await client.send("subscribe", changes=True)
    await client.next()
    shown, hidden = new_id(), new_id()
    for space_id, private_to in ((hidden, MAKER), (shown, None)):
        message = RequestsChanged(
            space_id=space_id, tenant_id=TENANT, private_to=private_to, changes=[change()]
        )
        await platform.bus.publish(message)
    frame = await client.next()
    assert [one["space_id"] for one in frame["changes"]] == [shown]


async def test_a_change_that_was_told_while_the_bus_was_away_is_asked_for(
    gateway: Gateway,
    platform: PlatformDouble,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = await watching("the space", gateway, platform, connect)

    async def answer(command: CheckSpaces) -> SpaceAudiences:
        return SpaceAudiences(
            spaces=[
                SpaceAudience(space_id=one, tenant_id=TENANT, private_to=MAKER)
                for one in command.space_ids
            ]
        )

    platform.bus.add_routes([serve(CheckSpaces, answer, queue="registry")])
    over: Callable[[], Any] = _nobody
    monkeypatch.setattr(gateway.sockets.recheck, "_over", over)
    gateway.sockets.recheck._is_due = True
    await gateway.sockets.recheck.step()
    await client.frame("goaway")


async def _nobody() -> list[str]:
    return []
