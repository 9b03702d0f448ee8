"""Brings input files to this host and output files to the gateway. Content never passes through the socket."""

import asyncio
import hashlib
import mimetypes
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin

import httpx2
import structlog

from spaces_contracts.files import FileRef
from spaces_worker_agent.attempts import GivenFile
from spaces_worker_agent.backoff import Backoff
from spaces_worker_agent.sdk import FileUnavailable

log = structlog.get_logger()

PIECE_BYTES = 262_144
# About half a minute: a gateway or scheduler that is started again is back by then.
TRIES = 12


# One slash first, and nothing that could be read as a host: `//host`, `/\\host`, `http:…` lead elsewhere.
_PATH = re.compile(r"/[A-Za-z0-9_.~%-][A-Za-z0-9_.~%/-]*(\?[!-~]*)?", re.ASCII)


@dataclass(frozen=True)
class Bearer:
    """Who fetches: signed addresses open nothing for others."""

    token: str
    instance_id: str

    def headers(self, attempt: int) -> dict[str, str]:
        """What each call says."""
        return {
            "Authorization": f"Bearer {self.token}",
            "Spaces-Instance": self.instance_id,
            "Spaces-Attempt": str(attempt),
        }


class Transfers:
    """Speaks HTTP to the origin that the agent dialled, and to no other, wherever an address or answer points."""

    def __init__(self, origin: str, client: httpx2.AsyncClient, bearer: Bearer) -> None:
        self._origin = origin.rstrip("/") + "/"
        self._client = client
        self._bearer = bearer

    async def fetch(self, file: FileRef, directory: Path, attempt: int) -> Path:
        """Fetches one file and verifies its SHA-256. Raises FileUnavailable."""
        if not file.url:
            raise FileUnavailable(f"{file.name}: the gateway gave no address for it")
        target = _place_for(file, directory)
        backoff = Backoff(first_s=0.2, cap_s=5.0)
        for tried in range(TRIES):
            if tried:
                await asyncio.sleep(backoff.next_s())
            try:
                return await self._fetch_once(file, target, attempt)
            except httpx2.TransportError as error:
                log.warning("file_fetch_failed", file=file.name, error=_text(error))
        raise FileUnavailable(f"{file.name} could not be fetched: the gateway cannot be reached")

    async def _fetch_once(self, file: FileRef, target: Path, attempt: int) -> Path:
        digest = hashlib.sha256()
        size = 0
        url = self._url(file.url or "", file.name)
        # As it is: what comes compressed may unpack to anything.
        headers = self._bearer.headers(attempt) | {"Accept-Encoding": "identity"}
        async with self._client.stream(
            "GET", url, headers=headers, follow_redirects=False
        ) as response:
            if response.status_code >= 500:
                raise httpx2.ReadError(f"HTTP {response.status_code}")
            if response.status_code != 200:
                await response.aread()
                raise FileUnavailable(
                    f"{file.name} could not be fetched: HTTP {response.status_code} "
                    f"{_detail(response)}".rstrip()
                )
            with target.open("wb") as out:
                async for piece in response.aiter_raw(PIECE_BYTES):
                    digest.update(piece)
                    size += len(piece)
                    if size > file.size_bytes:
                        raise FileUnavailable(f"{file.name} is larger than its request says")
                    out.write(piece)
        if digest.hexdigest() != file.sha256:
            raise FileUnavailable(
                f"{file.name} arrived damaged: {size} of {file.size_bytes} bytes, other SHA-256"
            )
        return target

    async def upload(self, file: GivenFile, upload_url: str | None, attempt: int) -> FileRef:
        """Gives one output file to the gateway. Raises FileUnavailable."""
        if not upload_url:
            raise FileUnavailable(f"{file.name}: the gateway gave no address to upload to")
        guessed = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        url = self._url(upload_url, file.name)
        headers = self._bearer.headers(attempt) | {
            "Content-Type": file.media_type or guessed,
            "X-File-Name": quote(file.name),
            "Content-Length": str(_size_of(file)),
        }
        backoff = Backoff(first_s=0.2, cap_s=5.0)
        for tried in range(TRIES):
            if tried:
                await asyncio.sleep(backoff.next_s())
            try:
                response = await self._client.put(
                    url,
                    content=_pieces(Path(file.path)),
                    headers=headers,
                    follow_redirects=False,
                )
            except httpx2.TransportError as error:
                log.warning("file_upload_failed", file=file.name, error=_text(error))
                continue
            if response.status_code < 300:
                return FileRef.model_validate_json(response.content)
            if response.status_code < 500:
                raise FileUnavailable(
                    f"{file.name} was refused by the gateway: HTTP {response.status_code} "
                    f"{_detail(response)}"
                )
        raise FileUnavailable(f"{file.name} could not be uploaded: the gateway cannot be reached")

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    def _url(self, path: str, name: str) -> str:
        """The address on the gateway's origin. Raises FileUnavailable for one that leads elsewhere."""
        if not _PATH.fullmatch(path) or ".." in path.partition("?")[0].split("/"):
            raise FileUnavailable(f"{name}: its address does not lie on the gateway")
        return urljoin(self._origin, path.lstrip("/"))


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as source:
        while piece := source.read(PIECE_BYTES):
            yield piece


def _place_for(file: FileRef, directory: Path) -> Path:
    """The id keeps two files of one name apart; the name keeps its suffix, which many readers look at."""
    target = directory / file.file_id / _safe_name(file.name)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return target


def _size_of(file: GivenFile) -> int:
    return Path(file.path).stat().st_size


def _safe_name(name: str) -> str:
    """A name that stays inside its directory, whatever a client called the file."""
    kept = "".join(sign for sign in Path(name).name if sign.isprintable() and sign not in "/\\:")
    return kept.strip(". ")[-120:] or "file"


def _detail(response: httpx2.Response) -> str:
    try:
        document = response.json()
        return str(document.get("detail") or document.get("code") or "")
    except (ValueError, AttributeError):
        return ""


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
