"""Accepting requests: many messages share a transaction, and what is claimed in it is dispatched after COMMIT."""

import math
from collections.abc import Callable, Sequence

from spaces_chassis.batcher import Batcher, BatcherMetrics
from spaces_chassis.bus import Delivery
from spaces_chassis.bus.routes import problem_for
from spaces_chassis.errors import BusUnavailable
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import (
    NewRequest,
    RequestState,
    Submit,
    Submitted,
    SubmitVerdict,
)
from spaces_scheduler.intake_store import Acceptance, IntakeStore
from spaces_scheduler.intake_store import Intake as AcceptedBatch
from spaces_scheduler.meters import Meters
from spaces_scheduler.outgoing import Outgoing
from spaces_scheduler.queue_estimate import eta_s

# A day: what policies allow.
LONGEST_TIMEOUT_S = 86_400.0
_TEXTS = {
    Code.SPACE_NOT_FOUND: "No such space",
    Code.SPACE_DISABLED: "The space is disabled",
    Code.INPUT_NOT_ENABLED: "The space does not take this kind of input",
    Code.WORKER_NOT_CONNECTED: "Remote app not connected",
    Code.QUEUE_FULL: "The space's queue is full",
    Code.IDEMPOTENCY_KEY_REUSED: "The idempotency key was used for another body",
    Code.INVALID_REQUEST: "The request id is in use",
}
_RETRY_AFTER_S = {Code.WORKER_NOT_CONNECTED: 5.0, Code.QUEUE_FULL: 1.0}


class Intake:
    """Accepts, answers, dispatches."""

    def __init__(
        self,
        store: IntakeStore,
        outgoing: Outgoing,
        meters: Meters,
        metrics: BatcherMetrics,
    ) -> None:
        self._store = store
        self._outgoing = outgoing
        self._meters = meters
        self.batcher: Batcher[NewRequest, SubmitVerdict] = Batcher(
            self._flush, size_of=_size, name="submit", metrics=metrics
        )

    def submit(self, command: Submit, delivery: Delivery) -> None:
        """Returns at once; the answer is sent when all requests of the message have their verdict."""
        verdicts: list[SubmitVerdict | None] = [None] * len(command.requests)
        missing = len(verdicts)

        def settle(nth: int) -> Callable[[SubmitVerdict | BaseException], None]:
            def settled(verdict: SubmitVerdict | BaseException) -> None:
                nonlocal missing
                if isinstance(verdict, BaseException):
                    verdict = _failed(command.requests[nth], verdict)
                verdicts[nth] = verdict
                missing -= 1
                if missing == 0:
                    _answer(delivery, [v for v in verdicts if v is not None])

            return settled

        if not command.requests:
            _answer(delivery, [])
        for nth, request in enumerate(command.requests):
            problem = _unfit(request)
            if problem is not None:
                settle(nth)(SubmitVerdict(request_id=request.request_id, problem=problem))
            else:
                self.batcher.add_with(request, settle(nth))

    async def _flush(self, requests: list[NewRequest]) -> Sequence[SubmitVerdict]:
        intake = await self._store.submit(requests)
        self._outgoing.sender.send(intake.jobs)
        self._outgoing.queues.changed(intake.lanes.values())
        if self._outgoing.changes.watching:
            self._tell(requests, intake)
        return [self._verdict(acceptance) for acceptance in intake.acceptances]

    def _tell(self, requests: Sequence[NewRequest], intake: AcceptedBatch) -> None:
        """To lists that somebody looks at."""
        changes = self._outgoing.changes
        for request, acceptance in zip(requests, intake.acceptances, strict=True):
            if acceptance.code is None and acceptance.state and not acceptance.duplicate:
                state = RequestState(acceptance.state)
                changes.note(
                    request.space_id,
                    request.request_id,
                    state,
                    int(state is RequestState.RUNNING),
                    principal_id=request.principal_id,
                )
        changes.claimed(intake.jobs)

    def _verdict(self, acceptance: Acceptance) -> SubmitVerdict:
        if acceptance.code is not None or acceptance.state is None:
            code = Code(acceptance.code or Code.INTERNAL_ERROR)
            self._meters.refused.labels(code.value).inc()
            return SubmitVerdict(request_id=acceptance.request_id, problem=_problem(code))
        if not acceptance.duplicate:
            self._meters.accepted.inc()
        return SubmitVerdict(
            request_id=acceptance.request_id,
            state=RequestState(acceptance.state),
            position=acceptance.position,
            queue_size=acceptance.queue_size,
            eta_s=eta_s(acceptance.position, acceptance.slots, acceptance.mean_run_s),
            duplicate=acceptance.duplicate,
        )


def _answer(delivery: Delivery, verdicts: list[SubmitVerdict]) -> None:
    try:
        delivery.reply_now(Submitted(verdicts=verdicts))
    except BusUnavailable:
        return  # the gateway asks again with the same ids, and gets the same verdicts


def _failed(request: NewRequest, error: BaseException) -> SubmitVerdict:
    problem = problem_for(error if isinstance(error, Exception) else RuntimeError(str(error)))
    return SubmitVerdict(request_id=request.request_id, problem=problem)


def _problem(code: Code) -> Problem:
    return Problem(code=code, message=_TEXTS.get(code, ""), retry_after_s=_RETRY_AFTER_S.get(code))


def _unfit(request: NewRequest) -> Problem | None:
    """What the database would choke on; the gateway checks the rest."""
    for name in ("queue_timeout_s", "run_timeout_s", "timeout_s"):
        seconds = getattr(request, name)
        if seconds is not None and not (
            math.isfinite(seconds) and 0 < seconds <= LONGEST_TIMEOUT_S
        ):
            return Problem(
                code=Code.INVALID_REQUEST,
                message=f"{name} must be above 0 and at most {LONGEST_TIMEOUT_S:g} seconds",
            )
    texts = (request.idempotency_key, request.body_sha256, request.upload_url, request.notify)
    if any(text is not None and "\x00" in text for text in texts):
        return Problem(code=Code.INVALID_REQUEST, message="A text holds a NUL character")
    return None


def _size(request: NewRequest) -> int:
    return len(request.payload) + 256
