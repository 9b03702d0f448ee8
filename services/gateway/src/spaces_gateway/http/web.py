"""The web application as it was built: served from memory, and its page at every address that is no API's."""

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from spaces_gateway.http.protection import application_headers

# Where the build puts it: services/gateway/web/vite.config.ts.
BUILT = Path(__file__).parents[1] / "web"
_INDEX = "/index.html"
_FOREVER = "public, max-age=31536000, immutable"
# What comes first is taken where both are accepted.
_ENCODINGS = {"br": ".br", "gzip": ".gz"}
# Addresses of the API: one that is not there is a problem document, whoever asks.
_API = ("/api/", "/auth/", "/files/", "/websockets/", "/ws/", "/.well-known/", "/docs/", "/health/")


@dataclass(frozen=True)
class WebFile:
    """One file of the application."""

    content: bytes
    media_type: str
    etag: str
    cache_control: str
    encoded: Mapping[str, bytes] = field(default_factory=dict)


class WebApplication:
    """All files by their path. Empty when nobody built it."""

    def __init__(self, folder: Path = BUILT) -> None:
        self._files = _read(folder)

    @property
    def built(self) -> bool:
        """Whether there is a page to show."""
        return _INDEX in self._files

    def page(self, headers: Headers) -> Response:
        """The application; what it shows depends on the address in the browser."""
        return _answer(self._files[_INDEX], headers, application_headers())

    def find(self, scope: Scope) -> Response | None:
        """What a browser gets at an address that no operation has; None when there is nothing for it."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return None
        headers = Headers(scope=scope)
        path: str = scope["path"]
        file = self._files.get(path)
        if file is not None and path != _INDEX:
            return _answer(file, headers, {})
        is_page = "text/html" in headers.get("accept", "") and not path.startswith(_API)
        if self.built and is_page and not path.startswith("/assets/"):
            return self.page(headers)
        return None


class WithWeb:
    """Stands where the router ends: the application's files and pages first, then what was there."""

    def __init__(self, web: WebApplication, otherwise: ASGIApp) -> None:
        self._web = web
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request that no operation took."""
        answer = self._web.find(scope)
        if answer is None:
            await self._otherwise(scope, receive, send)
            return
        scope["route"] = "web"
        await answer(scope, receive, send)


def _answer(file: WebFile, headers: Headers, more: Mapping[str, str]) -> Response:
    found = {"etag": file.etag, "cache-control": file.cache_control, **more}
    if file.encoded:
        found["vary"] = "Accept-Encoding"
    if headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=found)
    accepted = {
        part.split(";")[0].strip() for part in headers.get("accept-encoding", "").split(",")
    }
    for encoding, content in file.encoded.items():
        if encoding in accepted:
            found["content-encoding"] = encoding
            return Response(content, headers=found, media_type=file.media_type)
    return Response(file.content, headers=found, media_type=file.media_type)


def _read(folder: Path) -> dict[str, WebFile]:
    if not (folder / "index.html").is_file():
        return {}
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in _ENCODINGS.values() or name.startswith(".") or not path.is_file():
            continue
        content = path.read_bytes()
        found[f"/{name}"] = WebFile(
            content=content,
            media_type=_media_type(path),
            etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            # A name in assets/ holds a digest of its content.
            cache_control=_FOREVER if name.startswith("assets/") else "no-cache",
            encoded={
                encoding: packed.read_bytes()
                for encoding, suffix in _ENCODINGS.items()
                if (packed := path.with_name(path.name + suffix)).is_file()
            },
        )
    return found


def _media_type(path: Path) -> str:
    # Systems differ in what they call these two.
    known = {".js": "text/javascript", ".svg": "image/svg+xml"}
    guessed = known.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return guessed or "application/octet-stream"
