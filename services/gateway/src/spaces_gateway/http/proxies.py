"""Where a call came from and by which address, seen through the proxies that are trusted to say so."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from spaces_chassis.http import Scope

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# A host as browsers write it; what else stands in the header is not repeated to anybody.
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


class Proxies:
    """`trusted` are the networks of proxies whose X-Forwarded headers count; `public_url` is who clients call."""

    def __init__(self, trusted: Sequence[Network], public_url: str | None = None) -> None:
        self._trusted = tuple(trusted)
        self._public = public_url

    def address(self, scope: Scope) -> str:
        """The client's address: the last hop that is no trusted proxy. Empty when it is not known."""
        hop = _peer(scope)
        if hop is None:
            return ""
        hops = _values(scope, b"x-forwarded-for")
        while hops and self._trusts(hop):
            before = _address(hops.pop())
            if before is None:
                break
            hop = before
        return str(hop)

    def is_tls(self, scope: Scope) -> bool:
        """Whether the client's own connection was encrypted."""
        if self._public is not None and self._public.startswith("https:"):
            return True
        peer = _peer(scope)
        if peer is not None and self._trusts(peer):
            said = _values(scope, b"x-forwarded-proto")
            if said:
                return said[-1].lower() in ("https", "wss")
        return scope.get("scheme") in ("https", "wss")

    def host(self, scope: Scope) -> str:
        """The host (and port) that the client called. Empty when that is not known."""
        said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        host = said[0] if len(said) == 1 else ""
        return host.lower() if _HOST.fullmatch(host) else ""

    def origin(self, scope: Scope) -> str:
        """How the client reaches this gateway, such as https://spaces.example."""
        if self._public is not None:
            return self._public
        scheme = "https" if self.is_tls(scope) else "http"
        return f"{scheme}://{self.host(scope) or 'localhost'}"

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _peer(scope: Scope) -> Address | None:
    client = scope.get("client")
    return _address(client[0]) if client else None


def _address(text: str) -> Address | None:
    """An address, with or without its port."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _values(scope: Scope, header: bytes) -> list[str]:
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == header]
    return [part.strip() for part in ",".join(lines).split(",") if part.strip()]
