"""What the loops ask of the queue: the contract of 0006_steps.sql. Each call works until nothing is left."""

from collections.abc import Iterable

from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState
from spaces_scheduler.clock_steps import STEP_S
from spaces_scheduler.request_states import Mover, when_due
from tests.model.lane_steps import QUEUED, RUNNING
from tests.model.queue import Queue
from tests.model.tables import Assignment, Connection, Request, Truth

REPAIR_AFTER_S = 2.0
FORCE_AFTER_S = 5.0
STOP_AGAIN_S = 5.0


class WholeQueue(Queue):
    """The queue with its loops. `off_s` is what the caller's clock and the wall clock differ by."""

    # Whether a job that nobody took is sent again although its request is to stop.
    sends_stopped_jobs = True

    def expire_step(self, off_s: float = 0.0) -> list[str]:
        """queued, running -> expired."""
        if abs(off_s) > STEP_S:
            return []
        now = self.clock()
        due = [r for r in self.tables.requests.values() if _open(r) and r.due_at <= now]
        for request in due:
            ending = when_due(request.state, total_is_over=request.total_due_at <= now)
            assert ending.code is not None
            if request.state is RUNNING:
                self.end_running(request, ending.state, Mover.EXPIRE, ending.code)
            else:
                self.settle(request, ending.state, Mover.EXPIRE, ending.code)
        return [request.request_id for request in due]

    def force_cancel_step(self, off_s: float = 0.0) -> list[str]:
        """running -> cancelled, when the worker did not confirm."""
        if abs(off_s) > STEP_S:
            return []
        before = self.clock() - FORCE_AFTER_S
        late = [
            r
            for r in self.tables.requests.values()
            if r.state is RUNNING
            and r.cancel_requested_at is not None
            and r.cancel_requested_at <= before
        ]
        for request in late:
            self.end_running(request, RequestState.CANCELLED, Mover.FORCE, Code.CANCELLED)
        return [request.request_id for request in late]

    def stop_again_step(self) -> list[str]:
        """Workers that still hold what ended are asked once more to stop."""
        now = self.clock()
        late = [
            a
            for a in self.tables.assignments.values()
            if a.released_at is None
            and a.stop_asked_at is not None
            and a.stop_asked_at <= now - STOP_AGAIN_S
        ]
        for assignment in late:
            assignment.stop_asked_at = now
        return [assignment.request_id for assignment in late]

    def mass_change_step(self) -> list[str]:
        """queued -> cancelled, in spaces that were disabled or deleted."""
        shut = []
        for request in list(self.tables.requests.values()):
            lane = self.tables.lanes[request.space_id]
            if request.state is QUEUED and (lane.closed or not lane.enabled):
                self.settle(request, RequestState.CANCELLED, Mover.SHUT, Code.SPACE_DISABLED)
                shut.append(request.request_id)
        return shut

    def resume_step(self) -> list[str]:
        """Connections whose pause is over are given work again.

        A call whose lane gets nothing ends the product's pass, so lanes go by the end of their pause.
        """
        now = self.clock()
        claimed: list[str] = []
        while True:
            over = [
                c
                for c in self.tables.connections.values()
                if c.live and c.paused_until is not None and c.paused_until <= now
            ]
            if not over:
                return claimed
            space_id = min(over, key=_pause_order).space_id
            for connection in over:
                if connection.space_id == space_id:
                    connection.paused_until = None
            claimed += self.claim(space_id)

    def repair_step(self) -> tuple[list[str], list[str]]:
        """Jobs that nobody took, and requests that waited beside a free slot and are claimed now."""
        now = self.clock()
        before = now - REPAIR_AFTER_S
        lost = [a for a in self.tables.assignments.values() if self._lost(a, before)]
        for assignment in lost:
            assignment.offered_at = now
        stranded: list[str] = []
        for space_id in sorted(self.tables.lanes):
            if self._stranded(space_id, now, before):
                stranded += self.claim(space_id)
        return [assignment.request_id for assignment in lost], stranded

    def _lost(self, assignment: Assignment, before: float) -> bool:
        if assignment.accepted_at is not None or assignment.released_at is not None:
            return False
        request = self.tables.requests[assignment.request_id]
        return (
            assignment.offered_at <= before
            and self.tables.connections[assignment.connection_id].live
            and request.state is RUNNING
            and request.attempt == assignment.attempt
            and request.cancel_requested_at is None
        )

    def _stranded(self, space_id: str, now: float, before: float) -> bool:
        lane = self.tables.lanes[space_id]
        heads = [r for r in self.waiting(space_id) if r.total_due_at > now]
        if not lane.enabled or lane.closed or not heads or heads[0].queued_at > before:
            return False
        return any(
            c.attached_at <= before
            and (c.paused_until is None or c.paused_until <= before)
            and self.free(c) > 0
            for c in self.takers(space_id)
        )

    def shift_clock(self, generation: int) -> bool:
        """Accounts for a step of the wall clock, once. The caller's clock carries the step itself."""
        if generation != self.tables.generation:
            return False
        self.tables.generation += 1
        return True

    # Reading

    def truth(self, request_ids: Iterable[str]) -> list[Truth]:
        """What must be sent, stopped or told."""
        known = sorted(set(request_ids) & self.tables.requests.keys())
        return [self._truth(self.tables.requests[request_id]) for request_id in known]

    def _truth(self, request: Request) -> Truth:
        mine = [a for a in self.tables.assignments.values() if a.request_id == request.request_id]
        newest = max(mine, key=lambda a: a.attempt, default=None)
        if newest is not None and newest.released_at is not None:
            newest = None
        connection = None
        if newest is not None and self.tables.connections[newest.connection_id].live:
            connection = newest.connection_id
        asked = request.cancel_requested_at is not None
        waits = newest is not None and newest.accepted_at is None
        current = newest is not None and newest.attempt == request.attempt
        # Also what is to stop: an agent that never got the job cannot confirm its end, and the slot would stay taken.
        sends = (
            current
            and waits
            and (self.sends_stopped_jobs or (not asked and request.state is RUNNING))
        )
        return Truth(
            request.request_id,
            request.space_id,
            request.state,
            request.attempt,
            bool(connection and request.state is not QUEUED and sends),
            bool(connection and (request.state.terminal or asked)),
            newest.attempt if newest is not None else None,
            connection,
        )


def _open(request: Request) -> bool:
    return request.state is QUEUED or request.state is RUNNING


def _pause_order(connection: Connection) -> tuple[float, str]:
    return connection.paused_until or 0.0, connection.space_id
