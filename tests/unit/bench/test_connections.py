"""Clients walk through their flows, and whatever goes wrong is counted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from tests.bench.load.connections import Arrivals, HttpWalker, SocketWalker, Walker
from tests.bench.load.flow import IDLE, Steps, Wrong
from tests.bench.load.recorder import Recorder
from tests.bench.load.socket_frames import frame, upgrade
from tests.support.eventually import eventually

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def server(answer: Callable[[bytes], bytes | None]) -> AsyncIterator[int]:
    """Answers whatever arrives; None closes the connection."""

    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                got = answer(data)
                if got is None:
                    break
                writer.write(got)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as running:
        yield running.sockets[0].getsockname()[1]
        await asyncio.gather(*(task for task in served if task))


async def walk(
    port: int,
    steps: Callable[[], Steps],
    recorder: Recorder,
    kind: type[Walker] = HttpWalker,
    arrivals: Arrivals | None = None,
) -> Walker:
    _, walker = await asyncio.get_running_loop().create_connection(
        partial(kind, steps, recorder, arrivals), "127.0.0.1", port
    )
    return walker


def ask(times: int, recorder: Recorder) -> Steps:
    for _ in range(times):
        answer = yield b"GET / HTTP/1.1\r\n\r\n"
        if answer.status != 200:
            raise Wrong(f"{answer.status}")
        recorder.record(0.001)


async def test_each_request_follows_the_answer_to_the_one_before() -> None:
    recorder = Recorder()
    recorder.begin()
    async with server(lambda _: OK) as port:
        walker = await walk(port, lambda: ask(3, recorder), recorder)
        await walker.ended
    recorder.end()
    assert (recorder.figures().times.count, recorder.figures().errors) == (3, 0)


async def test_a_wrong_answer_is_an_error_and_the_client_goes_on() -> None:
    recorder = Recorder()
    answers = iter([b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", OK])
    recorder.begin()
    async with server(lambda _: next(answers)) as port:
        walker = await walk(port, lambda: ask(1, recorder), recorder)
        await walker.ended
    recorder.end()
    figures = recorder.figures()
    assert (figures.times.count, figures.errors, figures.first_error) == (1, 1, "503")


async def test_a_connection_that_the_server_closes_is_an_error() -> None:
    recorder = Recorder()
    async with server(lambda _: None) as port:
        walker = await walk(port, lambda: ask(1, recorder), recorder)
        await walker.ended
    recorder.end()
    assert recorder.figures().errors == 1


async def test_a_request_that_is_due_while_no_client_is_free_waits_for_one() -> None:
    recorder, arrivals, seen = Recorder(), Arrivals(), list[float]()

    def steps() -> Steps:
        while True:
            seen.append((yield IDLE))
            yield b"GET / HTTP/1.1\r\n\r\n"

    arrivals.arrive(1.0)
    arrivals.arrive(2.0)
    async with server(lambda _: OK) as port:
        walker = await walk(port, steps, recorder, arrivals=arrivals)
        await eventually(lambda: len(seen) == 2)
        arrivals.arrive(3.0)
        await eventually(lambda: len(seen) == 3)
        walker.close()
    assert seen == [1.0, 2.0, 3.0]


async def test_a_socket_client_shakes_hands_and_answers_pings() -> None:
    ping, text = b"\x89\x02hi", b"\x81\x02ok"
    received: list[bytes] = []

    def answer(data: bytes) -> bytes:
        received.append(data)
        if data.startswith(b"GET /ws"):
            return b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"
        return ping + text if data == frame(b"go") else b""

    def steps() -> Steps:
        yield upgrade("/ws", "x")
        got = yield frame(b"go")
        assert got == b"ok"
        recorder.record(0.001)
        yield None

    recorder = Recorder()
    recorder.begin()
    async with server(answer) as port:
        walker = await walk(port, steps, recorder, SocketWalker)
        await eventually(lambda: frame(b"hi", 10) in received)
        walker.close()
    recorder.end()
    assert (recorder.figures().times.count, recorder.figures().errors) == (1, 0)


async def test_a_refused_handshake_is_an_error() -> None:
    recorder = Recorder()
    refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"

    def steps() -> Steps:
        yield upgrade("/ws", "x")

    async with server(lambda _: refusal) as port:
        walker = await walk(port, steps, recorder, SocketWalker)
        await walker.ended
    recorder.end()
    assert "403" in recorder.figures().first_error
