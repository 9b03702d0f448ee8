"""What handlers print goes to the agent's log, line by line, whatever they print."""

import asyncio
import os

import structlog

log = structlog.get_logger()

MAX_LINE_BYTES = 8_192


class OutputPipe:
    """One output of a handler process.

    Not asyncio's own pipe of the process: with that, waiting for the process also waits for whatever it left behind
    and still holds the pipe.
    """

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        self._transport: asyncio.ReadTransport | None = None
        self._task: asyncio.Task[None] | None = None

    async def log(self, process: int, stream_name: str) -> None:
        """Begins to log; the write end belongs to the process by now."""
        os.close(self.write_end)
        reader = asyncio.StreamReader()
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._read_end, "rb", 0)
        )
        self._task = asyncio.create_task(
            log_lines(reader, process=process, stream_name=stream_name)
        )

    def drop(self) -> None:
        """The process was never started."""
        os.close(self.write_end)
        os.close(self._read_end)

    async def close(self, wait_s: float) -> None:
        """Logs what is left, and does not wait longer for a grandchild that holds the other end."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=wait_s)
            self._task.cancel()
        if self._transport is not None:
            self._transport.close()


async def log_lines(stream: asyncio.StreamReader, *, process: int, stream_name: str) -> None:
    """Reads to the end. A line longer than 8 KiB is cut into pieces; progress bars' \\r end a line too."""
    rest = b""
    while data := await stream.read(65_536):
        lines = (rest + data).replace(b"\r", b"\n").split(b"\n")
        rest = lines.pop()
        while len(rest) > MAX_LINE_BYTES:
            lines.append(rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        _write(lines, process, stream_name)
    _write([rest], process, stream_name)


def _write(lines: list[bytes], process: int, stream_name: str) -> None:
    for line in lines:
        text = line[:MAX_LINE_BYTES].decode(errors="replace").rstrip()
        if text:
            log.info("handler_output", process=process, stream=stream_name, line=text)
