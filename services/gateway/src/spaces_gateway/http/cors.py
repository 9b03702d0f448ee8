"""Calls from pages of other origins (CORS): those on the list may read the answers of the HTTP API.

Cookies are never part of it: no answer has Access-Control-Allow-Credentials, so that a page of another origin calls
with a key that it was given, or not at all.
"""

from collections.abc import Sequence

from spaces_chassis.http import Scope
from spaces_gateway.origins import Origins

Headers = tuple[tuple[bytes, bytes], ...]

# What pages may send and read beyond what browsers allow anyway.
ALLOWED_HEADERS = "authorization, content-type, idempotency-key, last-event-id, range, x-file-name"
EXPOSED_HEADERS = (
    "accept-ranges, content-disposition, content-range, etag, location, ratelimit, ratelimit-policy, "
    "retry-after"
)
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
MAX_AGE_S = 600
_VARY = (b"vary", b"Origin")


class Cors:
    """Which headers an answer gets."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self.off = not allowed
        self._origins = Origins(allowed, public_url="")  # the own origin needs none of this
        self._any = "*" in allowed

    def headers(self, scope: Scope) -> Headers:
        """What the answer to this call says; nothing for pages that are not on the list."""
        origins = _values(scope, b"origin")
        if len(origins) != 1 or not self._origins.allow(origins[0].decode("latin-1"), ""):
            return () if self._any else (_VARY,)
        if self._any:
            return ((b"access-control-allow-origin", b"*"), *_EXPOSED)
        return ((b"access-control-allow-origin", origins[0]), _VARY, *_EXPOSED)

    def preflight(self, scope: Scope) -> Headers | None:
        """The answer to a browser that asks before it calls; None when that is none, or not from the list."""
        if scope["method"] != "OPTIONS" or not _values(scope, b"access-control-request-method"):
            return None
        headers = self.headers(scope)
        if not any(name == b"access-control-allow-origin" for name, _ in headers):
            return None
        return (*headers, *_PREFLIGHT)


_EXPOSED: Headers = ((b"access-control-expose-headers", EXPOSED_HEADERS.encode()),)
_PREFLIGHT: Headers = (
    (b"access-control-allow-methods", METHODS.encode()),
    (b"access-control-allow-headers", ALLOWED_HEADERS.encode()),
    (b"access-control-max-age", b"%d" % MAX_AGE_S),
)


def _values(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == wanted]
