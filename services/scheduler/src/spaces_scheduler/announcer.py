"""Reads what is true of requests and tells whoever must hear: the one way for what was not done at once.

The registry's transactions, cancels, refusals, expiry and repair all end here. Telling twice does no harm.
"""

from collections.abc import Sequence

from spaces_chassis.batcher import Batcher, BatcherMetrics
from spaces_contracts.message import Done
from spaces_contracts.requests import Announce
from spaces_scheduler.outgoing import Outgoing
from spaces_scheduler.truth_store import Truth, TruthStore


class Announcer:
    """Dispatches what waits for dispatch, stops what must stop, publishes what ended."""

    def __init__(
        self,
        store: TruthStore,
        outgoing: Outgoing,
        metrics: BatcherMetrics,
    ) -> None:
        self._store = store
        self._outgoing = outgoing
        self.batcher: Batcher[str, None] = Batcher(self._tell, name="announce", metrics=metrics)

    async def announce(self, command: Announce) -> Done:
        """From another service, after its COMMIT."""
        self.soon(command.request_ids)
        return Done()

    def soon(self, request_ids: Sequence[str]) -> None:
        """Returns at once; what is asked for together is read together."""
        for request_id in request_ids:
            self.batcher.add_with(request_id, _ignore)

    async def now(self, request_ids: Sequence[str]) -> None:
        """Returns when it was told. Raises DatabaseUnavailable."""
        for start in range(0, len(request_ids), 256):
            await self._tell(list(request_ids[start : start + 256]))

    async def _tell(self, request_ids: list[str]) -> Sequence[None]:
        for truth in await self._store.read(sorted(set(request_ids))):
            self._act(truth)
        return [None] * len(request_ids)

    def _act(self, truth: Truth) -> None:
        # First the stop: a job that it overtakes is confirmed as cancelled without a start.
        if truth.stop is not None:
            self._outgoing.sender.stop(truth.stop, truth.finished.error if truth.finished else None)
        if truth.job is not None:
            self._outgoing.sender.send([truth.job])
        if truth.finished is not None:
            self._outgoing.ends.publish(truth.finished, truth.notify)
        self._outgoing.queues.changed([truth.lane])
        if self._outgoing.changes.watching:
            error = truth.finished.error if truth.finished else None
            self._outgoing.changes.note(
                truth.lane.space_id, truth.request_id, truth.state, truth.attempt, error=error
            )


def _ignore(_outcome: BaseException | None) -> None:
    """What could not be read now is found by the repair loop, and ends are read by who waits for them."""
