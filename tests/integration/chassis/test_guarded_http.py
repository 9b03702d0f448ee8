"""Guarded calls against real listeners: what is not to be reached hears nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import httpx2
import pytest

from spaces_chassis.destinations import DestinationRefused, Reach
from spaces_chassis.guarded_http import AnswerTooLarge, fetch_small, guarded_client


class Listener:
    """Answers every call alike; knows how many connections it had."""

    def __init__(self) -> None:
        self.connections = 0
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    running = Listener()
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    yield running
    server.close()
    await server.wait_closed()


async def to_here(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


async def test_an_operators_target_on_this_host_is_called(listener: Listener) -> None:
    async with guarded_client(Reach.OPERATOR) as client:
        for host in ("127.0.0.1", "localhost"):
            assert (await client.get(f"http://{host}:{listener.port}/")).text == "ok"


async def test_a_strangers_name_that_resolves_to_this_host_is_not_called(
    listener: Listener,
) -> None:
    async with guarded_client(resolve=to_here) as client:
        with pytest.raises(DestinationRefused):
            await client.get(f"http://public.example:{listener.port}/")
    assert listener.connections == 0


async def test_a_name_that_answers_otherwise_the_second_time_leads_nowhere(
    listener: Listener,
) -> None:
    answers = [["93.184.216.34", "127.0.0.1"], ["127.0.0.1"]]

    async def rebinds(_host: str, _port: int) -> Sequence[str]:
        return answers.pop(0)

    async with guarded_client(resolve=rebinds) as client:
        for _ in range(2):
            with pytest.raises(DestinationRefused):
                await client.get(f"http://public.example:{listener.port}/")
    assert (listener.connections, answers) == (0, [])


async def test_a_redirect_is_an_answer_and_not_followed(listener: Listener) -> None:
    inner = f"http://127.0.0.1:{listener.port}/inner"
    listener.answer = (
        f"HTTP/1.1 302 Found\r\nLocation: {inner}\r\nContent-Length: 0\r\n\r\n".encode()
    )
    async with guarded_client(Reach.OPERATOR) as client:
        assert (await client.get(inner)).status_code == 302
    assert listener.connections == 1


async def test_an_answer_is_read_up_to_its_limit(listener: Listener) -> None:
    listener.answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(100_000)
    url = f"http://127.0.0.1:{listener.port}/"
    async with guarded_client(Reach.OPERATOR) as client:
        assert len((await fetch_small(client, url, most=100_000)).content) == 100_000
        with pytest.raises(AnswerTooLarge):
            await fetch_small(client, url, most=99_999)


async def test_an_answer_that_does_not_come_is_given_up(listener: Listener) -> None:
    listener.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    held = asyncio.Event()

    async def holds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(listener.answer)
        await held.wait()
        writer.close()

    server = await asyncio.start_server(holds, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with guarded_client(Reach.OPERATOR) as client:
        with pytest.raises(TimeoutError):
            await fetch_small(client, url, within_s=0.05)
    held.set()
    server.close()
    await server.wait_closed()


async def test_a_compressed_answer_is_not_unpacked(listener: Listener) -> None:
    listener.answer = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"
    )
    async with guarded_client(Reach.OPERATOR) as client:
        answer = await fetch_small(client, f"http://127.0.0.1:{listener.port}/")
    assert answer.content == b"\x1f\x8b\x08"


async def test_no_proxy_of_the_environment_is_used(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with guarded_client(Reach.OPERATOR) as client:
        assert (await client.get(f"http://127.0.0.1:{listener.port}/")).text == "ok"


async def test_a_name_without_an_address_is_a_failed_connection() -> None:
    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    async with guarded_client(resolve=unknown) as client:
        with pytest.raises(httpx2.ConnectError, match="cannot be resolved"):
            await client.get("http://unknown.example/")
