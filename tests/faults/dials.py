"""Files that preloaded C code reads: the wall clock's offset of a process, the slowness of a disk."""

import shutil
import struct
import subprocess
from pathlib import Path

SHIMS = Path(__file__).parent / "shims"
_NS = 1_000_000_000


def no_compiler() -> str | None:
    """Why the shims cannot be built here; None when they can."""
    return None if shutil.which("cc") else "no C compiler (cc) for the preloaded shims"


class Dials:
    """The built shims and their dials in one folder that PostgreSQL's account can read."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        self._folder = folder
        self._clocks: dict[str, Path] = {}
        self._disk = folder / "disk"
        self._turn(self._disk, struct.pack("=qqq", 0, 0, 0))
        for name in ("clock_offset", "slow_disk"):
            subprocess.run(
                [
                    *("cc", "-O2", "-shared", "-fPIC", "-o", str(folder / f"{name}.so")),
                    *(str(SHIMS / f"{name}.c"), "-ldl"),
                ],
                check=True,
                capture_output=True,
            )
            (folder / f"{name}.so").chmod(0o755)

    @property
    def clocks(self) -> list[str]:
        """Whose clocks can be stepped."""
        return sorted(self._clocks)

    def environ(self, process: str, *, disk: bool = False) -> dict[str, str]:
        """The variables that put a process under its own clock, and under the slow disk if asked."""
        dial = self._folder / f"clock-{process}"
        self._clocks[process] = dial
        self._turn(dial, struct.pack("=q", 0))
        names = ["clock_offset", "slow_disk"] if disk else ["clock_offset"]
        return {
            "LD_PRELOAD": " ".join(str(self._folder / f"{name}.so") for name in names),
            "FAULT_CLOCK_FILE": str(dial),
            "FAULT_DISK_FILE": str(self._disk),
        }

    def step_clock(self, process: str, seconds: float) -> None:
        """Sets the wall clock of a process to so much after the real one."""
        self._turn(self._clocks[process], struct.pack("=q", int(seconds * _NS)))

    def slow_disk(self, shortest_s: float, longest_s: float, seed: int) -> None:
        """Each fsync of PostgreSQL sleeps a time between these two; 0 and 0 end it."""
        self._turn(
            self._disk, struct.pack("=qqq", int(shortest_s * _NS), int(longest_s * _NS), seed)
        )

    @staticmethod
    def _turn(dial: Path, value: bytes) -> None:
        # In place: who mapped the file must see it.
        with dial.open("r+b" if dial.exists() else "wb") as file:
            file.write(value)
        dial.chmod(0o644)
