"""Secrets on this machine: a new file each, which only its owner can read."""

import os
import re
from itertools import count
from pathlib import Path

from spaces_client.config import config_path
from spaces_client.errors import SpacesError


def token_path(space: str) -> Path:
    """A file that does not exist yet, for a token of a space of this name."""
    folder = config_path().parent / "tokens"
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", space).strip("-.") or "space"
    names = (f"{name}.token" if number == 1 else f"{name}-{number}.token" for number in count(1))
    return next(folder / name for name in names if not (folder / name).exists())


def write_secret(path: Path, secret: str) -> Path:
    """Writes a new 0600 file and returns its absolute path. An existing file is never overwritten."""
    path = path.expanduser().absolute()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
    except OSError as error:
        raise SpacesError(
            "secret_not_written",
            f"{path} cannot be written: {error.strerror or error}. The secret is lost.",
            what_to_do="Name another file, make a new credential, and revoke this one.",
        ) from error
    return path
