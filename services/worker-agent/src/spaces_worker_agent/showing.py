"""What people see of the work: log lines with --verbose, and progress bars when a person sits there."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

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

    def chunks(self, key: Key, count: int) -> None:
        self._chunks[key] = self._chunks.get(key, 0) + count

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


class Bars(Verbose):
    """A bar for each request that runs, under the log lines."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._bars: dict[Key, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._progress.start()

    def started(self, job: Job) -> None:
        super().started(job)
        name = f"{job.space} {job.key.request_id[-6:]}"
        self._bars[job.key] = self._progress.add_task(name, total=100, note="")

    def progress(self, key: Key, percent: float | None, message: str | None) -> None:
        bar = self._bars.get(key)
        if bar is not None:
            self._progress.update(bar, completed=percent, note=message or "")

    def ended(self, result: Result) -> None:
        bar = self._bars.pop(result.key, None)
        if bar is not None:
            self._progress.remove_task(bar)
        super().ended(result)

    def close(self) -> None:
        """Gives the terminal back."""
        self._progress.stop()


@contextmanager
def make_watcher(settings: AgentSettings, environ: Mapping[str, str]) -> Iterator[Watcher]:
    """The watcher that fits the settings and the terminal."""
    watcher: Watcher = Quiet()
    if settings.verbose:
        on_terminal = sys.stderr.isatty() and settings.log_format != "json"
        colourless = "NO_COLOR" in environ
        console = Console(stderr=True, no_color=colourless)
        watcher = Bars(console) if on_terminal else Verbose()
    try:
        yield watcher
    finally:
        watcher.close()
