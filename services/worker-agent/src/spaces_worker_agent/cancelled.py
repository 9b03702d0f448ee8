"""How attempts end that somebody stopped. Pure."""

from dataclasses import replace
from datetime import datetime

from spaces_contracts.problems import Code, Problem
from spaces_worker_agent.attempts import Job, Result, Status


def never_started(job: Job, timestamp: datetime) -> Result:
    """The cancel came before the job."""
    return Result(
        key=job.key,
        space_id=job.space_id,
        status="cancelled",
        timestamp=timestamp,
        error=Problem(code=Code.CANCELLED, message="Cancelled before it started."),
    )


def stopped(result: Result, reason: Problem) -> Result:
    """Cancelled, or failed when this host's own deadline ended it."""
    status: Status = "failed" if reason.code is Code.TIMEOUT else "cancelled"
    return replace(result, status=status, output_json=None, output_files=(), error=reason)
