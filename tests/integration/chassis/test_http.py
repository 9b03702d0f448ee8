"""Health and metrics over HTTP, and any ASGI application as a part of the process."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from spaces_chassis.health import HealthServer
from spaces_chassis.http import Event, HttpServer
from spaces_chassis.lifecycle import run
from spaces_chassis.metrics import Metrics
from spaces_chassis.settings import HttpSettings


class Switch:
    """A part whose health is set by hand."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.well = True

    async def start(self) -> None: ...

    async def drain(self) -> None: ...

    async def stop(self) -> None: ...

    def healthy(self) -> bool:
        return self.well


async def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body; a client this small proves that nothing else is needed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@pytest.fixture
async def database() -> Switch:
    return Switch("database")


@pytest.fixture
async def server(database: Switch) -> AsyncIterator[HealthServer]:
    metrics = Metrics("test")
    metrics.counter("spaces_things_total", "Things").inc(3)
    made = HealthServer([database, Switch("bus")], metrics, HttpSettings())
    await made.start()
    yield made
    await made.drain()
    await made.stop()


async def test_a_free_port_is_taken_and_told(server: HealthServer) -> None:
    assert server.port > 0
    assert server.url == f"http://127.0.0.1:{server.port}"
    assert server.healthy()


async def test_metrics_are_served(server: HealthServer) -> None:
    status, body = await get(server.port, "/metrics")
    assert status == 200
    assert b"spaces_things_total 3.0" in body


async def test_ready_names_the_part_that_is_not(server: HealthServer, database: Switch) -> None:
    assert (await get(server.port, "/health/ready"))[0] == 200
    database.well = False
    status, body = await get(server.port, "/health/ready")
    assert status == 503
    assert json.loads(body) == {"status": "not_ready", "parts": {"database": False, "bus": True}}
    assert (await get(server.port, "/health/live"))[0] == 200, "restarting would not help"


async def test_other_paths_are_not_found_and_heads_have_no_body(server: HealthServer) -> None:
    assert (await get(server.port, "/else"))[0] == 404
    assert await get(server.port, "/health/live", "HEAD") == (200, b"")


async def test_a_port_that_is_taken_stops_the_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = HttpSettings(port=taken.getsockname()[1])
        server = HealthServer([], Metrics("test"), settings)
        with pytest.raises(OSError, match="in use"):
            await server.start()
        await server.stop()
        assert await run([server]) == 1


async def test_draining_answers_the_request_in_flight_and_takes_no_more() -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    async def app(scope: object, receive: object, send: object) -> None:
        assert callable(send)
        started.set()
        await gate.wait()
        start: Event = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": b"done"})

    server = HttpServer(app, host="127.0.0.1", port=0)
    await server.start()
    asking = asyncio.create_task(get(server.port, "/slow"))
    await started.wait()
    draining = asyncio.create_task(server.drain())
    gate.set()
    await draining

    status, body = await asking
    assert status == 200
    assert b"done" in body
    with pytest.raises(OSError, match=r"."):
        await get(server.port, "/slow")
    assert not server.healthy()
    await server.stop()


async def test_a_server_that_ends_by_itself_ends_the_process() -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    server = HttpServer(app, host="127.0.0.1", port=0)

    def break_it() -> None:
        assert server._task is not None
        server._task.cancel()

    assert await asyncio.wait_for(run([server], ready=break_it), 5.0) == 1
