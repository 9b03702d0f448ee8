"""Secrets that the gateway makes: a prefix that names the kind, 32 random bytes in base 62, a checksum.

The registry's README describes the format; its keys have the same one.
"""

import secrets
import zlib

from spaces_contracts.access import PrincipalKind

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIXES = {PrincipalKind.API_KEY: "spk_", PrincipalKind.WORKER_TOKEN: "spw_"}
_BODY = 43
_CHECKSUM = 6
_SHOWN = 10


def new_key(kind: PrincipalKind) -> str:
    """A fresh secret of 256 random bits."""
    return with_checksum(_PREFIXES[kind] + base62(secrets.randbits(256), _BODY))


def shown_prefix(key: str) -> str:
    """The first characters, which are stored and listed so that people can tell keys apart."""
    return key[:_SHOWN]


def with_checksum(text: str) -> str:
    """The text and six digits that tell a typing error."""
    return text + base62(zlib.crc32(text.encode()), _CHECKSUM)


def base62(value: int, length: int) -> str:
    """A number in that many digits, most significant first."""
    digits = ""
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits = _DIGITS[digit] + digits
    return digits
