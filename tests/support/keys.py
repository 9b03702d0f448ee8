"""Keys with names: well-formed, and the same at every call, so that a test can say whose key it means."""

import hashlib

from spaces_contracts import keys
from spaces_contracts.access import PrincipalKind


def key_called(name: str, kind: PrincipalKind = PrincipalKind.API_KEY) -> str:
    """A well-formed key of this kind."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
    text = keys.PREFIXES[kind] + keys._base62(number, 43)
    return text + keys._checksum(text)


def bearer(name: str, kind: PrincipalKind = PrincipalKind.API_KEY) -> dict[str, str]:
    """The header for it."""
    return {"authorization": f"Bearer {key_called(name, kind)}"}
