"""The format of secrets: a prefix that names the kind, 32 random bytes in base 62, a checksum.

`spk_` is an API key, `spw_` a worker token, `spa_` an admin key, `sps_` what a signed-in browser keeps, `spj_` a join
token, which is good for one exchange and for nothing else. The checksum
(CRC-32 of what stands before it, six base-62 digits) lets a secret scanner and a person tell a typing error from a
revoked key; it protects nothing. The registry stores only SHA-256 of the whole text.
"""

import hashlib
import secrets
import zlib

from spaces_contracts.access import PrincipalKind

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX_LENGTH = 4
_BODY_LENGTH = 43  # 62 ** 43 > 2 ** 256
_CHECKSUM_LENGTH = 6  # 62 ** 6 > 2 ** 32
_SHOWN_LENGTH = 10

PREFIXES: dict[PrincipalKind, str] = {
    PrincipalKind.API_KEY: "spk_",
    PrincipalKind.WORKER_TOKEN: "spw_",
    PrincipalKind.ADMIN: "spa_",
    PrincipalKind.USER: "sps_",
}
JOIN_PREFIX = "spj_"


def new_key(kind: PrincipalKind) -> str:
    """A fresh secret of 256 random bits."""
    return _made(PREFIXES[kind])


def new_join_token() -> str:
    """The same for a machine that is to join: it is no credential."""
    return _made(JOIN_PREFIX)


def kind_of(key: str) -> PrincipalKind | None:
    """The kind that a well-formed key says it is; None when it is mistyped or no key of ours."""
    kinds = [kind for kind, prefix in PREFIXES.items() if key.startswith(prefix)]
    return kinds[0] if kinds and _is_whole(key) else None


def is_join_token(key: str) -> bool:
    """Whether this is a join token, and not mistyped."""
    return key.startswith(JOIN_PREFIX) and _is_whole(key)


def _made(prefix: str) -> str:
    text = prefix + _base62(int.from_bytes(secrets.token_bytes(32), "big"), _BODY_LENGTH)
    return text + _checksum(text)


def _is_whole(key: str) -> bool:
    body, checksum = key[:-_CHECKSUM_LENGTH], key[-_CHECKSUM_LENGTH:]
    digits = body[_PREFIX_LENGTH:]
    if len(digits) != _BODY_LENGTH or not set(digits) <= set(_DIGITS):
        return False
    return checksum == _checksum(body)


def shown_prefix(key: str) -> str:
    """The first characters, which may be stored and listed so that people can tell keys apart."""
    return key[:_SHOWN_LENGTH]


def sha256_of(key: str) -> str:
    """What is stored and sent instead of the key, in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECKSUM_LENGTH)


def _base62(value: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
