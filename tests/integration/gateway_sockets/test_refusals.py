"""Everything a socket can be refused with: the code, the message and the close code."""

import asyncio
from typing import Any

import pytest

from spaces_contracts.access import PrincipalKind
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from spaces_gateway.sockets.client_hub import ClientHub
from spaces_gateway.sockets.client_session import ClientSession
from spaces_gateway.sockets.limits import SocketLimits
from tests.integration.gateway_sockets.conftest import Connect, Gateway, MakeGateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.integration.gateway_sockets.socket_peer import Peer
from tests.support.eventually import eventually
from tests.support.keys import key_called

PATHS = ("/ws", "/ws/worker")


async def refused_with(peer: Peer, code: str, close: int) -> dict[str, Any]:
    frame = await peer.frame("error")
    assert frame["code"] == code, frame
    assert await peer.close_code() == close
    assert peer.connection.close_reason == code
    return frame


# Opening


@pytest.mark.parametrize("path", PATHS)
async def test_another_protocol_version_is_told_which_one_is_spoken(
    gateway: Gateway, connect: Connect, path: str
) -> None:
    peer = await connect(gateway, path, protocols=("spaces.v2.json", "chat"))
    frame = await refused_with(peer, "unsupported_protocol", 4406)
    assert frame["message"] == (
        "This gateway speaks spaces.v1.json; offered: spaces.v2.json, chat."
    )
    assert frame["facts"] == {
        "supported": ["spaces.v1.json"],
        "offered": ["spaces.v2.json", "chat"],
    }


async def test_a_newer_peer_that_also_speaks_this_version_is_let_in(
    gateway: Gateway, connect: Connect, platform: PlatformDouble
) -> None:
    worker = await connect(gateway, "/ws/worker", protocols=("spaces.v2.json", "spaces.v1.json"))
    assert worker.connection.subprotocol == "spaces.v1.json"
    await worker.registered()


async def test_a_worker_names_its_protocol_and_a_client_need_not(
    gateway: Gateway, connect: Connect, platform: PlatformDouble
) -> None:
    frame = await refused_with(
        await connect(gateway, "/ws/worker", protocols=()), "unsupported_protocol", 4406
    )
    assert frame["message"] == "This gateway speaks spaces.v1.json; offered: none."
    client = await connect(gateway, "/ws", protocols=())
    await client.send("auth", token=key_called("user"))
    assert (await client.next())["protocol"] == "spaces.v1.json"


@pytest.mark.parametrize("path", PATHS)
async def test_no_first_frame_in_time(
    make_gateway: MakeGateway, connect: Connect, path: str
) -> None:
    gateway = await make_gateway(SocketLimits(first_frame_s=0.05))
    first = "register" if path == "/ws/worker" else "auth"
    frame = await refused_with(await connect(gateway, path), "first_frame_timeout", 4408)
    assert (frame["message"], frame["retry"]) == (f"No `{first}` came in time.", True)


async def test_pages_from_elsewhere_may_not_open_the_client_socket(
    make_gateway: MakeGateway, connect: Connect, platform: PlatformDouble
) -> None:
    gateway = await make_gateway(SocketLimits(allowed_origins=("https://good.example",)))
    for origin, allowed in (
        ("https://good.example", True),
        (gateway.server.url, True),
        ("https://evil.example", False),
        ("null", False),
    ):
        client = await connect(gateway, "/ws", origin=origin)
        if allowed:
            await client.send("auth", token=key_called("user"))
            assert (await client.next())["type"] == "ready"
        else:
            frame = await refused_with(client, "origin_not_allowed", 4403)
            assert frame["message"] == f"Pages of {origin} may not open this socket."


async def test_no_room_for_more_sockets_or_for_more_strangers(
    make_gateway: MakeGateway, connect: Connect, platform: PlatformDouble
) -> None:
    gateway = await make_gateway(SocketLimits(sockets=3, unauthenticated=1))
    first = await connect(gateway, "/ws")
    await refused_with(await connect(gateway, "/ws/worker"), "too_many_connections", 1013)
    await first.send("auth", token=key_called("user"))
    await first.frame("ready")
    worker = await connect(gateway, "/ws/worker")
    await worker.registered()
    await connect(gateway, "/ws")
    await refused_with(await connect(gateway, "/ws"), "too_many_connections", 1013)


# Frames


