"""Judges a campaign from the client's log and the API alone. Pure: values in, findings out.

The promises it checks:
- every accepted request has exactly one terminal state and one result, and the result is its own;
- nothing was accepted twice under one idempotency key;
- in a one-slot space, of two requests where the second was sent after the first was acknowledged,
  the first starts first;
- no space with queued work goes without progress for longer than the limit.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tests.faults.history import Outcome, Submission

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


@dataclass(frozen=True)
class Stall:
    """A time without progress in a space that had work."""

    began_at: datetime
    seconds: float


@dataclass
class Findings:
    """Every violation, in words; empty lists are what is promised."""

    accepted: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    fifo: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    longest_stall_s: float = 0.0

    def violations(self) -> list[str]:
        """All of them, worst first."""
        return [*self.lost, *self.duplicated, *self.wrong, *self.stuck, *self.fifo]


def check(
    submissions: Sequence[Submission], outcomes: Sequence[Outcome], *, handler_kills: int = 0
) -> Findings:
    """Compares what was acknowledged with what the API tells.

    A killed handler process may fail the one request that it ran, with `handler_crashed`.
    """
    crashes_left = handler_kills
    findings = Findings()
    told = {outcome.request_id: outcome for outcome in outcomes}
    _one_row_each(outcomes, findings)
    for submission in submissions:
        if submission.acknowledged_at is None:
            continue
        findings.accepted += 1
        _one_id_a_key(submission, findings)
        outcome = told.get(submission.request_ids[0])
        if outcome is None:
            findings.lost.append(f"{submission.key}: accepted, but the API does not know it")
        elif outcome.state not in TERMINAL:
            findings.stuck.append(f"{submission.key}: still {outcome.state}")
        elif outcome.error_code == "handler_crashed" and crashes_left > 0:
            crashes_left -= 1
        elif outcome.state != "succeeded" or outcome.prompt_echoed != submission.prompt:
            findings.wrong.append(f"{submission.key}: {outcome.state}, {outcome.prompt_echoed!r}")
    known = {rid for submission in submissions for rid in submission.request_ids}
    _unacknowledged_are_single(submissions, outcomes, known, findings)
    _first_come_first_started(submissions, told, findings)
    findings.longest_stall_s = longest_stall_s(outcomes)
    return findings


def _one_row_each(outcomes: Sequence[Outcome], findings: Findings) -> None:
    for request_id, count in Counter(outcome.request_id for outcome in outcomes).items():
        if count > 1:
            findings.duplicated.append(f"{request_id}: listed {count} times")


def _one_id_a_key(submission: Submission, findings: Findings) -> None:
    if len(set(submission.request_ids)) > 1:
        findings.duplicated.append(f"{submission.key}: accepted as {submission.request_ids}")


def _unacknowledged_are_single(
    submissions: Sequence[Submission],
    outcomes: Sequence[Outcome],
    known: set[str],
    findings: Findings,
) -> None:
    """A request nobody was told of may exist once a key: its acknowledgement was lost."""
    prompts = Counter(outcome.prompt_echoed for outcome in outcomes if outcome.prompt_echoed)
    for submission in submissions:
        if prompts[submission.prompt] > 1:
            findings.duplicated.append(
                f"{submission.key}: {prompts[submission.prompt]} requests carry its prompt"
            )
    pending = {s.space for s in submissions if s.acknowledged_at is None}
    for outcome in outcomes:
        if outcome.request_id not in known and outcome.space not in pending:
            findings.duplicated.append(f"{outcome.request_id}: nobody submitted it")


def _first_come_first_started(
    submissions: Sequence[Submission], told: dict[str, Outcome], findings: Findings
) -> None:
    by_space: dict[str, list[tuple[Submission, datetime]]] = defaultdict(list)
    for submission in submissions:
        outcome = told.get(submission.request_ids[0]) if submission.request_ids else None
        if submission.acknowledged_at is not None and outcome and outcome.started_at:
            by_space[submission.space].append((submission, outcome.started_at))
    for started in by_space.values():
        started.sort(key=lambda pair: pair[1])
        _no_overtaking(started, findings)


def _no_overtaking(started: Sequence[tuple[Submission, datetime]], findings: Findings) -> None:
    """In order of start, nobody may have been acknowledged before one that started earlier was sent."""
    latest_sent, latest_key = float("-inf"), ""
    for submission, _ in started:
        assert submission.acknowledged_at is not None
        if submission.acknowledged_at < latest_sent:
            findings.fifo.append(f"{latest_key} started before {submission.key}")
        if submission.sent_at > latest_sent:
            latest_sent, latest_key = submission.sent_at, submission.key


def longest_stall_s(outcomes: Sequence[Outcome]) -> float:
    """The longest of all stalls, in seconds."""
    return max((stall.seconds for stall in stalls(outcomes)), default=0.0)


def stalls(outcomes: Sequence[Outcome]) -> list[Stall]:
    """The times in which a space had work and nothing started or finished in it."""
    by_space: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_space[outcome.space].append(outcome)
    return [stall for space in by_space.values() for stall in _stalls_of(space)]


def _stalls_of(outcomes: Sequence[Outcome]) -> Iterator[Stall]:
    changes: list[tuple[datetime, int]] = []  # when, and by how much open work changes
    for outcome in outcomes:
        changes.append((outcome.created_at, 1))
        if outcome.started_at:
            changes.append((outcome.started_at, 0))
        if outcome.finished_at:
            changes.append((outcome.finished_at, -1))
    changes.sort()
    work, since = 0, None
    for moment, change in changes:
        # A submit is no progress, unless there was no work before it.
        if since is not None and work > 0 and change <= 0:
            yield Stall(since, (moment - since).total_seconds())
        if change <= 0 or work == 0:
            since = moment
        work += change
