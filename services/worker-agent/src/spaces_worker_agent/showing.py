"""What people see of the work: log lines with --verbose, and progress bars when a person sits there."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from spaces_contracts.problems import Problem
from spaces_worker_agent.attempts import Job, Key, Result
from spaces_worker_agent.settings import AgentSettings
from spaces_worker_agent.watching import Quiet, Watcher

log = structlog.get_logger()


class Verbose:
    """One log line for each thing that happens to a request."""

    def __init__(self) -> None:
        self._chunks: dict[Key, int] = {}

    def queue(self, space: str, size: int) -> None:
        log.info("queue", space=space, queue_size=size)

    def started(self, job: Job) -> None:
        log.info(
            "request_started",
            request_id=job.key.request_id,
            attempt=job.key.attempt,
            space=job.space,
            files=len(job.files),
            remaining_s=round(job.remaining_s, 1),
        )

    def chunk(self, key: Key) -> None:
        self._chunks[key] = self._chunks.get(key, 0) + 1

    def progress(self, key: Key, percent: float | None, message: str | None) -> None:
        log.info("request_progress", request_id=key.request_id, percent=percent, message=message)

    def stopping(self, key: Key, reason: Problem) -> None:
        log.info("request_stopping", request_id=key.request_id, why=reason.code)

    def ended(self, result: Result) -> None:
        facts = {} if result.error is None else {"code": result.error.code}
        log.info(
            "request_ended",
            request_id=result.key.request_id,
            attempt=result.key.attempt,
            status=result.status,
            seconds=result.processing_time_seconds,
            chunks=self._chunks.pop(result.key, 0),
            **facts,
        )

    def close(self) -> None:
        """Nothing is held."""


@contextmanager
def make_watcher(settings: AgentSettings) -> Iterator[Watcher]:
    """The watcher that fits the settings and the terminal."""
    watcher: Watcher = Verbose() if settings.verbose else Quiet()
    try:
        yield watcher
    finally:
        watcher.close()