@pytest.mark.parametrize("path", PATHS)
async def test_frames_that_are_not_understood_are_answered_and_the_socket_stays_open(
    gateway: Gateway, connect: Connect, path: str
) -> None:
    peer = await connect(gateway, path)
    for text, code, message in (
        ("{", "malformed_frame", "The frame is not JSON."),
        ("[]", "malformed_frame", "A frame is a JSON object with a `type`."),
        ('{"type": "dance"}', "unknown_frame_type", "Type 'dance' is not one of: "),
        ('{"type": "ping", "id": "x"}', "malformed_frame", "ping: id: "),
    ):
        await peer.send_text(text)
        frame = await peer.frame("error")
        assert frame["code"] == code
        assert frame["message"].startswith(message)
    await peer.connection.send(b"\x00\x01")
    frame = await peer.frame("error")
    assert (frame["code"], frame["message"]) == (
        "malformed_frame",
        "Frames are text; this one was binary.",
    )
    await peer.quiet()


@pytest.mark.parametrize("path", PATHS)
async def test_a_peer_that_only_sends_nonsense_is_let_go(
    gateway: Gateway, connect: Connect, path: str
) -> None:
    peer = await connect(gateway, path)
    for _ in range(16):
        await peer.send_text("nonsense")
    assert await peer.close_code() == 4400
    assert len([f for f in peer.seen if f["code"] == "malformed_frame"]) == 16


@pytest.mark.parametrize("path", PATHS)
async def test_a_frame_beyond_one_mebibyte_closes_with_1009(
    gateway: Gateway, connect: Connect, path: str
) -> None:
    peer = await connect(gateway, path)
    await peer.send_text('{"type": "ping", "pad": "' + "x" * 1_048_576 + '"}')
    assert await peer.close_code() == 1009


async def test_text_that_is_not_utf_8_closes_with_1007(gateway: Gateway, connect: Connect) -> None:
    peer = await connect(gateway, "/ws")
    await peer.connection.send(b"\xff\xfe", text=True)
    assert await peer.close_code() == 1007


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_done_before_the_first_frame(
    gateway: Gateway, connect: Connect, path: str
) -> None:
    peer = await connect(gateway, path)
    if path == "/ws":
        await peer.send("submit", ref="1", space="demo", prompt="x")
    else:
        await peer.send("accepted", request_id=new_id(), attempt=1)
    frame = await peer.frame("error")
    assert frame["code"] == "unauthenticated"
    await peer.quiet()


# Registering


@pytest.mark.parametrize(
    ("code", "close", "retry"),
    [
        (Code.SPACE_NOT_FOUND, 4404, False),
        (Code.MULTIPLE_SPACES, 4409, False),
        (Code.SPACE_DISABLED, 4409, False),
        (Code.TOKEN_SCOPE, 4403, False),
        (Code.ALREADY_CONNECTED, 4409, False),
    ],
)
async def test_a_refused_space_is_named_with_its_code(
    gateway: Gateway,
    connect: Connect,
    platform: PlatformDouble,
    code: Code,
    close: int,
    retry: bool,
) -> None:
    platform.problems["demo"] = Problem(code=code, message=f"About {code}.")
    platform.holders["demo"] = "live"
    worker = await connect(gateway, "/ws/worker")
    await worker.register()
    frame = await worker.frame("register_error")
    assert (frame["space"], frame["code"], frame["message"]) == ("demo", code, f"About {code}.")
    assert frame["retry"] is retry
    assert await worker.close_code() == close


@pytest.mark.parametrize(
    ("code", "close", "retry"),
    [
        (Code.TOKEN_INVALID, 4401, False),
        (Code.TOKEN_REVOKED, 4401, False),
        (Code.UNAVAILABLE, 1013, True),
    ],
)
async def test_a_refused_registration_is_told_once(
    gateway: Gateway,
    connect: Connect,
    platform: PlatformDouble,
    code: Code,
    close: int,
    retry: bool,
) -> None:
    platform.problems["*"] = Problem(code=code, message="Why.")
    worker = await connect(gateway, "/ws/worker")
    await worker.register("a", "b")
    frame = await worker.next()
    assert frame == {
        "type": "register_error",
        "code": code,
        "message": "Why.",
        "retry": retry,
    }
    assert await worker.close_code() == close
    if code is not Code.UNAVAILABLE:
        assert platform.ended == []


# Signing in


