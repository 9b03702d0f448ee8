"""What a stack left behind: processes that carry its mark, ports that still answer."""

from collections.abc import Iterable
from pathlib import Path

from spaces_stack.ports import accepts

# Every program of a stack inherits this variable, and so does everything that it starts.
MARK = "SPACES_STACK_ID"


def leftovers(mark: str, homes: Iterable[Path], ports: Iterable[int]) -> list[str]:
    """One line for each process and port that should be gone."""
    left = [f"process {pid}: {_command(pid)}" for pid in _processes(mark, list(homes))]
    return left + [f"port {port} still answers" for port in ports if accepts(port)]


def _processes(mark: str, homes: list[Path]) -> list[int]:
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


def _works_in(process: Path, homes: list[Path]) -> bool:
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
