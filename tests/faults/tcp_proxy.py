"""A TCP proxy that spoils links: latency, bandwidth, slicer, timeout (one way or both), reset_peer, down.

The names are Toxiproxy's. `up` is what the client sends, `down` what the server answers. A toxic is a change of
a field; the bytes that are under way feel it at once.
"""

import asyncio
import random
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Direction = Literal["up", "down"]
_READ = 65_536
# So much may wait in one direction; then the proxy stops reading, as a full network does.
_HELD_BYTES = 1_048_576
_CONNECT_S = 5.0


@dataclass
class Toxics:
    """What happens to the bytes of one direction."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0  # 0: as fast as it goes
    slice_bytes: int = 0  # 0: whole
    hole: bool = False  # nothing passes, not even an end; what came is passed on afterwards

    def clear(self) -> None:
        """As if there were none."""
        self.latency_s = self.jitter_s = self.bytes_per_s = 0.0
        self.slice_bytes = 0
        self.hole = False


@dataclass(eq=False)
class _Pipe:
    """One direction of one connection."""

    toxics: Toxics
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    held: deque[tuple[float, bytes]] = field(default_factory=deque)
    held_bytes: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Listens at one port and passes on to one target."""

    def __init__(self, name: str, *, seed: int = 0) -> None:
        self.name = name
        self.host = ""
        self.port = 0
        self.target: tuple[str, int] = ("", 0)
        self.up = Toxics()
        self.down = Toxics()
        self.refuse = False  # new connections are reset
        self.connections = 0  # that ever came
        self._dice = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, host: str = "127.0.0.1") -> None:
        """Listens; the target may be told later."""
        self._server = await asyncio.start_server(self._accept, host, 0)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def stop(self) -> None:
        """Ends everything."""
        if self._server is not None:
            self._server.close()
        self.reset_peer()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def changed(self) -> None:
        """Wakes what waits; called after toxics were changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    def heal(self) -> None:
        """No toxics; open connections go on."""
        self.up.clear()
        self.down.clear()
        self.refuse = False
        self.changed()

    def toxic(self, direction: Direction) -> Toxics:
        """One direction's toxics."""
        return self.up if direction == "up" else self.down

    def reset_peer(self) -> None:
        """Every open connection gets a RST, on both sides."""
        for writer in list(self._open):
            sock = writer.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
                )
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        self._open.add(writer)
        try:
            if self.refuse:
                self._abort(writer)
                return
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            self._abort(writer)  # either side is gone, or the proxy stops
        finally:
            self._open.discard(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._through(self.up)
        async with asyncio.timeout(_CONNECT_S):
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        self._open.add(far_writer)
        pipes = (
            _Pipe(self.up, reader, far_writer),
            _Pipe(self.down, far_reader, writer),
        )
        works = [work for pipe in pipes for work in (self._read(pipe), self._write(pipe))]
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._open.discard(far_writer)
            for one in (writer, far_writer):
                self._abort(one) if one.transport.is_closing() else one.close()

    async def _read(self, pipe: _Pipe) -> None:
        loop = asyncio.get_running_loop()
        data = b"begun"
        while data:
            try:
                data = await pipe.reader.read(_READ)
            except OSError:
                await self._through(pipe.toxics)  # a reset does not get through a hole either
                raise
            toxics = pipe.toxics
            delay = toxics.latency_s + self._dice.uniform(0.0, toxics.jitter_s)
            due = max(loop.time() + delay, pipe.held[-1][0] if pipe.held else 0.0)
            pipe.held.append((due, data))  # the empty one is the end
            pipe.held_bytes += len(data)
            pipe.moved.set()
            while pipe.held_bytes > _HELD_BYTES:
                pipe.moved.clear()
                await pipe.moved.wait()

    async def _write(self, pipe: _Pipe) -> None:
        while True:
            while not pipe.held:
                pipe.moved.clear()
                await pipe.moved.wait()
            due, data = pipe.held[0]
            await self._until(due)
            await self._through(pipe.toxics)
            if not data:
                pipe.writer.write_eof()
                return
            await self._pass_on(pipe, data)
            pipe.held.popleft()
            pipe.held_bytes -= len(data)
            pipe.moved.set()

    async def _pass_on(self, pipe: _Pipe, data: bytes) -> None:
        start = 0
        while start < len(data):
            toxics = pipe.toxics
            size = toxics.slice_bytes or (4096 if toxics.bytes_per_s else len(data))
            part = data[start : start + size]
            await self._through(toxics)
            pipe.writer.write(part)
            await pipe.writer.drain()
            start += len(part)
            if toxics.bytes_per_s:
                await asyncio.sleep(len(part) / toxics.bytes_per_s)
            elif toxics.slice_bytes:
                await asyncio.sleep(0.0005)

    async def _through(self, toxics: Toxics) -> None:
        while toxics.hole:
            await self._changed.wait()

    async def _until(self, due: float) -> None:
        left = due - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)

    @staticmethod
    def _abort(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()


class ProxyThread:
    """Proxies in an event loop of their own: the platform is started by code that blocks."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self.proxies: dict[str, Proxy] = {}

    def add(self, name: str, host: str = "127.0.0.1") -> Proxy:
        """A proxy that listens; its target is told before anybody connects."""
        proxy = self._wait(_made(name))
        self._wait(proxy.start(host))
        self.proxies[name] = proxy
        return proxy

    def change(self, proxy: Proxy, change: Callable[[Proxy], None]) -> None:
        """Applies a change in the proxies' own thread."""

        async def apply() -> None:
            change(proxy)
            proxy.changed()

        self._wait(apply())

    def heal_all(self) -> None:
        """No toxics anywhere."""
        for proxy in self.proxies.values():
            self.change(proxy, Proxy.heal)

    def close(self) -> None:
        """Ends all proxies and the thread."""
        for proxy in self.proxies.values():
            self._wait(proxy.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)


async def _made(name: str) -> Proxy:
    return Proxy(name)
