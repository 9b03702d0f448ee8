"""A worker's first word on a job: taken, or refused before it began."""

from collections.abc import Sequence

from spaces_chassis.batcher import Batcher, BatcherMetrics
from spaces_chassis.bus import Delivery
from spaces_contracts.requests import JobAnswer
from spaces_scheduler.acceptances import Acceptances
from spaces_scheduler.announcer import Announcer
from spaces_scheduler.job_sender import JobSender
from spaces_scheduler.meters import Meters
from spaces_scheduler.result_store import ResultStore

_INT32 = 2**31 - 1


class Answers:
    """Notes acceptances; queues refused jobs again."""

    def __init__(
        self,
        store: ResultStore,
        acceptances: Acceptances,
        sender: JobSender,
        announcer: Announcer,
        meters: Meters,
        metrics: BatcherMetrics,
    ) -> None:
        self._store = store
        self._acceptances = acceptances
        self._sender = sender
        self._announcer = announcer
        self._meters = meters
        self.refusals: Batcher[JobAnswer, None] = Batcher(
            self._refuse, name="refuse", metrics=metrics
        )

    def answer(self, answer: JobAnswer, _delivery: Delivery) -> None:
        """Returns at once."""
        if not 0 <= answer.attempt <= _INT32:
            return
        self._sender.heard_of(answer.request_id, answer.attempt, answer.after_ms / 1000)
        if answer.accepted:
            self._acceptances.accepted(answer)
        else:
            self._meters.refusals.inc()
            self.refusals.add_with(answer, _ignore)

    async def _refuse(self, answers: list[JobAnswer]) -> Sequence[None]:
        self._announcer.soon(await self._store.refuse(answers))
        return [None] * len(answers)


def _ignore(_outcome: BaseException | None) -> None:
    """A refusal that was not noted is repeated when the repair loop sends the job again."""