@pytest.mark.parametrize(
    ("key", "frame", "code"),
    [
        ("secret", {"token": key_called("user")}, Code.UNAUTHENTICATED),
        ("secret", {"token": key_called("user")}, Code.TOKEN_REVOKED),
        ("ticket", {"ticket": "t"}, Code.TICKET_INVALID),
    ],
)
async def test_a_credential_that_is_not_good(
    gateway: Gateway,
    connect: Connect,
    platform: PlatformDouble,
    key: str,
    frame: dict[str, str],
    code: Code,
) -> None:
    platform.problems[key] = Problem(code=code, message="No.")
    client = await connect(gateway, "/ws")
    await client.send("auth", **frame)
    assert (await refused_with(client, code, 4401))["message"] == "No."


async def test_a_worker_token_does_not_open_the_client_socket(
    gateway: Gateway, connect: Connect, platform: PlatformDouble
) -> None:
    platform.as_worker = True
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("worker", PrincipalKind.WORKER_TOKEN))
    frame = await refused_with(client, "forbidden", 4403)
    assert frame["message"] == (
        "This credential may not open a browser socket: that needs requests:read or requests:write."
    )


# Submitting


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"space": "nowhere"}, "space_not_found", "No space 'nowhere'."),
        ({"prompt": "  "}, "empty_prompt", "The prompt is empty and there is no file."),
        (
            {"timeout_s": 100_000},
            "invalid_request",
            "submit: timeout_s: Input should be less than or equal to 86400",
        ),
    ],
)
async def test_a_submit_that_is_refused_before_it_is_sent(
    gateway: Gateway,
    connect: Connect,
    platform: PlatformDouble,
    fields: dict[str, Any],
    code: str,
    message: str,
) -> None:
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    await client.send("submit", **{"ref": "x", "space": "demo", "prompt": "p", **fields})
    frame = await client.frame("error")
    assert (frame["ref"], frame["code"], frame["message"]) == ("x", code, message)


@pytest.mark.parametrize("code", [Code.WORKER_NOT_CONNECTED, Code.QUEUE_FULL])
async def test_a_submit_that_the_scheduler_refuses(
    gateway: Gateway, connect: Connect, platform: PlatformDouble, code: Code
) -> None:
    platform.refused = Problem(code=code, message="Because.")
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    await client.send("submit", ref="x", space="demo", prompt="p")
    frame = await client.frame("error")
    assert (frame["ref"], frame["code"], frame["message"]) == ("x", code, "Because.")
    assert frame["retry"] is True
    await eventually(lambda: len(gateway.sockets.fanout.events) == 0)


async def test_one_socket_watches_a_bounded_number_of_things(
    make_gateway: MakeGateway, connect: Connect, platform: PlatformDouble
) -> None:
    gateway = await make_gateway(SocketLimits(subscriptions=2))
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    for _ in range(2):
        await client.send("subscribe", request_id=platform.queued("demo").request_id)
        await client.frame("status")
    await client.send("submit", ref="x", space="demo", prompt="p")
    frame = await client.frame("error")
    assert (frame["ref"], frame["code"], frame["facts"]) == (
        "x",
        "too_many_connections",
        {"limit": 2},
    )
    assert frame["message"] == ("This socket watches 2 requests and spaces already; open another.")


async def test_unanswered_submits_of_one_socket_are_bounded_and_the_rest_waits(
    make_gateway: MakeGateway, connect: Connect, platform: PlatformDouble
) -> None:
    gateway = await make_gateway(SocketLimits(submits=2))
    platform.submit_gate = asyncio.Event()
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    await client.frame("ready")
    for ref in range(6):
        await client.send("submit", ref=str(ref), space="demo", prompt="p")
    await eventually(lambda: platform.submits_waiting)
    platform.submit_gate.set()
    refs = sorted([(await client.frame("submitted"))["ref"] for _ in range(6)])
    assert refs == ["0", "1", "2", "3", "4", "5"]
    assert platform.most_submits <= 2


async def test_a_mistake_of_ours_costs_one_connection_and_says_so(
    gateway: Gateway, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: ClientSession, text: str) -> None:
        raise KeyError(text)

    monkeypatch.setattr(ClientSession, "frame", broken)
    client = await connect(gateway, "/ws")
    await client.send("ping")
    assert await client.close_code() == 1011


async def test_a_mistake_behind_a_frame_is_answered(
    gateway: Gateway,
    connect: Connect,
    platform: PlatformDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    await client.frame("ready")
    monkeypatch.setattr(ClientHub, "view", broken)
    await client.send("subscribe", request_id=new_id())
    frame = await client.frame("error")
    assert (frame["code"], frame["message"]) == ("internal_error", "A frame could not be handled.")
