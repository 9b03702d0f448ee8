"""What the load client saw, what the handlers wrote, what was done to the platform: all that the checker may look at.

Times that end in `_s` are the machine's steady clock in seconds, the same in all processes; wall clocks are stepped
by some faults and prove nothing.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass
class Submission:
    """One logical request: an idempotency key, and every answer it got."""

    key: str
    space: str
    prompt: str
    sent_at: float  # the client's monotonic clock, seconds
    acknowledged_at: float | None = None
    request_ids: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)  # codes of attempts that were not accepted


@dataclass(frozen=True)
class Outcome:
    """One request as the API tells it."""

    request_id: str
    space: str
    state: str
    prompt_echoed: str | None
    started_at: datetime | None
    finished_at: datetime | None
    created_at: datetime
    attempt: int
    error_code: str | None = None
    output: Any = None


@dataclass(frozen=True)
class Execution:
    """One run of a handler."""

    request_id: str
    attempt: int
    began_s: float


@dataclass(frozen=True)
class Window:
    """One fault: what, and from when until when it was on."""

    fault: str
    began_s: float
    ended_s: float


@dataclass(frozen=True)
class Ownership:
    """Which connection had an attempt last, and how that connection ended; None while it lives."""

    request_id: str
    attempt: int
    space: str
    ended: str | None


@dataclass
class Inflicted:
    """What faults did that excuses something."""

    handler_kills: int = 0  # each may fail the one request that it ran
    worker_kills: Counter[str] = field(default_factory=Counter)  # by space: its work starts again
    stream_losses: int = 0  # times at which NATS was down or lost its data
    # When PostgreSQL's clock stepped forward by more than requests may wait, on the steady clock.
    clock_leaps_s: list[float] = field(default_factory=list)


@dataclass
class Reading:
    """What one reader of a stream was told, in order, over however many connections."""

    request_id: str
    chunks: int  # that the handler makes
    frames: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    resumes: int = 0


@dataclass(frozen=True)
class Report:
    """What one kind of fault did."""

    fault: str
    count: int
    accepted: int
    lost: int
    duplicated: int
    stuck: int
    longest_stall_s: float  # without the time in which the fault was on
    fifo_violations: int = 0
    duplicate_executions: int = 0
    longest_outage_s: float = 0.0  # with it
    skipped: str | None = None  # why it could not be inflicted here

    def row(self) -> dict[str, str | int | float]:
        """The row of build/reports/faults.json."""
        row: dict[str, str | int | float] = {
            "fault": self.fault,
            "count": self.count,
            "accepted": self.accepted,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "stuck": self.stuck,
            "longest_stall_s": round(self.longest_stall_s, 3),
            "longest_outage_s": round(self.longest_outage_s, 3),
            "fifo_violations": self.fifo_violations,
            "duplicate_executions": self.duplicate_executions,
        }
        return row | ({"skipped": self.skipped} if self.skipped else {})
