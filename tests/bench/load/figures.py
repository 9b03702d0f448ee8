"""What a run of load tells: counts, rates, percentiles."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed (nearest rank); 0 when there is none."""
    if not ordered:
        return 0.0
    rank = -(-len(ordered) * share // 1)
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


@dataclass(frozen=True)
class Times:
    """A distribution in milliseconds."""

    count: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Times":
        """From latencies in seconds, in any order."""
        ordered = sorted(seconds)
        return cls(
            len(ordered),
            *(round(percentile(ordered, share) * 1000, 3) for share in (0.5, 0.95, 0.99, 1.0)),
        )


@dataclass(frozen=True)
class Figures:
    """One measured phase. With any error the cell is invalid."""

    seconds: float
    times: Times
    errors: int = 0
    first_error: str = ""
    cpu_s: float = 0.0  # of the load generator itself
    extra: dict[str, Times] = field(default_factory=dict)  # first_token, dispatch, ...
    tokens: int = 0

    @property
    def rps(self) -> float:
        """Requests a second."""
        return self.times.count / self.seconds

    @property
    def tokens_per_s(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    def as_json(self) -> dict[str, Any]:
        """For the pipe to the parent process."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "Figures":
        """The opposite."""
        extra = {name: Times(**times) for name, times in facts["extra"].items()}
        return cls(**{**facts, "times": Times(**facts["times"]), "extra": extra})
