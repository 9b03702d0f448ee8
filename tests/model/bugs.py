"""Known bugs, to be planted: a check that does not find them proves nothing."""

from collections.abc import Iterable, Sequence

from spaces_contracts.requests import ResultOutcome
from spaces_scheduler.request_states import Mover
from tests.model.lane_steps import QUEUED, RUNNING
from tests.model.tables import Connection, New, Request, SubmitVerdict, Told
from tests.model.upkeep import WholeQueue


class FenceIgnoresTheAttempt(WholeQueue):
    """Whatever a worker says of a running request is its result."""

    def _finish(self, told: Told) -> ResultOutcome:
        request = self.tables.requests.get(told.request_id)
        connection = self.tables.connections.get(told.connection_id)
        given = (told.request_id, told.attempt) in self.tables.assignments
        if request is None or connection is None or not given or request.state is not RUNNING:
            return super()._finish(told)
        self.release(self.tables.assignments[request.request_id, request.attempt])
        self._store(told, connection, request)
        return ResultOutcome.STORED


class FinishChangesAnEnd(WholeQueue):
    """A late result replaces the end that was there."""

    def _finish(self, told: Told) -> ResultOutcome:
        verdict = super()._finish(told)
        request = self.tables.requests.get(told.request_id)
        if verdict is ResultOutcome.STALE and request is not None and request.state.terminal:
            self.tables.lanes[request.space_id].running += 1
            self._store(told, self.tables.connections[told.connection_id], request)
        return verdict


class RequeueKeepsTheSlot(WholeQueue):
    """What is queued again still holds its slot."""

    def requeue(self, request: Request, mover: Mover, *, costs_try: bool) -> None:
        super().requeue(request, mover, costs_try=costs_try)
        self.tables.assignments[request.request_id, request.attempt].released_at = None


class RequeueForgetsTheCancel(WholeQueue):
    """A cancelled request whose worker was lost is queued again."""

    def lose(self, connection_ids: Iterable[str]) -> list[str]:
        ids = set(connection_ids)
        for assignment in self.tables.assignments.values():
            request = self.tables.requests[assignment.request_id]
            if assignment.connection_id in ids and request.cancel_requested_at is not None:
                request.tries = 0
                if request.state is RUNNING and assignment.released_at is None:
                    self.release(assignment)
                    self.requeue(request, Mover.LOSE, costs_try=True)
        return super().lose(ids)


class AttachKeepsTheGhost(WholeQueue):
    """The connection that is superseded lives on."""

    def _end(self, connection_ids: Iterable[str], space_id: str | None = None) -> None:
        if space_id is None:
            super()._end(connection_ids)


class ClaimIgnoresPriority(WholeQueue):
    """First come, first served, whatever the priority."""

    def waiting(self, space_id: str) -> list[Request]:
        return sorted(super().waiting(space_id), key=lambda request: request.seq)


class ClaimOverfills(WholeQueue):
    """Slots that are taken count as free."""

    def free(self, connection: Connection) -> int:
        return connection.slots


class ClaimReusesTheAttempt(WholeQueue):
    """What is queued again starts with the attempt that it had."""

    def requeue(self, request: Request, mover: Mover, *, costs_try: bool) -> None:
        super().requeue(request, mover, costs_try=costs_try)
        request.attempt -= 1


class SubmitStrands(WholeQueue):
    """A submit leaves what it stored to the next call."""

    def submit_many(self, new: Sequence[New]) -> tuple[list[SubmitVerdict], list[str]]:
        lanes = self.tables.lanes
        free = [c for c in self.tables.connections.values() if c.paused_until is None]
        for connection in free:
            connection.paused_until = float("inf")
        answer = super().submit_many(new)
        for connection in free:
            connection.paused_until = None
        assert lanes is self.tables.lanes
        return answer


class DetachForgets(WholeQueue):
    """What an ended connection ran stays running."""

    def lose(self, connection_ids: Iterable[str]) -> list[str]:
        return []


class AdoptTakesWhatIsGivenElsewhere(WholeQueue):
    """An agent gets back an attempt although a newer one was claimed."""

    def _adopt(self, connection: Connection, request_id: str, attempt: int) -> bool:
        request = self.tables.requests.get(request_id)
        if request is not None and request.attempt > attempt and request.state is QUEUED:
            request.attempt = attempt
        return super()._adopt(connection, request_id, attempt)


class ExpireForgetsTheResult(WholeQueue):
    """What expires has no result."""

    def expire_step(self, off_s: float = 0.0) -> list[str]:
        expired = super().expire_step(off_s)
        for request_id in expired:
            del self.tables.results[request_id]
        return expired


class ExpireTrustsTheWallClock(WholeQueue):
    """A clock that stepped expires what is young."""

    def expire_step(self, off_s: float = 0.0) -> list[str]:
        return super().expire_step()


class LostJobsAreForgotten(WholeQueue):
    """A job that nobody took is not sent again."""

    def repair_step(self) -> tuple[list[str], list[str]]:
        return [], super().repair_step()[1]


class LostJobsKeepTheirSlot(WholeQueue):
    """A job that was lost and then cancelled is not sent again, so nobody confirms its end."""

    sends_stopped_jobs = False


BUGS: tuple[type[WholeQueue], ...] = (
    FenceIgnoresTheAttempt,
    FinishChangesAnEnd,
    RequeueKeepsTheSlot,
    RequeueForgetsTheCancel,
    AttachKeepsTheGhost,
    ClaimIgnoresPriority,
    ClaimOverfills,
    ClaimReusesTheAttempt,
    SubmitStrands,
    DetachForgets,
    ExpireForgetsTheResult,
    LostJobsAreForgotten,
    LostJobsKeepTheirSlot,
)
