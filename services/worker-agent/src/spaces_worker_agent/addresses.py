"""Addresses people type, and the proxy between here and there. Pure but for the environment it is given."""

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

WORKER_PATH = "/ws/worker"
_TO_SOCKET = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_TO_HTTP = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class AddressError(ValueError):
    """An address that cannot be meant; the text says what to write."""


def socket_url(gateway: str) -> str:
    """The worker socket of a gateway: http(s) or ws(s), with or without a path."""
    scheme, host, path = _split(gateway)
    if not path.endswith(WORKER_PATH):
        path += WORKER_PATH
    return urlunsplit((_TO_SOCKET[scheme], host, path, "", ""))


def origin_url(gateway: str) -> str:
    """Where the gateway's HTTP interface is; a prefix that a reverse proxy added is kept."""
    scheme, host, path = _split(gateway)
    return urlunsplit((_TO_HTTP[scheme], host, path.removesuffix(WORKER_PATH), "", ""))


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY (either case)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _bypassed(host, parts.port, _read(environ, "no_proxy") or ""):
        return None
    name = "https_proxy" if parts.scheme in ("https", "wss") else "http_proxy"
    proxy = _read(environ, name) or _read(environ, "all_proxy")
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    return proxy


def without_password(url: str) -> str:
    """The address with its credentials hidden, for logs."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]))


def _split(gateway: str) -> tuple[str, str, str]:
    text = gateway.strip()
    if "://" not in text:
        raise AddressError(f"{gateway!r} has no scheme; write https://{text or 'gateway.example'}")
    parts = urlsplit(text)
    if parts.scheme not in _TO_SOCKET:
        raise AddressError(f"{gateway!r}: the scheme is one of https, http, wss, ws")
    if not parts.hostname:
        raise AddressError(f"{gateway!r} has no host")
    if "@" in parts.netloc:
        raise AddressError("The gateway's address holds no credentials; use --token-file.")
    try:
        _ = parts.port
    except ValueError:
        raise AddressError(f"{gateway!r}: the port is a number up to 65535") from None
    return parts.scheme, parts.netloc, parts.path.rstrip("/")


def _read(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name) or environ.get(name.upper()) or None


def _bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    for entry in (part.strip().lower() for part in no_proxy.split(",")):
        if not entry:
            continue
        if entry == "*" or entry in (host, f"{host}:{port}"):
            return True
        suffix = entry.removeprefix("*").lstrip(".")
        if suffix and host.endswith("." + suffix):
            return True
    return False
