"""What handlers print goes to the agent's log, line by line, whatever they print."""

import asyncio

import structlog

log = structlog.get_logger()

MAX_LINE_BYTES = 8_192


async def log_lines(stream: asyncio.StreamReader, *, slot: int, stream_name: str) -> None:
    """Reads to the end. A line longer than 8 KiB is cut into pieces; progress bars' \\r end a line too."""
    rest = b""
    while data := await stream.read(65_536):
        lines = (rest + data).replace(b"\r", b"\n").split(b"\n")
        rest = lines.pop()
        while len(rest) > MAX_LINE_BYTES:
            lines.append(rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        _write(lines, slot, stream_name)
    _write([rest], slot, stream_name)


def _write(lines: list[bytes], slot: int, stream_name: str) -> None:
    for line in lines:
        text = line[:MAX_LINE_BYTES].decode(errors="replace").rstrip()
        if text:
            log.info("handler_output", slot=slot, stream=stream_name, line=text)
