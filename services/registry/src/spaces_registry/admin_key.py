"""The first admin key: made once, written to a file before its hash is stored, and never logged."""

from functools import partial
from pathlib import Path

import structlog

from spaces_contracts.access import PrincipalKind
from spaces_contracts.keys import kind_of, new_key, sha256_of, shown_prefix
from spaces_registry.access_store import AccessStore, NewAdmin
from spaces_registry.secret_file import write_secret

log = structlog.get_logger(__name__)


class AdminKeyError(Exception):
    """The file cannot hold, or does not hold, an admin key; the text says which."""


class AdminKey:
    """Makes sure that somebody can do the first thing. A Part: it works once, at start."""

    name = "admin_key"

    def __init__(self, access: AccessStore, path: Path | None) -> None:
        self._access = access
        self._path = path

    async def start(self) -> None:
        """Does nothing when an admin exists. Raises AdminKeyError when the file cannot be used."""
        if self._path is None:
            log.info("no_admin_key_file", advice="set SPACES_REGISTRY_ADMIN_KEY_FILE")
        elif await self._access.add_first_admin(partial(self._key, self._path)):
            log.info("admin_key_made", file=str(self._path))

    def _key(self, path: Path, revoked: frozenset[str]) -> NewAdmin:
        return new_admin(read_or_make(path, revoked), "first admin")

    async def drain(self) -> None:
        """Nothing is in flight."""

    async def stop(self) -> None:
        """Nothing is held."""

    def healthy(self) -> bool:
        """A start that failed ended the process."""
        return True


def read_or_make(path: Path, revoked: frozenset[str] = frozenset()) -> str:
    """The key in the file, or a fresh one that is written to it first.

    A process that dies between the file and the commit leaves a file, whose key the next start stores.
    """
    try:
        key = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        key = ""
    except OSError as error:
        raise AdminKeyError(f"cannot read {path}: {error.strerror}") from None
    if key and kind_of(key) is not PrincipalKind.ADMIN:
        raise AdminKeyError(f"{path} holds something that is not an admin key; move it away")
    if key and sha256_of(key) not in revoked:
        return key
    key = new_key(PrincipalKind.ADMIN)
    try:
        write_secret(path, key)
    except OSError as error:
        raise AdminKeyError(f"cannot write {path}: {error.strerror}") from None
    return key


def new_admin(key: str, name: str) -> NewAdmin:
    """What is stored of an admin key."""
    return NewAdmin(name=name, secret_sha256=sha256_of(key), prefix=shown_prefix(key))
