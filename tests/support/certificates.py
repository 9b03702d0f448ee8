"""Certificates for tests, made by openssl."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Pair(NamedTuple):
    """A certificate that signs itself, and its key."""

    chain: Path
    key: Path


def make_certificate(folder: Path, name: str = "server", *, password: str | None = None) -> Pair:
    """For localhost and 127.0.0.1, good for two days."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    pair = Pair(folder / f"{name}.pem", folder / f"{name}-key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(("-nodes",) if password is None else ("-passout", f"pass:{password}")),
            *("-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(pair.key), "-out", str(pair.chain)),
        ],
        check=True,
        capture_output=True,
    )
    return pair
