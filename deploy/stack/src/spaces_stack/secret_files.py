"""Secrets as 0600 files: made once, read by name."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


class SecretFiles:
    """A 0700 folder of one-line secrets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Where a secret is, made or not."""
        return self._folder / name

    def get(self, name: str, make: Callable[[], str] | None = None) -> str:
        """The secret; made at the first call and kept."""
        path = self.path(name)
        if not path.exists():
            write_secret(path, (make or new_password)())
        return path.read_text().strip()


def new_password() -> str:
    """160 random bits. Begins with a letter: nats-server reads `123` from its environment as a number."""
    return "p" + secrets.token_hex(20)


def write_secret(path: Path, value: str) -> None:
    """Writes a 0600 file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(value + "\n")
    temporary.replace(path)
