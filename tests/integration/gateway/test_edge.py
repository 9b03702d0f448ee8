"""What is decided before any operation: where sockets are, how paths are read, what comes before a body."""

import asyncio
import json

import httpx2
import pytest
import websockets
from websockets.asyncio.client import connect

from tests.integration.gateway.conftest import Running
from tests.support.keys import key_called


def socket_url(running: Running, path: str) -> str:
    return running.gateway.server.url.replace("http", "ws", 1) + path


async def raw(running: Running, text: bytes) -> bytes:
    """What comes back for these bytes until the gateway hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.server.port)
    writer.write(text)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_an_upgrade_where_no_socket_is_gets_a_problem(running: Running) -> None:
    with pytest.raises(websockets.InvalidStatus) as raised:
        await connect(socket_url(running, "/nothing"), proxy=None)
    response = raised.value.response
    assert response.status_code == 404
    assert json.loads(bytes(response.body or b""))["code"] == "not_found"


async def test_a_slash_in_a_name_is_not_a_separator(running: Running) -> None:
    answer = await running.get("/api/spaces/a%2Fb%2Fqueue")
    assert (answer.json()["code"], answer.json()["instance"]) == (
        "space_not_found",
        "/api/spaces/a%2Fb%2Fqueue",
    )
    assert "'a/b/queue'" in answer.json()["detail"]


async def test_a_client_that_waits_for_leave_to_send_is_told_no_at_once(running: Running) -> None:
    head = (
        b"POST /api/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        + key_called("user").encode()
        + b"\r\n"
        b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
    )
    answer = await raw(running, head)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer
    assert b'"file_too_large"' in answer
    assert b"100 Continue" not in answer


async def test_an_answer_before_the_body_is_read_reaches_a_client_that_is_still_sending(
    running: Running,
) -> None:
    async def body() -> object:
        for _ in range(50):
            yield bytes(100_000)

    answer = await running.client.put("/api/spaces", content=body())  # type: ignore[arg-type]  # an async iterator
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_a_connection_serves_the_next_request_after_a_refusal(running: Running) -> None:
    limits = httpx2.Limits(max_connections=1)
    async with httpx2.AsyncClient(
        base_url=running.gateway.server.url, trust_env=False, limits=limits
    ) as client:
        for _ in range(3):
            answer = await client.post("/api/spaces", json={"name": "x"})
            assert answer.status_code == 401
            assert "connection" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/api/spaces/poems/requests", "/api/spaces", "/websockets/submit/poems"]
)
async def test_a_body_of_exactly_the_limit_is_read(running: Running, path: str) -> None:
    running.backends.add_space("poems")
    for size, code in ((1_048_576, "invalid_request"), (1_048_577, "payload_too_large")):
        content = b'{"x":"' + b"y" * (size - 8) + b'"}'
        answer = await running.post(path, content=content)
        if path.startswith("/websockets") and size == 1_048_576:
            code = "empty_prompt"  # which does not mind what it does not know
        assert answer.json()["code"] == code
