"""Where an outgoing call may lead: judged by its address as it is written, and by the address it resolves to. Pure.

Two kinds of target: one that a stranger names (a webhook, an address in a prompt) may only lead to the public
internet; one that the operator of the host named may lead to that host and its network too, but never to where clouds
hand out credentials.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Reach(StrEnum):
    """Who named the target, and so how far it may lead."""

    STRANGER = "stranger"
    OPERATOR = "operator"


class DestinationRefused(Exception):
    """A target that may not be called; the text says why, without what it resolved to."""


@dataclass(frozen=True)
class Destination:
    """A target whose address is well formed. Where it resolves to is still to be checked, at each connect."""

    scheme: str
    host: str
    port: int


_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?=.{1,253}\.?$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.?)+", re.ASCII)
# Readers of addresses differ on these, and so on where they lead.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\^`{|}<>\"]")
# A last part that is a number makes a host an IPv4 address to most readers, in many spellings.
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.ASCII)

# Where machines get credentials; some of these count as public or private networks.
_METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32", "168.63.129.16/32",
        "192.0.0.192/32", "fd20:ce::/32",
    )
)  # fmt: skip
# Not told apart from public ones by every release of Python.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "64:ff9b:1::/48", "100::/64", "2001::/23",
        "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7", "fec0::/10",
    )
)  # fmt: skip
# IPv6 that leads to the IPv4 address in its bits: how far these stand from the right.
_EMBEDDED = (
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)


def read_destination(url: str, reach: Reach = Reach.STRANGER) -> Destination:
    """The target of an http or https address. Raises DestinationRefused."""
    if _AMBIGUOUS.search(url):
        raise DestinationRefused("the address has characters that no address has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise DestinationRefused("the address cannot be read") from None
    if parts.scheme not in _PORTS:
        raise DestinationRefused("only http and https are called")
    if "@" in parts.netloc:
        raise DestinationRefused("the address names a user")
    host = (parts.hostname or "").lower()
    if port == 0 or parts.netloc.endswith(":"):
        raise DestinationRefused("the port is none")
    if "[" in parts.netloc:
        check_address(host, reach)
    else:
        check_host(host, reach)
    return Destination(parts.scheme, host, port or _PORTS[parts.scheme])


def check_host(host: str, reach: Reach) -> None:
    """Refuses a host that is an address out of reach, or spelled so that readers differ. Raises DestinationRefused."""
    if not _NAME.fullmatch(host):
        raise DestinationRefused("the host is not one")
    last = host.rstrip(".").rpartition(".")[2]
    if not _NUMBER.fullmatch(last):
        if reach is Reach.STRANGER and "." not in host.rstrip("."):
            raise DestinationRefused("the host is a name of a local network")
        return
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise DestinationRefused(
            "the host is a number that readers take for other addresses"
        ) from None
    check_address(host, reach)


def check_address(text: str, reach: Reach) -> None:
    """Refuses an IP address that is out of reach. Raises DestinationRefused."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise DestinationRefused("the host is not one") from None
    inner = _embedded(address)
    for one in (address,) if inner is None else (inner,):
        if _is_in(one, _METADATA) or one.is_link_local:
            raise DestinationRefused(
                "the target is the link-local network, where clouds keep credentials"
            )
        if one.is_multicast or one == _BROADCAST:
            raise DestinationRefused("the target is no single host")
        if reach is Reach.STRANGER and not _is_public(one):
            raise DestinationRefused("the target is not on the public internet")


_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


def _is_public(address: Address) -> bool:
    return (
        address.is_global
        and not address.is_private
        and not address.is_reserved
        and not address.is_loopback
        and not address.is_unspecified
        and not _is_in(address, _NOT_PUBLIC)
    )


def _is_in(
    address: Address, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    if not isinstance(address, ipaddress.IPv6Address) or address in (_ANY, _LOOPBACK):
        return None
    for network, shift in _EMBEDDED:
        if address in network:
            return ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return None


_ANY, _LOOPBACK = ipaddress.IPv6Address("::"), ipaddress.IPv6Address("::1")
