"""What a hostile connection gets from a real server: a clear answer or an end, never time or memory without bound."""

import asyncio
import json
import logging
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from spaces_gateway.http.bounds import HttpBounds
from spaces_gateway.http.edge import MAX_HELD
from tests.integration.gateway.conftest import Running
from tests.support.eventually import eventually
from tests.support.keys import key_called

KEY = key_called("user").encode()
START = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"
POST = (
    b"POST /api/spaces/poems/requests HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + KEY + b"\r\n"
)


@asynccontextmanager
async def dialled(
    running: Running,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.server.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    try:
        writer.write(data)
        await writer.drain()
    except ConnectionError:
        return  # the gateway hung up, which is what most of these are for


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything until the gateway hangs up."""
    try:
        return await asyncio.wait_for(reader.read(), 15)
    except ConnectionError:
        return b""


def code(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower(), head
    assert b"application/problem+json" in head
    problem: dict[str, str] = json.loads(body)
    return problem["code"]


async def still_well(running: Running) -> None:
    assert (await running.get("/health/live")).status_code == 200


@pytest.fixture(autouse=True)
def _no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ] == []


@pytest.mark.parametrize(
    "head",
    [
        START + b"x: y\r\n" * 101 + b"\r\n",
        START + b"x: y\r\n" * 10_000,
        START + b"x: " + b"y" * 70_000 + b"\r\n\r\n",
        START + b"x: " + b"y" * 300_000,
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 400_000,
    ],
    ids=["101 headers", "10000 headers", "one long", "one endless", "long address", "endless address"],
)  # fmt: skip
async def test_headers_have_a_bound(running: Running, head: bytes) -> None:
    async with dialled(running) as (reader, writer):
        await send(writer, head)
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert code(answer) == "headers_too_large"
    await still_well(running)


async def test_100_headers_of_64_kib_together_are_served(running: Running) -> None:
    async with dialled(running) as (reader, writer):
        await send(
            writer, START + b"x: " + b"y" * 600 + b"\r\n" + (b"x: " + b"y" * 600 + b"\r\n") * 97
        )
        await send(writer, b"connection: close\r\n\r\n")
        assert (await rest(reader)).startswith(b"HTTP/1.1 200 ")


async def test_ten_mib_of_headers_leave_no_memory_behind(running: Running) -> None:
    async def pour() -> None:
        async with dialled(running) as (reader, writer):
            await send(writer, START)
            for _ in range(160):
                await send(writer, b"x: " + b"y" * 65_000 + b"\r\n")
            await rest(reader)

    await pour()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await asyncio.gather(*[pour() for _ in range(20)])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000
    await still_well(running)


async def test_trailers_of_a_body_have_the_same_bound(running: Running) -> None:
    async with dialled(running) as (reader, writer):
        head = b"POST /api/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + KEY + b"\r\n"
        await send(writer, head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n")
        for _ in range(12):
            await send(writer, b"x: " + b"y" * 60_000)
        assert await rest(reader) == b""
    await still_well(running)


async def test_what_is_no_http_gets_a_problem(running: Running) -> None:
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0"):
        async with dialled(running) as (reader, writer):
            await send(writer, nonsense)
            answer = await rest(reader)
        assert (answer[:13], code(answer)) == (b"HTTP/1.1 400 ", "malformed_request")
    await still_well(running)


async def test_requests_that_do_not_wait_for_answers_are_few(running: Running) -> None:
    async with dialled(running) as (reader, writer):
        await send(writer, (START + b"\r\n") * 5_000)
        await rest(reader)
    async with dialled(running) as (reader, writer):
        await send(writer, (START + b"\r\n") * 10 + START + b"connection: close\r\n\r\n")
        assert (await rest(reader)).count(b"HTTP/1.1 200 ") == 11
    await still_well(running)


Pace = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def silent(writer: asyncio.StreamWriter) -> None:
    """Says nothing at all."""


async def half_a_head(writer: asyncio.StreamWriter) -> None:
    await send(writer, START)


async def half_a_second_head(writer: asyncio.StreamWriter) -> None:
    await send(writer, START + b"\r\n" + START)


async def half_a_body(writer: asyncio.StreamWriter) -> None:
    await send(writer, POST + b'Content-Length: 100\r\n\r\n{"prom')


@pytest.mark.parametrize(
    ("pace", "last"),
    [
        (silent, ""),
        (half_a_head, "request_timeout"),
        (half_a_second_head, "request_timeout"),
        (half_a_body, ""),
    ],
)
async def test_who_does_not_finish_is_let_go(running: Running, pace: Pace, last: str) -> None:
    running.gateway.watch.bounds = HttpBounds(head_s=0.3, body_s=0.3)
    async with dialled(running) as (reader, writer):
        await pace(writer)
        answer = await rest(reader)
    found = code(answer[answer.rindex(b"HTTP/1.1") :]) if last else ""
    assert found == last
    await still_well(running)
    assert running.gateway.watch.reading == set()


async def test_bytes_that_drip_do_not_hold_a_connection(running: Running) -> None:
    running.gateway.watch.bounds = HttpBounds(head_s=0.3, body_s=0.3)
    for start in (START, POST + b"Content-Length: 100000\r\n\r\n{"):
        async with dialled(running) as (reader, writer):
            await send(writer, start)
            ended = asyncio.create_task(rest(reader))

            async def gone(
                writer: asyncio.StreamWriter = writer, ended: "asyncio.Task[bytes]" = ended
            ) -> bool:
                await send(writer, b"x")
                return ended.done()

            await eventually(gone, timeout_s=10)


async def test_connections_have_a_bound_and_the_rest_hear_it(running: Running) -> None:
    running.gateway.watch.bounds = HttpBounds(connections=5)
    await running.client.aclose()
    async with dialled(running), dialled(running), dialled(running), dialled(running):
        async with dialled(running) as (reader, writer):
            await send(writer, START + b"connection: close\r\n\r\n")
            assert (await rest(reader)).startswith(b"HTTP/1.1 200 ")
        async with dialled(running), dialled(running) as (reader, _):
            assert code(await rest(reader)) == "too_many_connections"


async def test_an_upgraded_connection_is_nobodys_late_request(running: Running) -> None:
    running.gateway.watch.bounds = HttpBounds(head_s=0.2, body_s=0.2)
    head = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with dialled(running) as (reader, writer):
        await send(writer, head)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert running.gateway.watch.reading == set()


async def test_a_request_that_waits_behind_a_slow_one_is_not_late(running: Running) -> None:
    running.gateway.watch.bounds = HttpBounds(head_s=0.2, body_s=0.2)
    running.backends.add_space("poems")
    body = b'{"prompt":"hi"}'
    waits = POST.replace(b"/requests ", b"/requests?wait=3 ") + b"Content-Length: %d\r\n\r\n" % len(
        body
    )
    async with dialled(running) as (reader, writer):
        await send(writer, waits + body + START + b"\r\n" + START + b"connection: close\r\n\r\n")
        answer = await rest(reader)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.count(b"HTTP/1.1 202 ") == 1


async def test_the_rest_of_a_strangers_body_is_not_read(running: Running) -> None:
    head = POST.replace(KEY, b"unknown") + b"Content-Length: 1000000\r\n\r\n"
    async with dialled(running) as (reader, writer):
        await send(writer, head + b'{"prompt":"')
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_bodies_held_of_strangers_are_few(running: Running) -> None:
    head = b"POST /api/spaces HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{"
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(dialled(running)) for _ in range(MAX_HELD)]
        for _, writer in held:
            await send(writer, head)

        async def refused() -> bool:
            async with dialled(running) as (reader, writer):
                await send(writer, head)
                try:
                    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 0.5)
                except TimeoutError:
                    return False  # it is one of those that are held
            return answer.startswith(b"HTTP/1.1 503 ")

        await eventually(refused, timeout_s=10)
        assert (await running.post("/api/spaces", json={"name": "small"})).status_code == 201
    await still_well(running)
