"""Files on their way up: read in pieces, so that memory does not grow with the file."""

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from spaces_client.errors import SpacesError

_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True)
class Upload:
    """A file to send. `pieces` starts from the beginning each time it is called."""

    name: str
    media_type: str
    size_bytes: int
    pieces: Callable[[], AsyncIterator[bytes]]

    @property
    def headers(self) -> dict[str, str]:
        """What the gateway reads beside the body."""
        return {
            "content-type": self.media_type,
            "content-length": str(self.size_bytes),
            "x-file-name": quote(self.name, safe=""),
        }


def upload_of(
    source: Path | str | bytes, name: str | None = None, media_type: str | None = None
) -> Upload:
    """An upload of a path, or of bytes that are at hand. Raises SpacesError for an unreadable path."""
    if isinstance(source, bytes):
        name = name or "file.bin"
        return Upload(name, media_type or _guess(name), len(source), lambda: _of_bytes(source))
    path = Path(source)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
    except OSError as error:
        raise SpacesError(
            "file_unreadable",
            f"{path}: {error.strerror or error}.",
            what_to_do="Give the path of a file that you may read.",
        ) from error
    name = name or path.name
    return Upload(name, media_type or _guess(name), size, lambda: _of_path(path, size))


def _guess(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


async def _of_bytes(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PIECE_BYTES):
        yield content[start : start + _PIECE_BYTES]


async def _of_path(path: Path, size: int) -> AsyncIterator[bytes]:
    # The length was announced: a file that grows meanwhile is cut there, one that shrinks fails the call.
    left = size
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while left and (piece := await asyncio.to_thread(file.read, min(_PIECE_BYTES, left))):
            left -= len(piece)
            yield piece
    finally:
        file.close()
