"""Sends jobs and cancels to the holders of connections, and tells the registry of those nobody holds."""

from collections.abc import Sequence
from contextlib import suppress

import structlog

from spaces_chassis.bus import Bus, decode_reply
from spaces_chassis.clock import Clock
from spaces_chassis.errors import BusUnavailable, ProblemError
from spaces_contracts.connections import ConnectionSuspected
from spaces_contracts.message import Message
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import JOB_ANSWERS, CancelJob, ConnectionGone, Job
from spaces_scheduler.meters import Meters
from spaces_scheduler.truth_store import Stop

log = structlog.get_logger(__name__)

# A connection is named to the registry once in this time, however many messages failed to reach it.
SUSPECT_AGAIN_S = 1.0
# Jobs whose answer is waited for, to measure it; answers may also reach another scheduler.
_MEASURED = 10_000


class JobSender:
    """Never raises: what does not arrive is found by the repair loop."""

    def __init__(self, bus: Bus, clock: Clock, meters: Meters) -> None:
        self._bus = bus
        self._clock = clock
        self._meters = meters
        self._inbox = bus.inbox(self._answered, JOB_ANSWERS)
        self._sent: dict[tuple[str, int], float] = {}
        self._suspected: dict[str, float] = {}

    def send(self, jobs: Sequence[Job]) -> None:
        """Gives jobs to their connections."""
        for job in jobs:
            if len(self._sent) >= _MEASURED:
                self._sent.clear()
            self._sent[job.request_id, job.attempt] = self._clock.monotonic()
            self._publish(job, job.connection_id)

    def stop(self, stop: Stop, reason: Problem | None) -> None:
        """Asks a worker to stop an attempt."""
        message = CancelJob(
            route=stop.route,
            request_id=stop.request_id,
            attempt=stop.attempt,
            reason=reason or Problem(code=Code.CANCELLED, message="Cancelled"),
        )
        self._publish(message, stop.connection_id)

    def heard_of(self, request_id: str, attempt: int, after_s: float = 0.0) -> None:
        """A worker took an attempt that long ago: the time since it was sent is measured once."""
        sent = self._sent.pop((request_id, attempt), None)
        if sent is not None:
            self._meters.dispatch_seconds.observe(
                max(0.0, self._clock.monotonic() - sent - after_s)
            )

    def _publish(self, message: Message, connection_id: str) -> None:
        try:
            self._bus.publish_bytes(
                message.address(), message.encode(), reply_to=self._inbox.address(connection_id)
            )
        except BusUnavailable:
            log.debug("job_not_sent", connection_id=connection_id)

    def _answered(self, connection_id: str, body: bytes, no_responders: bool) -> None:
        """Nobody listens, or a gateway says that it does not hold the connection."""
        if not no_responders and not _says_gone(body, connection_id):
            log.warning("job_answered_oddly", connection_id=connection_id, body=body[:200])
            return
        now = self._clock.monotonic()
        if now - self._suspected.get(connection_id, -SUSPECT_AGAIN_S) < SUSPECT_AGAIN_S:
            return
        self._suspected = {
            other: since
            for other, since in self._suspected.items()
            if now - since < SUSPECT_AGAIN_S
        }
        self._suspected[connection_id] = now
        suspected = ConnectionSuspected(connection_ids=[connection_id])
        with suppress(BusUnavailable):
            self._bus.publish_bytes(suspected.address(), suspected.encode())


def _says_gone(body: bytes, connection_id: str) -> bool:
    try:
        return decode_reply(ConnectionGone, body).connection_id == connection_id
    except (ProblemError, ValueError):
        return False
