"""Reads what the handlers wrote: work.py adds a line when an execution begins and one when it ends."""

import asyncio
from pathlib import Path

from tests.faults.history import Execution

_POLL_S = 0.05


class Executions:
    """Reads the file as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.begun: list[Execution] = []
        self.request_ids: set[str] = set()
        self.ended_s: dict[tuple[str, int], float] = {}

    def read(self) -> int:
        """Reads on; how many executions began so far, repeated ones too."""
        if self._path.exists():
            with self._path.open("rb") as log:
                log.seek(self._offset)
                new = log.read()
            whole = new[: new.rfind(b"\n") + 1]  # a line may be half written
            self._offset += len(whole)
            for line in whole.decode().splitlines():
                self._take(*line.split())
        return len(self.begun)

    async def follow(self, stop: asyncio.Event) -> None:
        """Reads on until it is stopped: the load is paced by what began."""
        while not stop.is_set():
            self.read()
            await asyncio.sleep(_POLL_S)

    def _take(self, what: str, request_id: str, attempt: str, moment: str) -> None:
        if what == "begun":
            self.begun.append(Execution(request_id, int(attempt), float(moment)))
            self.request_ids.add(request_id)
        else:
            self.ended_s[request_id, int(attempt)] = float(moment)
