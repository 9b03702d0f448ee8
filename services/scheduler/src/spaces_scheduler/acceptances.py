"""Noting that workers took jobs, in the background: most short jobs have finished before it is written."""

import asyncio
from contextlib import suppress

import structlog

from spaces_chassis.errors import DatabaseUnavailable
from spaces_contracts.requests import JobAnswer
from spaces_scheduler.result_store import ResultStore

log = structlog.get_logger(__name__)

# Well below the age at which the repair loop takes a job for lost.
WRITE_AFTER_S = 0.5


class Acceptances:
    """A Part. Nothing runs while nothing is to be noted."""

    name = "acceptances"

    def __init__(self, store: ResultStore, write_after_s: float = WRITE_AFTER_S) -> None:
        self._store = store
        self._write_after_s = write_after_s
        self._waiting: dict[tuple[str, int], JobAnswer] = {}
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def accepted(self, answer: JobAnswer) -> None:
        """Returns at once."""
        self._waiting[answer.request_id, answer.attempt] = answer
        self._some.set()

    def finished(self, request_id: str, attempt: int) -> None:
        """Nothing to note any more."""
        self._waiting.pop((request_id, attempt), None)

    async def write(self) -> int:
        """Notes what waits, in one transaction; how many were still unnoted."""
        answers = list(self._waiting.values())[:1000]
        for answer in answers:
            del self._waiting[answer.request_id, answer.attempt]
        return await self._store.accept(answers) if answers else 0

    async def start(self) -> None:
        """Begins to write."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self.name)

    async def drain(self) -> None:
        """Notes what waits."""
        with suppress(DatabaseUnavailable):
            while self._waiting:
                await self.write()

    async def stop(self) -> None:
        """What is not noted is asked for again by the repair loop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def healthy(self) -> bool:
        """Whether it still writes."""
        return self._task is not None and not self._task.done()

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(self._write_after_s)
            self._some.clear()
            try:
                while self._waiting:
                    await self.write()
            except DatabaseUnavailable:
                continue
            except Exception:  # the repair loop asks the workers again
                log.exception("acceptances_not_written")
