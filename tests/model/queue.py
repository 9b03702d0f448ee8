"""What gateways, workers and the registry ask of the queue: the contract of the public SQL functions, in plain code.

One call is one transaction. Connections are kept in the order of their age.
"""

from collections.abc import Iterable, Sequence

from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState, ResultOutcome
from spaces_scheduler.request_states import Held, Mover, judge, when_refused, when_told
from tests.model.lane_steps import QUEUED, RUNNING, LaneSteps
from tests.model.tables import (
    Assignment,
    Attached,
    AttachRefused,
    Connection,
    Lane,
    Move,
    New,
    Request,
    Result,
    SubmitVerdict,
    Told,
    Word,
)


class Queue(LaneSteps):
    """Submit, finish, accept, refuse, cancel; lanes and connections."""

    # Submitting

    def submit_many(self, new: Sequence[New]) -> tuple[list[SubmitVerdict], list[str]]:
        """A verdict an element, in order, and what was claimed. A request, and a key, is named once."""
        # Who waits was there before: what is free after this is free for those who come now.
        lanes = [
            self.tables.lanes[s] for s in {one.space_id for one in new} & self.tables.lanes.keys()
        ]
        lanes.sort(key=lambda lane: lane.space_id)
        claimed = [request_id for lane in lanes for request_id in self.claim(lane.space_id)]
        for one in new:
            if one.key is not None:
                self.tables.keys.setdefault((one.principal_id, one.key), (one.body, one.request_id))
        codes: dict[int, Code | None] = dict.fromkeys(range(len(new)), Code.SPACE_NOT_FOUND)
        ids = [one.request_id for one in new]
        again: set[int] = set()
        for lane in lanes:
            space_id = lane.space_id
            takers = self.takers(space_id)
            free = sum(self.free(c) for c in takers)
            before = lane.next_seq
            mine = [nth for nth, one in enumerate(new) if one.space_id == space_id]
            for nth in sorted(mine, key=lambda nth: (-new[nth].priority, nth)):
                ids[nth], codes[nth], repeated = self._accept(lane, new[nth], bool(takers), free)
                if repeated:
                    again.add(nth)
            if lane.next_seq > before:
                claimed += self.claim(space_id)
        for one in new:
            self._give_back_key(one)
        verdicts = [self._verdict(ids[n], codes[n], again=n in again) for n in range(len(new))]
        return verdicts, claimed

    def _accept(
        self, lane: Lane, new: New, connected: bool, free: int
    ) -> tuple[str, Code | None, bool]:
        if new.key is not None:
            body, first = self.tables.keys[new.principal_id, new.key]
            if first != new.request_id and first in self.tables.requests:
                if body != new.body:
                    return new.request_id, Code.IDEMPOTENCY_KEY_REUSED, False
                return first, None, True
            if first != new.request_id:
                self.tables.keys[new.principal_id, new.key] = (new.body, new.request_id)
        code = _refusal(lane, connected=connected, free=free)
        known = self.tables.requests.get(new.request_id)
        if known is not None:
            if (known.space_id, known.principal_id) == (lane.space_id, new.principal_id):
                return new.request_id, None, True
            return new.request_id, code or Code.INVALID_REQUEST, False
        if code is None:
            self._enqueue(lane, new)
        return new.request_id, code, False

    def _enqueue(self, lane: Lane, new: New) -> None:
        now = self.clock()
        total_s = lane.timeout_s if new.timeout_s is None else new.timeout_s
        request = Request(
            new.request_id,
            lane.space_id,
            new.principal_id,
            new.priority,
            lane.next_seq,
            lane.queue_timeout_s,
            lane.run_timeout_s,
            now,
            now + min(lane.queue_timeout_s, total_s),
            now + total_s,
        )
        lane.next_seq += 1
        lane.queued += 1
        self.tables.requests[new.request_id] = request
        self.moves.append(
            Move(request.request_id, None, request.state, Mover.SUBMIT, 0, None, None)
        )

    def _give_back_key(self, new: New) -> None:
        if new.key is not None:
            held = self.tables.keys.get((new.principal_id, new.key))
            mine = held is not None and held[1] == new.request_id
            if mine and new.request_id not in self.tables.requests:
                del self.tables.keys[new.principal_id, new.key]

    def _verdict(self, request_id: str, code: Code | None, *, again: bool) -> SubmitVerdict:
        request = None if code is not None else self.tables.requests[request_id]
        if request is None:
            return SubmitVerdict(request_id, code, None, again, None, None)
        position = self.position(request) if request.state is QUEUED else None
        return SubmitVerdict(request_id, None, request.state, again, position, request.attempt)

    # What workers tell

    def finish_many(self, told: Sequence[Told]) -> tuple[list[ResultOutcome], list[str]]:
        """The fence's verdict an element, and what was claimed."""
        verdicts = [ResultOutcome.UNKNOWN] * len(told)
        claimed: list[str] = []
        for space_id in sorted({one.space_id for one in told} & self.tables.lanes.keys()):
            for nth, one in enumerate(told):
                if one.space_id == space_id:
                    verdicts[nth] = self._finish(one)
            claimed += self.claim(space_id)
        return verdicts, claimed

    def _finish(self, told: Told) -> ResultOutcome:
        connection = self.tables.connections.get(told.connection_id)
        request = self.tables.requests.get(told.request_id)
        assignment = self.tables.assignments.get((told.request_id, told.attempt))
        if connection is None or request is None or assignment is None:
            return ResultOutcome.UNKNOWN
        if not connection.space_id == request.space_id == told.space_id:
            return ResultOutcome.UNKNOWN
        verdict = self._judge(connection, request, assignment)
        if verdict is ResultOutcome.UNKNOWN:
            return verdict
        running = request.state is RUNNING and assignment.released_at is None
        if assignment.released_at is None:
            self.release(assignment)
            if assignment.accepted_at is None:
                assignment.accepted_at = self.clock()
        if verdict is ResultOutcome.STORED and running:
            self._store(told, connection, request)
        return verdict

    def _judge(
        self, connection: Connection, request: Request, assignment: Assignment
    ) -> ResultOutcome:
        result = self.tables.results.get(request.request_id)
        return judge(
            Held(
                request.state,
                request.attempt,
                same_instance=assignment.instance_id == connection.instance_id,
                released=assignment.released_at is not None,
                ended_by_worker=result.attempt if result and result.from_worker else None,
            ),
            assignment.attempt,
        )

    def _store(self, told: Told, connection: Connection, request: Request) -> None:
        cancelled = request.cancel_requested_at is not None
        state = when_told(told.state, cancel_requested=cancelled)
        self.tables.results[request.request_id] = Result(told.attempt, True, told.output, None)
        self.tables.lanes[request.space_id].running -= 1
        connection.refusals = 0
        self.move(request, state, Mover.FINISH, connection, told.attempt)

    def accept_many(self, words: Sequence[Word]) -> int:
        """How many were still to be noted."""
        taken = [a for word in words if (a := self._assigned(word)) is not None]
        noted = {
            id(a): a for a in taken if a.accepted_at is None and a.released_at is None
        }.values()
        for assignment in noted:
            assignment.accepted_at = self.clock()
        return len(noted)

    def refuse_many(self, words: Sequence[Word]) -> list[str]:
        """Queued again without costing a try; the connection is left alone for a while."""
        newest: dict[str, Assignment] = {}
        for word in words:
            found = self._assigned(word)
            mine = found is not None and self._in_space(word)
            if found is not None and mine:
                known = newest.get(word.request_id)
                if known is None or known.attempt < found.attempt:
                    newest[word.request_id] = found
        announce = []
        for request_id in sorted(newest):
            assignment = newest[request_id]
            if assignment.released_at is None and self._refuse(assignment):
                announce.append(request_id)
        for space_id in sorted({word.space_id for word in words}):
            announce += self.claim(space_id)
        return announce

    def _refuse(self, assignment: Assignment) -> bool:
        """Whether the request ended by it."""
        connection = self.tables.connections[assignment.connection_id]
        pause_s = min(10.0, 0.25 * 2 ** min(connection.refusals, 6))
        connection.paused_until = self.clock() + pause_s
        connection.refusals += 1
        self.release(assignment)
        request = self.tables.requests[assignment.request_id]
        if request.state is not RUNNING or request.attempt != assignment.attempt:
            return False
        ending = when_refused(cancel_requested=request.cancel_requested_at is not None)
        if ending.state is QUEUED:
            self.requeue(request, Mover.REFUSE, costs_try=False)
            return False
        self.settle(request, ending.state, Mover.REFUSE, ending.code)
        return True

    def _assigned(self, word: Word) -> Assignment | None:
        connection = self.tables.connections.get(word.connection_id)
        assignment = self.tables.assignments.get((word.request_id, word.attempt))
        if connection is None or assignment is None:
            return None
        return assignment if assignment.instance_id == connection.instance_id else None

    def is_of(self, word: Word) -> bool:
        """Whether the attempt was given to the worker that speaks."""
        return self._assigned(word) is not None

    def _in_space(self, word: Word) -> bool:
        connection = self.tables.connections[word.connection_id]
        request = self.tables.requests[word.request_id]
        return connection.space_id == request.space_id == word.space_id

    # Cancelling

    def cancel_many(self, request_ids: Sequence[str]) -> list[str]:
        """Queued ones end now, running ones are asked to; the ids that exist."""
        known = sorted(set(request_ids) & self.tables.requests.keys())
        for request_id in known:
            request = self.tables.requests[request_id]
            if request.state is QUEUED:
                self.settle(request, RequestState.CANCELLED, Mover.CANCEL, Code.CANCELLED)
            elif request.state is RUNNING and request.cancel_requested_at is None:
                request.cancel_requested_at = self.clock()
        return known

    # What the registry asks

    def lane_open(self, lane: Lane) -> None:
        """A space exists, or its rules changed; order and counters stay."""
        known = self.tables.lanes.get(lane.space_id)
        if known is not None:
            lane.next_seq, lane.queued, lane.running = known.next_seq, known.queued, known.running
        lane.closed = False
        self.tables.lanes[lane.space_id] = lane

    def lane_close(self, space_id: str) -> list[str]:
        """Nothing new enters; what runs is asked to stop."""
        self.tables.lanes[space_id].closed = True
        running = [
            r
            for r in self.tables.requests.values()
            if r.space_id == space_id and r.state is RUNNING
        ]
        for request in running:
            if request.cancel_requested_at is None:
                request.cancel_requested_at = self.clock()
        return [request.request_id for request in running]

    def attach(
        self,
        new: tuple[str, str, str, int],
        in_flight: Iterable[tuple[str, int]],
        supersedes: Iterable[str],
    ) -> Attached:
        """`new` is space, connection, instance, slots. Raises AttachRefused."""
        space_id, connection_id, instance_id, slots = new
        connection = self._connect(space_id, connection_id, instance_id, slots)
        gone = [one for one in supersedes if one != connection_id]
        self._end(gone, space_id)
        answer = Attached([], [], [])
        for request_id, attempt in sorted(set(in_flight)):
            if self._adopt(connection, request_id, attempt):
                answer.adopted.append((request_id, attempt))
                if self.tables.requests[request_id].cancel_requested_at is not None:
                    answer.announce.append(request_id)
            else:
                answer.abandon.append((request_id, attempt))
        answer.announce.extend(self.lose(gone))
        answer.announce.extend(self.claim(space_id))
        return answer

    def _connect(
        self, space_id: str, connection_id: str, instance_id: str, slots: int
    ) -> Connection:
        known = self.tables.connections.get(connection_id)
        if known is None:
            age = len(self.tables.connections)
            known = Connection(connection_id, space_id, instance_id, slots, age, self.clock())
            self.tables.connections[connection_id] = known
        elif (known.space_id, known.instance_id, known.live) != (space_id, instance_id, True):
            raise AttachRefused(connection_id)
        known.slots = slots
        return known

    def _end(self, connection_ids: Iterable[str], space_id: str | None = None) -> None:
        for connection_id in connection_ids:
            connection = self.tables.connections.get(connection_id)
            if connection is not None and space_id in (None, connection.space_id):
                connection.live = False

    def _adopt(self, connection: Connection, request_id: str, attempt: int) -> bool:
        request = self.tables.requests.get(request_id)
        assignment = self.tables.assignments.get((request_id, attempt))
        if request is None or assignment is None or request.space_id != connection.space_id:
            return False
        if assignment.instance_id != connection.instance_id or request.attempt != attempt:
            return False
        runs = request.state is RUNNING and assignment.released_at is None
        if not runs and request.state is not QUEUED:
            return False
        now = self.clock()
        assignment.connection_id = connection.connection_id
        assignment.released_at = None
        if assignment.accepted_at is None:
            assignment.accepted_at = now
        if request.state is QUEUED:
            lane = self.tables.lanes[request.space_id]
            lane.queued -= 1
            lane.running += 1
            request.due_at = min(request.total_due_at, now + request.run_timeout_s)
            self.move(request, RUNNING, Mover.ADOPT, connection)
        return True

    def detach(self, connection_ids: Sequence[str]) -> list[str]:
        """Connections ended: what they ran is queued again or ends, and others get it."""
        known = [self.tables.connections[c] for c in connection_ids if c in self.tables.connections]
        self._end(connection_ids)
        announce = self.lose(connection_ids)
        for space_id in sorted({connection.space_id for connection in known}):
            announce += self.claim(space_id)
        return announce

    def drain(self, connection_id: str) -> None:
        """The connection gets nothing more."""
        if connection_id in self.tables.connections:
            self.tables.connections[connection_id].draining = True


def _refusal(lane: Lane, *, connected: bool, free: int) -> Code | None:
    if lane.closed:
        return Code.SPACE_NOT_FOUND
    if not lane.enabled:
        return Code.SPACE_DISABLED
    if lane.when_offline == "reject" and not connected:
        return Code.WORKER_NOT_CONNECTED
    if lane.queued >= lane.max_queue + free:
        return Code.QUEUE_FULL
    return None
