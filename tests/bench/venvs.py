"""The peers' virtual environments: made from pins, once."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).with_name("peers")
VENVS = Path(__file__).parents[2] / "build" / "bench" / "venvs"
OWN = "limits"  # the bare limits run with the product's own versions


def venv(name: str) -> Path:
    """Where a peer's environment is, or would be."""
    return Path(sys.prefix) if name == OWN else VENVS / name


def ready(name: str) -> bool:
    """Whether it is there, with the versions that are pinned now."""
    return name == OWN or (_stamp(name).exists() and _stamp(name).read_text() == _pins_hash(name))


def make(name: str) -> None:
    """Makes it if it is not there. Raises CalledProcessError."""
    if ready(name):
        return
    print(f"installing {name} into {VENVS.parent.name}/{VENVS.name}/{name}", flush=True)
    uv = str(Path(sys.executable).with_name("uv"))
    shutil.rmtree(venv(name), ignore_errors=True)
    python = venv(name) / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, venv(name)], check=True)
    pins = str(PEERS / name / "requirements.txt")
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python), "-r", pins]
    subprocess.run(install, check=True)
    _stamp(name).write_text(_pins_hash(name))


def _stamp(name: str) -> Path:
    return VENVS / name / ".pins"


def _pins_hash(name: str) -> str:
    return hashlib.sha256((PEERS / name / "requirements.txt").read_bytes()).hexdigest()
