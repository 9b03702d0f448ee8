"""Where a gateway is and how to reach it: addresses, credential, TLS, timeouts."""

import ssl
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx2

from spaces_client.errors import ConfigError

_TO_HTTP = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


@dataclass(frozen=True)
class Endpoint:
    """One gateway as seen from here. `url` may be http(s):// or ws(s)://, with a path if it lies below one."""

    url: str
    api_key: str = field(default="", repr=False)
    ca_file: Path | None = None
    timeout_s: float = 30.0

    @cached_property
    def http_url(self) -> str:
        """The address of the HTTP API, without a slash at the end. Raises ConfigError."""
        parts = urlsplit(self.url.strip())
        if parts.scheme not in _TO_HTTP or not parts.hostname:
            raise ConfigError(
                "url_invalid",
                f"{self.url!r} is not the address of a gateway.",
                what_to_do="Write it like https://spaces.example.com.",
            )
        path = parts.path.rstrip("/").removesuffix("/ws")
        return urlunsplit((_TO_HTTP[parts.scheme], parts.netloc, path, "", ""))

    @property
    def socket_url(self) -> str:
        """The address of the client socket."""
        return "ws" + self.http_url.removeprefix("http") + "/ws"

    @cached_property
    def tls(self) -> ssl.SSLContext | None:
        """How to check the gateway's certificate; None without TLS. Raises ConfigError."""
        if not self.http_url.startswith("https:"):
            return None
        context = httpx2.create_ssl_context()
        if self.ca_file is not None:
            try:
                context.load_verify_locations(cafile=str(self.ca_file))
            except OSError as error:
                raise ConfigError(
                    "ca_file_invalid",
                    f"{self.ca_file} cannot be used: {error.strerror or error}.",
                    what_to_do="Give a file with certificates in PEM form.",
                ) from error
        return context
