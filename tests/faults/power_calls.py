"""HTTP as cheap as it can be, so that two cores give thousands of acknowledged requests between two cuts."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_TIMEOUT_S = 40.0


class NotReachedError(Exception):
    """The call has no answer: the connection broke."""


@dataclass(frozen=True)
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as an object."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    def code(self) -> str:
        """The problem's code, or the status."""
        try:
            return str(self.document().get("code", self.status))
        except ValueError:
            return str(self.status)


class Caller:
    """One kept connection to one gateway, opened when it is needed."""

    def __init__(self, url: str, api_key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._fixed = f"Host: {self._host}\r\nAuthorization: Bearer {api_key}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> Answer:
        """Raises NotReachedError."""
        return await self._call(f"GET {path} HTTP/1.1\r\n{self._fixed}\r\n".encode())

    async def post(self, path: str, body: dict[str, Any], key: str) -> Answer:
        """With an idempotency key. Raises NotReachedError."""
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\n{self._fixed}Content-Type: application/json\r\n"
            f"Idempotency-Key: {key}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return await self._call(head.encode() + content)

    def close(self) -> None:
        """Drops the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _call(self, sent: bytes) -> Answer:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(self._host, self._port)
                reader, writer = self._streams
                writer.write(sent)
                head = await reader.readuntil(b"\r\n\r\n")
                return Answer(int(head[9:12]), await reader.readexactly(_length(head)))
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise NotReachedError(type(error).__name__) from error


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise AssertionError(f"an answer without a length: {head!r}")
