"""What a process wrote while it was fed bad frames: no traceback, no error, and little of it."""

from pathlib import Path

# A bad frame may cost this much of a log, on average.
MOST_BYTES = 200


class LogCheck:
    """A log from where it stands now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.restart()

    def restart(self) -> None:
        """What was written so far is of no interest."""
        self._offset = self._path.stat().st_size if self._path.exists() else 0

    def text(self) -> str:
        """What was written since."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            return log.read().decode(errors="replace")

    def problems(self) -> list[str]:
        """Lines with a traceback, or of level error."""
        marks = ("Traceback", '"level": "error"', '"level": "critical"')
        return [line for line in self.text().splitlines() if any(mark in line for mark in marks)]

    def bytes_each(self, frames: int) -> float:
        """Bytes of log for each bad frame."""
        return len(self.text().encode()) / frames
