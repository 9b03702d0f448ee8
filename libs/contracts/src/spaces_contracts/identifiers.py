"""Opaque ids: safe as one token of a NATS subject, sortable by the millisecond of making."""

import re
import secrets
import time
from typing import Annotated

from pydantic import StringConstraints

ID_PATTERN = r"^[0-9a-z]{20,32}$"
_ID = re.compile(ID_PATTERN)

# Crockford's base 32 (https://www.crockford.com/base32.html) in lower case: its order is the order
# of the values.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_SHIFTS = tuple(range(120, -1, -10))

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
TenantId = Id
PrincipalId = Id
SpaceId = Id
RequestId = Id
ConnectionId = Id
GatewayId = Id
FileId = Id

# A space's or tenant's name: what people type after --space. A slash separates tenant from space.
_EDGE = r"[^\s/\x00-\x1f\x7f]"
NAME_PATTERN = rf"^{_EDGE}[^/\x00-\x1f\x7f]{{0,62}}{_EDGE}$|^{_EDGE}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


def new_id() -> str:
    """A fresh id of 26 characters: 48 bits of milliseconds, 80 random bits (the ULID layout)."""
    value = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])


def is_id(text: str) -> bool:
    """Whether the text is an id, and so safe as one token of a subject."""
    return _ID.fullmatch(text) is not None
