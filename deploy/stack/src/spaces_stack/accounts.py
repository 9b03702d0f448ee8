"""The unprivileged account that PostgreSQL runs under when the stack runs as root (it refuses to be root)."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

# initdb looks its user up by number, so the account must exist; these two do on every system we know.
_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user to become."""

    name: str
    uid: int
    gid: int


class NoAccountError(Exception):
    """There is no account to drop to."""


def unprivileged() -> Account | None:
    """The account to drop to; None when we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise NoAccountError(
        f"PostgreSQL refuses to run as root and none of the users {', '.join(_CANDIDATES)} exists; "
        "add one of them or run as an ordinary user"
    )


def can_enter(account: Account, directory: Path) -> bool:
    """Whether the account may go through every folder on the way to this one and into it."""
    directory = directory.resolve()
    return all(_may_search(account, step) for step in (directory, *directory.parents))


def _may_search(account: Account, directory: Path) -> bool:
    status = directory.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == account.gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)
