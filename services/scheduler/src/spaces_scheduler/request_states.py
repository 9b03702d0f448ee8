"""What may become of a request, by whom, and when. Pure.

The table is the promise; migrations/*.sql keep it, and tests hold the two against each other edge by edge.
docs/request-states.md tells the same in prose.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState, ResultOutcome


class Mover(StrEnum):
    """Who moves a request."""

    SUBMIT = "submit"
    CLAIM = "claim"
    ADOPT = "adopt"  # an attach that takes back what its instance still runs
    FINISH = "finish"
    REFUSE = "refuse"
    LOSE = "lose"  # the end of a connection: detach, or an attach that supersedes it
    CANCEL = "cancel"
    FORCE = "force"  # five seconds after a cancel that nobody confirmed
    EXPIRE = "expire"
    SHUT = "shut"  # the space was disabled or deleted


@dataclass(frozen=True)
class Edge:
    """One arrow. `source` is None for the first one."""

    source: RequestState | None
    target: RequestState
    by: Mover
    guard: str


_QUEUED, _RUNNING = RequestState.QUEUED, RequestState.RUNNING
_SUCCEEDED, _FAILED = RequestState.SUCCEEDED, RequestState.FAILED
_CANCELLED, _EXPIRED = RequestState.CANCELLED, RequestState.EXPIRED

EDGES: tuple[Edge, ...] = (
    Edge(None, _QUEUED, Mover.SUBMIT, "space enabled, input allowed, worker or queueing, room"),
    Edge(_QUEUED, _RUNNING, Mover.CLAIM, "a live connection has a free slot; attempt + 1"),
    Edge(_QUEUED, _RUNNING, Mover.ADOPT, "same instance, and no newer attempt was claimed"),
    Edge(_QUEUED, _CANCELLED, Mover.CANCEL, "at once"),
    Edge(_QUEUED, _CANCELLED, Mover.SHUT, "the space is disabled or deleted"),
    Edge(_QUEUED, _EXPIRED, Mover.EXPIRE, "queue_timeout_s or timeout_s is over"),
    Edge(_RUNNING, _SUCCEEDED, Mover.FINISH, "the fence holds"),
    Edge(_RUNNING, _FAILED, Mover.FINISH, "the fence holds"),
    Edge(_RUNNING, _CANCELLED, Mover.FINISH, "the fence holds, and a cancel was asked for"),
    Edge(_RUNNING, _QUEUED, Mover.REFUSE, "refused before it began; costs no try"),
    Edge(_RUNNING, _CANCELLED, Mover.REFUSE, "refused, and a cancel was asked for"),
    Edge(_RUNNING, _QUEUED, Mover.LOSE, "tries are left and the space tries again"),
    Edge(_RUNNING, _FAILED, Mover.LOSE, "no try is left, or the space does not try again"),
    Edge(_RUNNING, _CANCELLED, Mover.LOSE, "a cancel was asked for"),
    Edge(_RUNNING, _CANCELLED, Mover.FORCE, "a cancel was asked for 5 s ago"),
    Edge(_RUNNING, _EXPIRED, Mover.EXPIRE, "run_timeout_s or timeout_s is over"),
)


def may_move(source: RequestState | None, target: RequestState, by: Mover) -> bool:
    """Whether the table has the arrow."""
    return any((e.source, e.target, e.by) == (source, target, by) for e in EDGES)


def targets(source: RequestState | None, by: Mover) -> set[RequestState]:
    """Where a mover may take a request from there."""
    return {edge.target for edge in EDGES if edge.source is source and edge.by is by}


@dataclass(frozen=True)
class Ending:
    """A state to go to, and why, when it is an end that no worker told."""

    state: RequestState
    code: Code | None = None


def when_lost(
    *, cancel_requested: bool, tries: int, max_attempts: int, retry_after_start: bool
) -> Ending:
    """What becomes of a running request whose connection ended."""
    if cancel_requested:
        return Ending(_CANCELLED, Code.CANCELLED)
    if tries >= max_attempts or not retry_after_start:
        return Ending(_FAILED, Code.WORKER_LOST)
    return Ending(_QUEUED)


def when_refused(*, cancel_requested: bool) -> Ending:
    """What becomes of a running request that its worker refused before it began."""
    return Ending(_CANCELLED, Code.CANCELLED) if cancel_requested else Ending(_QUEUED)


def when_due(state: RequestState, *, total_is_over: bool) -> Ending:
    """Why a request expires; the total time speaks first."""
    if total_is_over:
        return Ending(_EXPIRED, Code.TIMEOUT)
    return Ending(_EXPIRED, Code.QUEUE_TIMEOUT if state is _QUEUED else Code.RUN_TIMEOUT)


def when_told(told: RequestState, *, cancel_requested: bool) -> RequestState:
    """The end that a worker's result means: giving up without being asked is a failure."""
    if told is _CANCELLED and not cancel_requested:
        return _FAILED
    return told


@dataclass(frozen=True)
class Held:
    """What is recorded of one attempt at a request, as the judge of a result sees it."""

    state: RequestState
    attempt: int  # the newest
    same_instance: bool  # the attempt was given to the instance that speaks
    released: bool  # its slot was given back
    ended_by_worker: int | None = None  # the attempt whose result was stored


def judge(held: Held | None, attempt: int) -> ResultOutcome:
    """The fence: whether a result for an attempt is stored. None: no such request in that space."""
    if held is None or not held.same_instance or attempt < 1:
        return ResultOutcome.UNKNOWN
    if held.state is _RUNNING and held.attempt == attempt and not held.released:
        return ResultOutcome.STORED
    if held.ended_by_worker == attempt:
        return ResultOutcome.STORED  # the same result once more
    return ResultOutcome.STALE


def reachable(start: Iterable[RequestState]) -> set[RequestState]:
    """All states that arrows lead to from there."""
    seen = set(start)
    todo = list(seen)
    while todo:
        state = todo.pop()
        new = {edge.target for edge in EDGES if edge.source is state} - seen
        seen |= new
        todo += new
    return seen
