"""What the handlers did: they add a line per execution, and the campaign paces itself by it."""

from pathlib import Path


class Executions:
    """Reads the file that tests/support/handlers/echo.py writes, as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.request_ids: set[str] = set()
        self.count = 0

    def read(self) -> int:
        """How many executions began so far, repeated ones too."""
        if self._path.exists():
            with self._path.open("rb") as log:
                log.seek(self._offset)
                new = log.read()
            whole = new[: new.rfind(b"\n") + 1]  # a line may be half written
            self._offset += len(whole)
            lines = whole.decode().splitlines()
            self.count += len(lines)
            self.request_ids.update(line.split()[0] for line in lines)
        return self.count
