"""The first admin user: made once, with a password that is written to a file before its hash is stored."""

import secrets
from pathlib import Path

import structlog

from spaces_chassis.database import Database
from spaces_contracts.access import Role
from spaces_contracts.users import MIN_PASSWORD, password_digest
from spaces_registry.passwords import Passwords
from spaces_registry.person_store import NewPerson, PersonStore
from spaces_registry.secret_file import write_secret

log = structlog.get_logger(__name__)


class AdminPasswordError(Exception):
    """The file cannot hold, or does not hold, a password; the text says which."""


class AdminPassword:
    """Makes sure that somebody can sign in. A Part: it works once, at start."""

    name = "admin_password"

    def __init__(
        self,
        database: Database,
        people: PersonStore,
        passwords: Passwords,
        path: Path | None,
        email: str,
    ) -> None:
        self._database = database
        self._people = people
        self._passwords = passwords
        self._path = path
        self._email = email

    async def start(self) -> None:
        """Does nothing when an admin user exists. Raises AdminPasswordError when the file cannot be used."""
        if self._path is None:
            log.info("no_admin_password_file", advice="set SPACES_REGISTRY_ADMIN_PASSWORD_FILE")
            return
        async with self._database.transaction() as tx:
            if await self._people.has_admin(tx):
                return
            stored = await self._passwords.hash(password_digest(read_or_make(self._path)))
            admin = NewPerson(self._email.lower(), "", stored, Role.ADMIN, None)
            if await self._people.add(tx, admin) is None:
                raise AdminPasswordError(
                    f"{self._email} is in use by somebody who is no admin: set SPACES_REGISTRY_ADMIN_EMAIL"
                )
        log.info("admin_user_made", email=self._email, file=str(self._path))

    async def drain(self) -> None:
        """Nothing is in flight."""

    async def stop(self) -> None:
        """Nothing is held."""

    def healthy(self) -> bool:
        """A start that failed ended the process."""
        return True


def read_or_make(path: Path) -> str:
    """The password in the file, or a fresh one that is written to it first. Raises AdminPasswordError."""
    try:
        password = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if not password:
            password = secrets.token_urlsafe(18)
            write_secret(path, password)
    except OSError as error:
        raise AdminPasswordError(f"cannot use {path}: {error.strerror}") from None
    if len(password) < MIN_PASSWORD:
        raise AdminPasswordError(f"{path} holds less than {MIN_PASSWORD} characters")
    return password
