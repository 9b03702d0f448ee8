"""What the load client saw, and what the API says afterwards: all that the checker may look at."""

from dataclasses import dataclass, field
from datetime import datetime


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


@dataclass(frozen=True)
class Report:
    """What one fault did."""

    fault: str
    count: int
    accepted: int
    lost: int
    duplicated: int
    stuck: int
    longest_stall_s: float
    fifo_violations: int = 0
    executions: int = 0

    def row(self) -> dict[str, str | int | float]:
        """The row of build/reports/faults.json."""
        return {
            "fault": self.fault,
            "count": self.count,
            "accepted": self.accepted,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "stuck": self.stuck,
            "longest_stall_s": round(self.longest_stall_s, 3),
        }
