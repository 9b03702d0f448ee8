"""Results of workers: stored once, acknowledged, told to whoever waits; the freed slot's next job is sent."""

from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from spaces_chassis.batcher import Batcher, BatcherMetrics, is_outage
from spaces_chassis.bus import Bus, Delivery
from spaces_chassis.errors import BusUnavailable
from spaces_contracts.requests import (
    JobResult,
    RequestFinished,
    RequestState,
    ResultAck,
    ResultOutcome,
)
from spaces_scheduler.acceptances import Acceptances
from spaces_scheduler.meters import Meters
from spaces_scheduler.outgoing import Outgoing
from spaces_scheduler.request_store import decode_problem
from spaces_scheduler.result_store import Judgement, Outcome, ResultStore

log = structlog.get_logger(__name__)

_ENDS = (RequestState.SUCCEEDED, RequestState.FAILED, RequestState.CANCELLED)
_INT32 = 2**31 - 1


class Results:
    """Stores, acknowledges, tells, dispatches."""

    def __init__(
        self,
        bus: Bus,
        store: ResultStore,
        outgoing: Outgoing,
        acceptances: Acceptances,
        meters: Meters,
        metrics: BatcherMetrics,
    ) -> None:
        self._bus = bus
        self._store = store
        self._outgoing = outgoing
        self._acceptances = acceptances
        self._meters = meters
        self.batcher: Batcher[JobResult, ResultOutcome] = Batcher(
            self._flush, size_of=_size, name="finish", metrics=metrics
        )

    def finish(self, result: JobResult, delivery: Delivery) -> None:
        """Returns at once; the acknowledgement follows the COMMIT."""
        self._acceptances.finished(result.request_id, result.attempt)
        self._outgoing.sender.heard_of(
            result.request_id, result.attempt, result.processing_time_seconds
        )
        acknowledge = self._acknowledging(result, delivery)
        if result.state in _ENDS and 0 <= result.attempt <= _INT32 and 0 <= result.last_n <= _INT32:
            self.batcher.add_with(result, acknowledge)
        else:
            acknowledge(ResultOutcome.UNKNOWN)

    def _acknowledging(
        self, result: JobResult, delivery: Delivery
    ) -> Callable[[ResultOutcome | BaseException], None]:
        def acknowledge(verdict: ResultOutcome | BaseException) -> None:
            if isinstance(verdict, BaseException):
                # Not acknowledged: the worker keeps the result and sends it again.
                if not is_outage(verdict):
                    log.error(
                        "result_not_stored", request_id=result.request_id, error=repr(verdict)
                    )
                return
            self._meters.results[verdict.value].inc()
            if delivery.reply_to is None:
                return
            ack = ResultAck(request_id=result.request_id, attempt=result.attempt, verdict=verdict)
            with suppress(BusUnavailable):
                self._bus.publish_bytes(delivery.reply_to, ack.encode())

        return acknowledge

    async def _flush(self, results: list[JobResult]) -> Sequence[ResultOutcome]:
        outcome = await self._store.finish(results)
        self._outgoing.sender.send(outcome.jobs)
        for result, judgement in zip(results, outcome.judgements, strict=True):
            if judgement.finished:
                self._outgoing.ends.publish(_end(result, judgement), judgement.notify)
        self._outgoing.queues.changed(outcome.lanes.values())
        if self._outgoing.changes.watching:
            self._tell(results, outcome)
        return [ResultOutcome(judgement.verdict) for judgement in outcome.judgements]

    def _tell(self, results: Sequence[JobResult], outcome: Outcome) -> None:
        """To lists that somebody looks at."""
        changes = self._outgoing.changes
        for result, judgement in zip(results, outcome.judgements, strict=True):
            if judgement.finished:
                state = RequestState(judgement.state or "")
                error = decode_problem(judgement.error)
                changes.note(result.space_id, result.request_id, state, result.attempt, error=error)
        changes.claimed(outcome.jobs)


def _end(result: JobResult, judgement: Judgement) -> RequestFinished:
    assert judgement.created_at is not None, "a finished request was read back"
    assert judgement.finished_at is not None, "a finished request was read back"
    return RequestFinished(
        space_id=result.space_id,
        request_id=result.request_id,
        state=RequestState(judgement.state or ""),
        attempt=result.attempt,
        last_n=result.last_n,
        output_json=result.output_json,
        output_files=result.output_files,
        error=decode_problem(judgement.error),
        created_at=judgement.created_at,
        started_at=judgement.started_at,
        finished_at=judgement.finished_at,
        processing_time_seconds=result.processing_time_seconds,
        timestamp=result.timestamp,
    )


def _size(result: JobResult) -> int:
    return len(result.output_json or "") + 256
