"""Whether every space with work went on. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spaces_contracts.connections import LEASE_S
from tests.faults.history import Execution, Submission, Window

# A lease that ran out, and ten seconds to notice it and to give the work away again.
STALL_LIMIT_S = LEASE_S + 10.0


@dataclass(frozen=True)
class Stall:
    """A time without progress in a space that had work."""

    space: str
    began_s: float
    seconds: float


def stalls(
    submissions: Sequence[Submission],
    executions: Sequence[Execution],
    ended_s: dict[tuple[str, int], float],
) -> list[Stall]:
    """The times in which a space had accepted work and nothing began or ended in it."""
    space_of = {rid: s.space for s in submissions for rid in s.request_ids}
    moves: dict[str, list[tuple[float, int]]] = defaultdict(list)
    last: dict[str, float] = {}  # request -> the last that was seen of it
    for execution in executions:
        if (space := space_of.get(execution.request_id)) is None:
            continue
        moves[space].append((execution.began_s, 0))
        end = ended_s.get((execution.request_id, execution.attempt))
        if end is not None:
            moves[space].append((end, 0))
        seen = max(execution.began_s, end or 0.0)
        last[execution.request_id] = max(seen, last.get(execution.request_id, 0.0))
    for submission in submissions:
        if submission.acknowledged_at is not None and submission.request_ids[0] in last:
            done_s = last[submission.request_ids[0]]
            accepted_s = min(submission.acknowledged_at, done_s)
            moves[submission.space] += [(accepted_s, 1), (done_s, -1)]
    return [stall for space, moved in moves.items() for stall in _stalls_of(space, moved)]


def _stalls_of(space: str, moves: list[tuple[float, int]]) -> Iterator[Stall]:
    moves.sort()
    work, since = 0, None
    for moment, change in moves:
        # A submit is no progress, unless there was no work before it.
        if since is not None and work > 0 and change <= 0:
            yield Stall(space, since, moment - since)
        if change <= 0 or work == 0:
            since = moment
        work += change


def too_long(stalls: Sequence[Stall], windows: Sequence[Window]) -> list[str]:
    """Stalls beyond the limit, in words; time in which a fault was on does not count."""
    told = []
    for stall in stalls:
        own_s = without_faults_s(stall, windows)
        if own_s > STALL_LIMIT_S:
            told.append(
                f"{stall.space}: no progress for {stall.seconds:.1f} s from {stall.began_s:.1f},"
                f" {own_s:.1f} s of it without a fault"
            )
    return told


def without_faults_s(stall: Stall, windows: Sequence[Window]) -> float:
    """How long nothing went on though no fault was on. Faults come one after the other: they do not overlap."""
    end_s = stall.began_s + stall.seconds
    return stall.seconds - sum(
        max(0.0, min(end_s, window.ended_s) - max(stall.began_s, window.began_s))
        for window in windows
    )
