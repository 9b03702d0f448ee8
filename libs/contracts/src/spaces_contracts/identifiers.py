"""Opaque ids: safe as one token of a NATS subject, sortable by the millisecond of making."""

import os
import re
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

# Random parts of the next ids: a system call for each id cost more than the rest of it. Taking one is atomic, so
# threads share them; a forked child would make its parent's ids.
_RANDOM_BYTES = 10
_FETCHED = 128
_random_parts: list[int] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random_parts.clear)

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
    value = (time.time_ns() // 1_000_000 << 80) | _random_part()
    return "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])


def id_at(unix_ms: int) -> str:
    """The first id of a millisecond: below all that were made then or later, above all that were made before."""
    value = min(max(unix_ms, 0), (1 << 48) - 1) << 80
    return "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])


def _random_part() -> int:
    try:
        return _random_parts.pop()
    except IndexError:
        fresh = os.urandom(_RANDOM_BYTES * _FETCHED)
        starts = range(_RANDOM_BYTES, len(fresh), _RANDOM_BYTES)
        _random_parts.extend(
            [int.from_bytes(fresh[at : at + _RANDOM_BYTES], "big") for at in starts]
        )
        return int.from_bytes(fresh[:_RANDOM_BYTES], "big")


def is_id(text: str) -> bool:
    """Whether the text is an id, and so safe as one token of a subject."""
    return _ID.fullmatch(text) is not None
