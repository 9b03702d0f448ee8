"""Judges a campaign from the client's log, the handlers' log and the API alone. Pure: values in, findings out.

The promises it checks:
- every accepted request has exactly one terminal state and one result, and the result is its own;
- nothing was accepted twice under one idempotency key;
- in a one-slot space, of two requests where the second was sent after the first was acknowledged,
  the first starts first (except in the seconds in which PostgreSQL's clock leapt beyond their deadlines, and
  nobody had seen it yet: what waits looks too old to be given away, and what is new does not);
- no attempt runs twice, and a request runs again only where a lease expired or its worker was killed;
- no chunk is missing or doubled for a client that resumes;
- no space with queued work goes without progress for longer than a lease and ten seconds more than the fault.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults import progress, reruns, streams
from tests.faults.history import (
    Execution,
    Inflicted,
    Outcome,
    Ownership,
    Reading,
    Submission,
    Window,
)

# A scheduler sees a leap of the clock within so much; what was sent shortly before may arrive in it.
_LEAP_S, _LEAP_BEFORE_S = 4.0, 1.0
TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


@dataclass(frozen=True)
class Evidence:
    """Everything that was seen of a round."""

    submissions: Sequence[Submission]
    outcomes: Sequence[Outcome]
    executions: Sequence[Execution] = ()
    ended_s: dict[tuple[str, int], float] = field(default_factory=dict)
    owners: Sequence[Ownership] = ()
    readings: Sequence[Reading] = ()
    windows: Sequence[Window] = ()
    inflicted: Inflicted = field(default_factory=Inflicted)
    # Spaces where several requests run at once: there is no first come, first started.
    parallel: frozenset[str] = frozenset()


@dataclass
class Findings:
    """Every violation, in words; empty lists are what is promised."""

    accepted: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    fifo: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    reruns: list[str] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    stalled: list[str] = field(default_factory=list)
    duplicate_executions: int = 0
    streams_read: int = 0
    resumes: int = 0  # of streams, after a lost socket
    unrecovered: int = 0  # streams that a client got whole, but not chunk by chunk
    longest_stall_s: float = 0.0  # without the time in which a fault was on
    longest_outage_s: float = 0.0  # with it

    def violations(self) -> list[str]:
        """All of them, worst first."""
        return [
            *self.lost,
            *self.duplicated,
            *self.wrong,
            *self.stuck,
            *self.reruns,
            *self.streams,
            *self.stalled,
            *self.fifo,
        ]


def check(evidence: Evidence) -> Findings:
    """Compares what was acknowledged with what the API and the handlers tell."""
    findings = Findings()
    _one_row_each(evidence.outcomes, findings)
    _one_end_each(evidence, findings)
    _unacknowledged_are_single(evidence, findings)
    _first_come_first_started(evidence, findings)
    again = reruns.judge(evidence.executions, evidence.owners, evidence.inflicted)
    findings.duplicate_executions, findings.reruns = again.count, again.violations
    findings.streams, findings.unrecovered = streams.judge(evidence.readings, evidence.inflicted)
    findings.streams_read = len(evidence.readings)
    findings.resumes = sum(reading.resumes for reading in evidence.readings)
    stalls = progress.stalls(evidence.submissions, evidence.executions, evidence.ended_s)
    own_s = [progress.without_faults_s(stall, evidence.windows) for stall in stalls]
    findings.longest_stall_s = max(own_s, default=0.0)
    findings.longest_outage_s = max((stall.seconds for stall in stalls), default=0.0)
    findings.stalled = progress.too_long(stalls, evidence.windows)
    return findings


def _one_end_each(evidence: Evidence, findings: Findings) -> None:
    """A killed handler process may fail the one request that it ran, with `handler_crashed`."""
    crashes_left = evidence.inflicted.handler_kills
    told = {outcome.request_id: outcome for outcome in evidence.outcomes}
    streamed = {reading.request_id for reading in evidence.readings}
    for submission in evidence.submissions:
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
        elif outcome.state != "succeeded":
            findings.wrong.append(f"{submission.key}: {outcome.state}, {outcome.error_code}")
        elif outcome.request_id in streamed:
            continue  # its output is judged with what the reader got
        elif outcome.prompt_echoed != submission.prompt:
            findings.wrong.append(f"{submission.key}: another's result {outcome.prompt_echoed!r}")


def _one_row_each(outcomes: Sequence[Outcome], findings: Findings) -> None:
    for request_id, count in Counter(outcome.request_id for outcome in outcomes).items():
        if count > 1:
            findings.duplicated.append(f"{request_id}: listed {count} times")


def _one_id_a_key(submission: Submission, findings: Findings) -> None:
    if len(set(submission.request_ids)) > 1:
        findings.duplicated.append(f"{submission.key}: accepted as {submission.request_ids}")


def _unacknowledged_are_single(evidence: Evidence, findings: Findings) -> None:
    """A request nobody was told of may exist once a key: its acknowledgement was lost."""
    submissions, outcomes = evidence.submissions, evidence.outcomes
    known = {rid for submission in submissions for rid in submission.request_ids}
    prompts = Counter(outcome.prompt_echoed for outcome in outcomes if outcome.prompt_echoed)
    for submission in submissions:
        if prompts[submission.prompt] > 1:
            findings.duplicated.append(
                f"{submission.key}: {prompts[submission.prompt]} requests carry its prompt"
            )
    pending = Counter(s.space for s in submissions if s.acknowledged_at is None)
    unknown = Counter(o.space for o in outcomes if o.request_id not in known)
    for space, count in unknown.items():
        if count > pending[space]:
            findings.duplicated.append(
                f"{count} requests in {space} that nobody was told of, {pending[space]} in doubt"
            )


def _first_come_first_started(evidence: Evidence, findings: Findings) -> None:
    began: dict[str, float] = {}
    for execution in evidence.executions:
        began.setdefault(execution.request_id, execution.began_s)
    leaps_s = evidence.inflicted.clock_leaps_s
    by_space: dict[str, list[tuple[Submission, float]]] = defaultdict(list)
    for submission in evidence.submissions:
        if submission.acknowledged_at is None or submission.space in evidence.parallel:
            continue
        leapt = any(0 <= submission.sent_at - s + _LEAP_BEFORE_S <= _LEAP_S for s in leaps_s)
        if (began_s := began.get(submission.request_ids[0])) is not None and not leapt:
            by_space[submission.space].append((submission, began_s))
    for started in by_space.values():
        started.sort(key=lambda pair: pair[1])
        _no_overtaking(started, findings)


def _no_overtaking(started: Sequence[tuple[Submission, float]], findings: Findings) -> None:
    """In order of start, nobody may have been acknowledged before one that started earlier was sent."""
    latest_sent, latest_key = float("-inf"), ""
    for submission, _ in started:
        assert submission.acknowledged_at is not None
        if submission.acknowledged_at < latest_sent:
            findings.fifo.append(f"{latest_key} started before {submission.key}")
        if submission.sent_at > latest_sent:
            latest_sent, latest_key = submission.sent_at, submission.key
