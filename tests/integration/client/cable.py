"""What lies between client and gateway: a TCP relay that a test can cut."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Cable:
    """A relay to one port."""

    def __init__(self) -> None:
        self.port = 0
        self.target = 0
        self.plugged = True
        self.cut_after_bytes: list[
            int
        ] = []  # so much down-stream data, then a cut; one each connection
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Breaks every connection at once, as a lost network does."""
        for end in list(self._ends):
            end.transport.abort()

    @asynccontextmanager
    async def laid(self, target: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        """Relays to the port while inside; speaks TLS to clients if told to."""
        self.target = target
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.cut()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not self.plugged:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        limit = self.cut_after_bytes.pop(0) if self.cut_after_bytes else None
        both = {writer, up_writer}
        self._ends |= both
        try:
            await asyncio.gather(_pump(reader, up_writer, None), _pump(up_reader, writer, limit))
        finally:
            self._ends -= both
            for end in both:
                end.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None
) -> None:
    with suppress(OSError):
        while data := await reader.read(4096):
            if limit is not None and len(data) >= limit:
                writer.write(data[:limit])
                break
            limit = None if limit is None else limit - len(data)
            writer.write(data)
            await writer.drain()
    writer.transport.abort() if limit is not None else writer.close()


@asynccontextmanager
async def stranger(answer: bytes | None, heard: list[str] | None = None) -> AsyncIterator[str]:
    """Something that is no gateway, at the address: says this to everybody and leaves, or says nothing."""
    open_tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if heard is not None:
                heard.append(head.decode().split("\r\n")[0])
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*open_tasks, return_exceptions=True)
