"""Schedulers: processes without a memory, except for what their clock showed last.

What they do after a COMMIT may never happen: a process that dies then is a message that is lost.
"""

from collections.abc import Hashable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from spaces_scheduler.clock_steps import Reading, step_between
from spaces_scheduler.rounds import rounds
from spaces_scheduler.sweep_loop import GRACE_S
from spaces_worker_agent.attempts import Key
from tests.model.tables import New, SubmitVerdict, Truth
from tests.model.wire import (
    Ack,
    Announce,
    Cancel,
    Finished,
    Job,
    Refused,
    ResultSaid,
    Stop,
    Submit,
    Taken,
    Verdicts,
)

if TYPE_CHECKING:
    from tests.model.world import World

_ZERO = datetime(2026, 1, 1, tzinfo=UTC)


class Schedulers:
    """Some processes; each has a clock loop of its own."""

    def __init__(self, world: "World", processes: int) -> None:
        self.world = world
        self.readings: list[Reading | None] = [None] * processes

    # What is said to them; batches are several messages in one transaction

    def submit(self, batch: Sequence[Submit]) -> None:
        """Accepts, answers, dispatches. A request, and a key, is named once in a call."""
        new = [one for message in batch for one in message.requests]
        verdicts: dict[int, SubmitVerdict] = {}
        for part in rounds(new, _names):
            answers, claimed = self.world.queue.submit_many([new[nth] for nth in part])
            verdicts.update(zip(part, answers, strict=True))
            self._dispatch(claimed)
        start = 0
        for message in batch:
            asked = tuple(one.request_id for one in message.requests)
            mine = tuple(verdicts[nth] for nth in range(start, start + len(asked)))
            start += len(asked)
            self.world.send(Verdicts(asked, mine))

    def finish(self, batch: Sequence[ResultSaid]) -> None:
        """Stores, acknowledges, tells, dispatches."""
        told = [message.told for message in batch]
        for part in rounds(told, lambda one: [one.request_id]):
            some = [told[nth] for nth in part]
            verdicts, claimed = self.world.queue.finish_many(some)
            self._dispatch(claimed)
            for one, verdict in zip(some, verdicts, strict=True):
                self.world.send(Ack(one.connection_id, Key(one.request_id, one.attempt), verdict))
                self._tell_end(one.request_id)

    def accept(self, batch: Sequence[Taken]) -> None:
        """Notes that jobs were taken."""
        self.world.queue.accept_many([message.word for message in batch])

    def refuse(self, batch: Sequence[Refused]) -> None:
        """Queues refused jobs again."""
        self.announce(self.world.queue.refuse_many([message.word for message in batch]))

    def cancel(self, batch: Sequence[Cancel]) -> None:
        """Asks for ends."""
        ids = [request_id for message in batch for request_id in message.request_ids]
        self.announce(self.world.queue.cancel_many(ids))

    def announced(self, batch: Sequence[Announce]) -> None:
        """From the registry."""
        self.announce([request_id for message in batch for request_id in message.request_ids])

    # What they say

    def announce(self, request_ids: Sequence[str]) -> None:
        """Reads what is true and tells whoever must hear."""
        for truth in self.world.queue.truth(request_ids):
            self._act(truth)

    def _act(self, truth: Truth) -> None:
        if truth.send and truth.connection_id is not None:
            key = Key(truth.request_id, truth.attempt)
            self.world.send(Job(truth.connection_id, truth.space_id, key))
        if truth.stop and truth.connection_id is not None and truth.held_attempt is not None:
            self.world.send(Stop(truth.connection_id, Key(truth.request_id, truth.held_attempt)))
        self._tell_end(truth.request_id)

    def _tell_end(self, request_id: str) -> None:
        request = self.world.queue.tables.requests.get(request_id)
        if request is not None and request.state.terminal:
            result = self.world.queue.tables.results[request_id]
            self.world.send(Finished(request_id, request.state, result.output))

    def _dispatch(self, claimed: Sequence[str]) -> None:
        tables = self.world.queue.tables
        for request_id in claimed:
            request = tables.requests[request_id]
            assignment = tables.assignments[request_id, request.attempt]
            key = Key(request_id, request.attempt)
            self.world.send(Job(assignment.connection_id, request.space_id, key))

    # Their loops

    def clock_step(self, process: int) -> None:
        """Sees steps of the wall clock, and accounts for each once."""
        world = self.world
        now = Reading(
            _ZERO + timedelta(seconds=world.wall), world.now, world.queue.tables.generation
        )
        last, self.readings[process] = self.readings[process], now
        step_s = None if last is None else step_between(last, now)
        if step_s is not None and world.queue.shift_clock(now.generation):
            world.stepped += step_s
            # What was skipped while the clock was wrong is claimed by the next call, or repaired.
            world.witness.reopened.update(world.queue.tables.lanes)

    def off_s(self, process: int) -> float | None:
        """How far the wall clock is from what a process expects."""
        last = self.readings[process]
        if last is None:
            return None
        expected = last.wall_at(self.world.now)
        return (_ZERO + timedelta(seconds=self.world.wall) - expected).total_seconds()

    def sweep_step(self, process: int) -> None:
        """What time does to requests."""
        queue = self.world.queue
        self.announce(queue.resume_step())
        off_s = self.off_s(process)
        if off_s is not None and self.world.bus_up_s >= GRACE_S:
            self.announce(queue.expire_step(off_s))
            self.announce(queue.force_cancel_step(off_s))
        self.announce(queue.stop_again_step())

    def repair_step(self) -> None:
        """What fell through."""
        lost, stranded = self.world.queue.repair_step()
        self.announce([*lost, *stranded])
        self.world.witness.repaired()

    def mass_change_step(self) -> None:
        """Cancels what waits in spaces that are shut."""
        self.announce(self.world.queue.mass_change_step())


def _names(new: New) -> list[Hashable]:
    return [new.request_id] if new.key is None else [new.request_id, (new.principal_id, new.key)]
