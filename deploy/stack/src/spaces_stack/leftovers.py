"""What a stack left behind: processes that carry its mark, ports that still answer."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from spaces_stack.ports import accepts

# Every program of a stack inherits this variable, and so does everything that it starts.
MARK = "SPACES_STACK_ID"
# A signal is sent at once, and its effect seen a little later.
_END_WITHIN_S = 2.0
_POLL_S = 0.02


def leftovers(mark: str, homes: Iterable[Path], ports: Iterable[int]) -> list[str]:
    """One line for each process and port that should be gone, after a moment for what is just ending."""
    until = time.monotonic() + _END_WITHIN_S
    homes, ports = list(homes), list(ports)
    while (left := _look(mark, homes, ports)) and time.monotonic() < until:
        time.sleep(_POLL_S)
    return left


def _look(mark: str, homes: list[Path], ports: list[int]) -> list[str]:
    left = [f"process {pid}: {_command(pid)}" for pid in marked_processes(mark, homes)]
    return left + [f"port {port} still answers" for port in ports if accepts(port)]


def marked_processes(mark: str, homes: Sequence[Path] = ()) -> list[int]:
    """Every process that carries the mark or works in one of the folders."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (_carries(entry, mark) or _works_in(entry, homes)):
            found.append(int(entry.name))
    return found


def _carries(process: Path, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # ended meanwhile, or somebody else's


def _works_in(process: Path, homes: Sequence[Path]) -> bool:
    # PostgreSQL's own processes overwrite their environment; they work in its data folder.
    try:
        folder = (process / "cwd").readlink()
    except OSError:
        return False
    return any(folder.is_relative_to(home) for home in homes)


def _command(pid: int) -> str:
    try:
        return (
            (Path("/proc") / str(pid) / "cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode()
            .strip()
        )
    except OSError:
        return "(ended)"
