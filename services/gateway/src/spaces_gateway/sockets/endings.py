"""Tells the registry which connections ended, until it has heard it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from spaces_chassis.bus import Bus
from spaces_chassis.clock import Clock
from spaces_chassis.errors import ProblemError
from spaces_contracts.connections import ConnectionEnded

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
MAX_TOLD = 256

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Ending:
    clean: bool
    heard_at: float  # the process's steady clock, seconds


class Endings:
    """A Part. What could not be told when the process stops is found by its lease, which is no longer renewed."""

    name = "endings"

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._untold: dict[str, _Ending] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, connection_ids: Iterable[str], *, clean: bool, heard_at: float) -> None:
        """These are over, and were last heard at a moment of the clock; returns at once."""
        self._untold.update(dict.fromkeys(connection_ids, _Ending(clean, heard_at)))
        if self._untold and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        pause_s = FIRST_PAUSE_S
        while self._untold:
            clean = next(iter(self._untold.values())).clean
            batch = [cid for cid, how in self._untold.items() if how.clean is clean][:MAX_TOLD]
            heard_at = max(self._untold[cid].heard_at for cid in batch)
            silent_s = round(max(0.0, self._clock.monotonic() - heard_at), 3)
            ended = ConnectionEnded(connection_ids=batch, clean=clean, silent_s=silent_s)
            try:
                await self._bus.request(ended)
            except ProblemError as error:
                if error.problem.kind.retry:
                    log.warning("connection_ends_not_told", count=len(batch), problem=str(error))
                    await self._clock.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                    continue
                log.error("connection_ends_refused", count=len(batch), problem=str(error))
            pause_s = FIRST_PAUSE_S
            for connection_id in batch:
                self._untold.pop(connection_id, None)

    # Part

    async def start(self) -> None:
        """Nothing to start."""

    async def drain(self) -> None:
        """Returns when all is told."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Gives up on what is left."""
        if self._task is not None:
            self._task.cancel()

    def healthy(self) -> bool:
        return True
