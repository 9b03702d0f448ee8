"""Bad input on the client socket: an `error` frame with a stable code and a clear text, and the socket lives on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from spaces_contracts.client_socket import (
    Auth,
    CancelFrame,
    Ready,
    SubmitFrame,
    SubmittedFrame,
    Subscribe,
)
from spaces_contracts.frames import PROTOCOL, ErrorFrame, Ping
from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import MAX_FRAME_BYTES, RequestState
from tests.support.api import Api
from tests.support.keys import key_called
from tests.support.platform import Platform
from tests.support.wire import ANSWER_S, ClientSocket, client_socket, socket_url

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[ClientSocket]:
    """A socket of the admin's."""
    async with client_socket(platform.gateway_url, platform.admin_key) as client:
        yield client


@asynccontextmanager
async def unknown_socket(
    platform: Platform, protocols: tuple[str, ...] = (PROTOCOL,)
) -> AsyncIterator[ClientConnection]:
    """A socket that has not said who it is."""
    async with connect(
        socket_url(platform.gateway_url, "/ws"),
        subprotocols=[Subprotocol(name) for name in protocols],
        proxy=None,
        ping_interval=None,
    ) as connection:
        yield connection


async def refused(client: ClientSocket, space: str, **fields: Any) -> tuple[str, str]:
    """Code and text of a submit's refusal; the socket must stay useful."""
    ref = new_id()
    await client.send(SubmitFrame(ref=ref, space=space, **{"prompt": "hi", **fields}))
    frame = await client.expect(ErrorFrame)
    assert frame.ref == ref
    return frame.code, frame.message


async def closing(connection: ClientConnection) -> tuple[int, str]:
    """Close code and reason, once the gateway has closed."""
    async with asyncio.timeout(ANSWER_S):
        await connection.wait_closed()
    assert connection.close_code is not None
    return connection.close_code, connection.close_reason or ""


async def said_last(connection: ClientConnection) -> tuple[str, str, int, str]:
    """Code and text of the next `error` frame, then close code and reason."""
    async with asyncio.timeout(ANSWER_S):
        frame = ErrorFrame.model_validate_json(await connection.recv())
    return frame.code, frame.message, *await closing(connection)


async def test_what_a_space_refuses_over_http_it_refuses_on_the_socket(
    platform: Platform, admin: Api, client: ClientSocket
) -> None:
    tenant = await admin.make("/api/tenants", name="ws-other")
    for fields in ({}, {"tenant_id": tenant["tenant_id"]}):
        platform.create_space("ws-twin", **fields)
    platform.create_space("ws-off", enabled=False)
    platform.create_space("ws-offline")
    platform.create_space("ws-words", policy={"when_offline": "queue", "max_queue": 1})
    file = await admin.http.post("/api/files", content=PNG, headers={"X-File-Name": "a.png"})
    file_id = file.json()["file_id"]

    assert await refused(client, "ws-nowhere") == (
        "space_not_found",
        "No space 'ws-nowhere' found",
    )
    code, text = await refused(client, "ws-twin")
    assert code == "multiple_spaces"
    assert text.startswith("Multiple spaces with name 'ws-twin' found")
    assert await refused(client, "ws-off") == ("space_disabled", "Space 'ws-off' is disabled.")
    assert await refused(client, "ws-offline") == (
        "worker_not_connected",
        "Remote app not connected",
    )
    assert await refused(client, "ws-words", prompt=" \n") == (
        "empty_prompt",
        "The prompt is empty and there is no file.",
    )
    assert await refused(client, "ws-words", prompt=None, files=[file_id]) == (
        "input_not_enabled",
        "Space 'ws-words' does not take image input; it takes prompt.",
    )
    await client.send(SubmitFrame(ref="fits", space="ws-words", prompt="hi"))
    assert (await client.expect(SubmittedFrame)).state is RequestState.QUEUED
    assert await refused(client, "ws-words") == ("queue_full", "The space's queue is full")


async def test_an_unknown_request_is_neither_watched_nor_cancelled(client: ClientSocket) -> None:
    unknown = new_id()
    for frame in (Subscribe(request_id=unknown, ref="r"), CancelFrame(request_id=unknown, ref="r")):
        await client.send(frame)
        answer = await client.expect(ErrorFrame)
        assert (answer.code, answer.message, answer.ref, answer.request_id) == (
            "request_not_found",
            f"There is no request {unknown!r}.",
            "r",
            unknown,
        )


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("{", "malformed_frame", "The frame is not JSON."),
        ("[]", "malformed_frame", "A frame is a JSON object with a `type`."),
        ('{"type":"submit"}', "malformed_frame", "submit: ref: Field required"),
        ('{"type":"sing"}', "unknown_frame_type", "Type 'sing' is not one of: "),
        (b"{}", "malformed_frame", "Frames are text; this one was binary."),
    ],
)
async def test_a_frame_that_is_not_understood_is_answered_and_the_socket_lives_on(
    client: ClientSocket, text: str | bytes, code: str, told: str
) -> None:
    await client.connection.send(text)
    frame = await client.expect(ErrorFrame)
    assert frame.code == code
    assert frame.message.startswith(told)
    await client.send(Ping(id=5))
    assert '"id":5' in str(await client.connection.recv())


async def test_a_frame_that_is_too_large_ends_the_socket(client: ClientSocket) -> None:
    await client.connection.send("x" * (MAX_FRAME_BYTES + 1))
    code, _ = await closing(client.connection)
    assert code == 1009


async def test_another_first_frame(platform: Platform) -> None:
    async with unknown_socket(platform) as connection:
        client = ClientSocket(connection)
        await client.send(CancelFrame(request_id=new_id()))
        frame = await client.expect(ErrorFrame)
        assert (frame.code, frame.message) == ("unauthenticated", "The first frame is `auth`.")


async def test_wrong_and_revoked_credentials(platform: Platform, admin: Api) -> None:
    key = await admin.make("/api/keys", name="ws former")
    worker = platform.worker_token([platform.create_space("ws-workers")["space_id"]])
    async with unknown_socket(platform) as connection:
        await connection.send(Auth(token=key["secret"]).encode())
        assert isinstance(await ClientSocket(connection).receive(), Ready)
        key_id = key["credential"]["principal"]["principal_id"]
        assert (await admin.http.delete(f"/api/keys/{key_id}")).status_code == 200
        # A socket that is open already does not outlive its key.
        assert (await said_last(connection))[::2] == ("token_revoked", 4401)
    for auth, code, text, close in (
        (Auth(token=key_called("nobody")), "unauthenticated", "The key is not known", 4401),
        (Auth(token=key["secret"]), "token_revoked", "Credential was revoked", 4401),
        (
            Auth(ticket="no such ticket"),
            "ticket_invalid",
            "The ticket is unknown, used or older than 30 seconds",
            4401,
        ),
        (
            Auth(token=worker.read_text().strip()),
            "forbidden",
            "This credential may not open a browser socket: that needs requests:read or requests:write.",
            4403,
        ),
    ):
        async with unknown_socket(platform) as connection:
            await connection.send(auth.encode())
            assert await said_last(connection) == (code, text, close, code)


async def test_a_client_of_another_version_hears_which_one_is_spoken(platform: Platform) -> None:
    async with unknown_socket(platform, ("spaces.v9.json",)) as connection:
        assert await said_last(connection) == (
            "unsupported_protocol",
            "This gateway speaks spaces.v1.json; offered: spaces.v9.json.",
            4406,
            "unsupported_protocol",
        )
