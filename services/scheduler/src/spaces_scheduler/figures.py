"""Counts over time: what one process counted since it looked last, and what many of them say about a step of time.

Pure. How long things took is known by ranges only, those of the metrics: a percentile is estimated within its range.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from spaces_chassis.metrics import LATENCY_BUCKETS_S
from spaces_contracts.requests import RequestState

RANGES = len(LATENCY_BUCKETS_S) + 1
ENDS = [state.value for state in RequestState if state.terminal]


def _none() -> list[int]:
    return [0] * RANGES


@dataclass(frozen=True)
class Counts:
    """What happened, in all or since some moment."""

    accepted: int = 0
    ended: Mapping[str, int] = field(default_factory=dict)  # by state
    waits: Sequence[int] = field(default_factory=_none)  # by range
    runs: Sequence[int] = field(default_factory=_none)

    def since(self, before: "Counts") -> "Counts":
        """What was added."""
        return Counts(
            self.accepted - before.accepted,
            {state: self.ended.get(state, 0) - before.ended.get(state, 0) for state in ENDS},
            [now - then for now, then in zip(self.waits, before.waits, strict=True)],
            [now - then for now, then in zip(self.runs, before.runs, strict=True)],
        )

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.accepted or any(self.ended.values()))


def ranges(cumulative: Iterable[float]) -> list[int]:
    """Counts of each range, of counts up to the end of each."""
    counts: list[int] = []
    before = 0
    for upto in cumulative:
        counts.append(int(upto) - before)
        before = int(upto)
    return counts


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Seconds that a share of all were not longer than; the last range counts as its beginning."""
    total = sum(counts)
    if total == 0:
        return None
    wanted = share * total
    seen = 0
    for nth, count in enumerate(counts):
        if count and seen + count >= wanted:
            if nth == len(LATENCY_BUCKETS_S):
                break
            low = LATENCY_BUCKETS_S[nth - 1] if nth else 0.0
            return low + (LATENCY_BUCKETS_S[nth] - low) * (wanted - seen) / count
        seen += count
    return LATENCY_BUCKETS_S[-1]


def step_s(hours: int) -> int:
    """How long one point is, so that a plot has some 60 to 170 of them."""
    if hours <= 2:
        return 60
    if hours <= 12:
        return 300
    return 900 if hours <= 36 else 3600
