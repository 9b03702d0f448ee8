"""Whose pages may call: origins as browsers send them. Pure.

An origin is compared as a whole, scheme and port too, and never by its beginning or end: `https://spaces.example`
does not let in `https://spaces.example.evil.test`.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Browsers send hosts in lower-case ASCII (names beyond that as punycode), IPv6 in brackets.
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\]", re.ASCII)
_ORIGIN = re.compile(r"(https?)://([^/?#@\\\s]+)", re.ASCII)


class NotAnOrigin(ValueError):
    """A text that is not the origin of a web page."""


def read_origin(text: str) -> str:
    """An origin as browsers write it: lower case, without the scheme's own port. Raises NotAnOrigin."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        raise NotAnOrigin("write https://host or https://host:port, and nothing after it")
    scheme, place = match.groups()
    host, port = _host_and_port(place)
    return f"{scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}")


class Origins:
    """Which origins are the gateway's own or on a list."""

    def __init__(
        self, allowed: Sequence[str], *, public_url: str | None = None, tls: bool = False
    ) -> None:
        """`public_url`: the only own origin. Without it the Host that a call names is, with https if `tls`."""
        self._any = "*" in allowed
        self._listed = frozenset(allowed)
        self._own = public_url
        self._schemes = ("https",) if tls else ("http", "https")

    def allow(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may call a gateway by this Host."""
        if self._any:
            return True
        try:
            # Browsers write origins in one way only; what is spelled otherwise comes from no page.
            if read_origin(origin) != origin:
                return False
        except NotAnOrigin:
            return False
        return origin in self._listed or self._is_own(origin, host)

    def _is_own(self, origin: str, host: str) -> bool:
        if self._own is not None:
            return origin == self._own
        for scheme in self._schemes:
            try:
                if origin == read_origin(f"{scheme}://{host}"):
                    return True
            except NotAnOrigin:
                return False
        return False


def _host_and_port(place: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit("//" + place)
        port = parts.port
    except ValueError:
        raise NotAnOrigin("the host or port cannot be read") from None
    host = place.removesuffix(f":{port}") if port is not None else place
    if not _HOST.fullmatch(host):
        raise NotAnOrigin("the host is not one")
    return host, port
