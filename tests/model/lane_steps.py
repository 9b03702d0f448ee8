"""The steps that the queue's functions are made of: claim, settle, requeue, lose. The contract of 0002_claim.sql."""

from collections.abc import Callable, Iterable

from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState
from spaces_scheduler.request_states import Mover, when_lost
from tests.model.tables import Assignment, Connection, Lane, Move, Request, Result, Tables

QUEUED, RUNNING = RequestState.QUEUED, RequestState.RUNNING


class LaneSteps:
    """Tables, a clock, and the log of moves that whoever checks takes away after each call."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.tables = Tables()
        self.clock = clock
        self.moves: list[Move] = []

    # What a connection has

    def held(self, connection_id: str) -> list[Assignment]:
        """Unreleased assignments of a connection."""
        return [
            a
            for a in self.tables.assignments.values()
            if a.connection_id == connection_id and a.released_at is None
        ]

    def free(self, connection: Connection) -> int:
        """Slots without an assignment."""
        return max(0, connection.slots - len(self.held(connection.connection_id)))

    def takers(self, space_id: str) -> list[Connection]:
        """Connections that may be given work, the oldest first; a paused one is among them."""
        return [
            c
            for c in self.tables.connections.values()
            if c.space_id == space_id and c.live and not c.draining
        ]

    def waiting(self, space_id: str) -> list[Request]:
        """Queued requests in the order in which they start."""
        found = [
            r for r in self.tables.requests.values() if r.space_id == space_id and r.state is QUEUED
        ]
        found.sort(key=lambda r: (-r.priority, r.seq))
        return found

    def position(self, request: Request) -> int:
        """How many start no later than this one."""
        return 1 + self.waiting(request.space_id).index(request)

    # Steps

    def claim(self, space_id: str) -> list[str]:
        """Queued requests to free slots: the connection with the most free ones first, then the oldest."""
        lane = self.tables.lanes.get(space_id)
        if lane is None or lane.queued == 0 or not lane.enabled or lane.closed:
            return []
        now = self.clock()
        slots = [
            (-level, c.age, c)
            for c in self.takers(space_id)
            if c.paused_until is None or c.paused_until <= now
            for level in range(1, self.free(c) + 1)
        ]
        slots.sort(key=lambda slot: slot[:2])
        heads = [r for r in self.waiting(space_id) if r.total_due_at > now]
        pairs = list(zip(heads, slots, strict=False))
        for request, (_, _, connection) in pairs:
            self._start(lane, request, connection, now)
        return [request.request_id for request, _ in pairs]

    def _start(self, lane: Lane, request: Request, connection: Connection, now: float) -> None:
        request.attempt += 1
        request.tries += 1
        request.due_at = min(request.total_due_at, now + request.run_timeout_s)
        self.tables.assignments[request.request_id, request.attempt] = Assignment(
            request.request_id,
            request.attempt,
            request.space_id,
            connection.connection_id,
            connection.instance_id,
            now,
            now,
        )
        lane.queued -= 1
        lane.running += 1
        self.move(request, RUNNING, Mover.CLAIM, connection)

    def settle(
        self, request: Request, target: RequestState, mover: Mover, code: Code | None
    ) -> None:
        """Ends a request that its worker did not end."""
        lane = self.tables.lanes[request.space_id]
        if request.state is QUEUED:
            lane.queued -= 1
        else:
            lane.running -= 1
        self.tables.results[request.request_id] = Result(request.attempt, False, None, code)
        self.move(request, target, mover)

    def requeue(self, request: Request, mover: Mover, *, costs_try: bool) -> None:
        """Back to its place; waits anew, within its total time."""
        now = self.clock()
        lane = self.tables.lanes[request.space_id]
        request.queued_at = now
        request.tries -= not costs_try
        request.due_at = min(request.total_due_at, now + request.queue_timeout_s)
        lane.queued += 1
        lane.running -= 1
        self.move(request, QUEUED, mover)

    def release(self, assignment: Assignment) -> None:
        """Gives a slot back."""
        assignment.released_at = self.clock()

    def lose(self, connection_ids: Iterable[str]) -> list[str]:
        """The connections are gone; returns the requests that ended with them."""
        gone = set(connection_ids)
        held = [
            a
            for a in self.tables.assignments.values()
            if a.connection_id in gone and a.released_at is None
        ]
        ended = []
        for assignment in sorted(held, key=lambda a: a.request_id):
            request = self.tables.requests[assignment.request_id]
            lane = self.tables.lanes[request.space_id]
            self.release(assignment)
            if request.state is not RUNNING or request.attempt != assignment.attempt:
                continue
            ending = when_lost(
                cancel_requested=request.cancel_requested_at is not None,
                tries=request.tries,
                max_attempts=lane.max_attempts,
                retry_after_start=lane.retry_after_start,
            )
            if ending.state is QUEUED:
                self.requeue(request, Mover.LOSE, costs_try=True)
            else:
                self.settle(request, ending.state, Mover.LOSE, ending.code)
                ended.append(request.request_id)
        return ended

    def end_running(self, request: Request, target: RequestState, mover: Mover, code: Code) -> None:
        """What ends while it runs keeps its slot until the worker says that it stopped, or is gone."""
        self.settle(request, target, mover, code)
        self.tables.assignments[request.request_id, request.attempt].stop_asked_at = self.clock()

    def move(
        self,
        request: Request,
        target: RequestState,
        mover: Mover,
        connection: Connection | None = None,
        attempt: int | None = None,
    ) -> None:
        """The one place where a state changes. `attempt` is the one that the mover speaks of."""
        self.moves.append(
            Move(
                request.request_id,
                request.state,
                target,
                mover,
                request.attempt if attempt is None else attempt,
                connection.connection_id if connection else None,
                connection.instance_id if connection else None,
                request.cancel_requested_at is not None,
            )
        )
        request.state = target
