"""Who looks on and knows the promises. It believes nothing that the queue's code says of itself: it replays the
moves and compares them with what is stored."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from spaces_contracts.requests import RequestState
from spaces_scheduler.request_states import Mover, may_move
from tests.model.lane_steps import QUEUED, RUNNING
from tests.model.queue import Queue
from tests.model.tables import Move, Request, Result

# The database's clock and ours are read one after the other.
EARLY_S = 0.01


class PromiseBroken(AssertionError):
    """Something that the design rules out has happened."""


@dataclass(slots=True)
class Life:
    """What is believed of one request."""

    space_id: str
    total_s: float
    born_s: float
    entered_s: float
    state: RequestState = QUEUED
    attempt: int = 0
    owner: str | None = None  # the instance that the attempt was given to
    end: tuple[int, Result] | None = None


@dataclass
class Witness:
    """Looks at the queue after each step. `true_s` is a clock that never steps."""

    queue: Queue
    true_s: Callable[[], float]
    lives: dict[str, Life] = field(default_factory=dict)
    edges: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    # Lanes that were enabled again while workers were connected: nothing claims there before the next call.
    reopened: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Raises PromiseBroken."""
        moves, self.queue.moves = self.queue.moves, []
        for move in moves:
            self._follow(move)
        self._requests_are_as_believed()
        self._counters_are_true()
        self._slots_are_true(moves)
        self._nothing_strands()

    # Moves

    def _follow(self, move: Move) -> None:
        self.edges[move.source or "", move.target, move.mover] += 1
        require(
            may_move(move.source, move.target, move.mover), "a move that is not in the table", move
        )
        request = self.queue.tables.requests[move.request_id]
        if move.source is None:
            require(move.request_id not in self.lives, "a request was accepted twice", move)
            now = self.true_s()
            total_s = request.total_due_at - self.queue.clock()
            self.lives[move.request_id] = Life(request.space_id, total_s, now, now)
            return
        life = self.lives[move.request_id]
        require(life.state is move.source, f"it was {life.state}", move)
        require(not life.state.terminal, "an end changed", move)
        if move.mover is Mover.CLAIM:
            self._was_first(request, life)
            require(move.attempt == life.attempt + 1, "an attempt was used twice or left out", move)
            life.owner = move.instance_id
        elif move.mover is Mover.ADOPT:
            mine = move.attempt == life.attempt and move.instance_id == life.owner
            require(mine, "it was adopted by whom it was not given to", move)
        elif move.mover is Mover.FINISH:
            mine = move.attempt == life.attempt and move.instance_id == life.owner
            require(mine, "a fenced result won", move)
        elif move.mover is Mover.EXPIRE:
            self._was_due(request, life)
        again = move.target is QUEUED and move.cancel_asked
        require(not again, "what was cancelled is queued again", move)
        life.state, life.attempt = move.target, move.attempt
        life.entered_s = self.true_s()

    def _was_first(self, request: Request, life: Life) -> None:
        now = self.queue.clock()
        order = (-request.priority, request.seq)
        for request_id, other in self.lives.items():
            if other.state is QUEUED and other.space_id == life.space_id:
                row = self.queue.tables.requests[request_id]
                overtaken = (-row.priority, row.seq) < order and row.total_due_at > now
                require(not overtaken, f"it overtook {request_id}", request)

    def _was_due(self, request: Request, life: Life) -> None:
        now = self.true_s()
        limit_s = request.queue_timeout_s if life.state is QUEUED else request.run_timeout_s
        due_s = min(life.born_s + life.total_s, life.entered_s + limit_s)
        require(now >= due_s - EARLY_S, f"it expired {due_s - now:.1f} s too early", request)

    # What is stored

    def _requests_are_as_believed(self) -> None:
        tables = self.queue.tables
        require(len(tables.requests) == len(self.lives), "a request was lost", len(self.lives))
        for request_id, life in self.lives.items():
            request = tables.requests[request_id]
            same = request.state is life.state and request.attempt == life.attempt
            require(same, f"believed to be {life.state} {life.attempt}", request)
            result = tables.results.get(request_id)
            require(
                (result is not None) == life.state.terminal, "an end has exactly one result", result
            )
            if result is not None:
                if life.end is None:
                    life.end = (request.attempt, result)
                require(life.end == (request.attempt, result), "an end changed", life.end)
            elif life.state is RUNNING:
                self._runs_on_one_connection(request)

    def _runs_on_one_connection(self, request: Request) -> None:
        assignment = self.queue.tables.assignments.get((request.request_id, request.attempt))
        runs = (
            assignment is not None
            and assignment.released_at is None
            and self.queue.tables.connections[assignment.connection_id].live
        )
        require(runs, "it runs on nothing", request)

    def _counters_are_true(self) -> None:
        waits: Counter[str] = Counter()
        runs: Counter[str] = Counter()
        for life in self.lives.values():
            if life.state is QUEUED:
                waits[life.space_id] += 1
            elif life.state is RUNNING:
                runs[life.space_id] += 1
        for space_id, lane in self.queue.tables.lanes.items():
            require(lane.queued == waits[space_id], "a wrong number of queued requests", lane)
            require(lane.running == runs[space_id], "a wrong number of running requests", lane)

    def _slots_are_true(self, moves: list[Move]) -> None:
        held: Counter[str] = Counter()
        for assignment in self.queue.tables.assignments.values():
            if assignment.released_at is None:
                held[assignment.connection_id] += 1
                request = self.queue.tables.requests[assignment.request_id]
                known = request.state is not QUEUED and request.attempt == assignment.attempt
                require(known, "a slot is held for nothing", assignment)
        for move in moves:
            if move.mover is Mover.CLAIM and move.connection_id is not None:
                connection = self.queue.tables.connections[move.connection_id]
                over = held[move.connection_id] > connection.slots
                require(not over, "a slot was given twice", connection)
        for connection_id, count in held.items():
            live = self.queue.tables.connections[connection_id].live
            require(live or count == 0, "an ended connection holds slots", connection_id)

    def _nothing_strands(self) -> None:
        now = self.queue.clock()
        for space_id, lane in self.queue.tables.lanes.items():
            if not lane.queued or not lane.enabled or lane.closed or space_id in self.reopened:
                continue
            require(not self._strands(space_id, now), "a request waits beside a free slot", lane)

    def _strands(self, space_id: str, now: float) -> bool:
        able = any(
            c.paused_until is None and self.queue.free(c) > 0 for c in self.queue.takers(space_id)
        )
        return able and any(r.total_due_at > now for r in self.queue.waiting(space_id))

    def repaired(self) -> None:
        """The repair loop has looked: what was excused until then is so no more, unless it was too young."""
        now = self.queue.clock()
        self.reopened = {s for s in self.reopened if self._strands(s, now)}


def require(holds: bool, what: str, of: object) -> None:
    """Raises PromiseBroken unless the promise holds."""
    if not holds:
        raise PromiseBroken(f"{what}: {of}")
