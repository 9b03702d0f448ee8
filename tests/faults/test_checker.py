"""The checker finds what it is there to find: each planted violation is reported."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.checker import Evidence, Findings, check
from tests.faults.history import (
    Execution,
    Inflicted,
    Outcome,
    Ownership,
    Reading,
    Submission,
    Window,
)
from tests.faults.progress import STALL_LIMIT_S, stalls
from tests.faults.reruns import LEASE_LOST

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def healthy(count: int) -> Evidence:
    """Requests in one space, one after the other: sent at n, acknowledged, run from n + 1 to n + 1.5."""
    submissions = [
        Submission(f"k{n}", "s", f"p{n}", sent_at=n, acknowledged_at=n + 0.5, request_ids=[f"r{n}"])
        for n in range(count)
    ]
    outcomes = [
        Outcome(f"r{n}", "s", "succeeded", f"p{n}", at(n + 1), at(n + 1.5), at(n + 0.4), 1)
        for n in range(count)
    ]
    return Evidence(
        submissions=submissions,
        outcomes=outcomes,
        executions=[Execution(f"r{n}", 1, n + 1) for n in range(count)],
        ended_s={(f"r{n}", 1): n + 1.5 for n in range(count)},
        owners=[Ownership(f"r{n}", 1, "s", None) for n in range(count)],
    )


def with_outcome(evidence: Evidence, number: int, **changes: object) -> Findings:
    """The verdict when the API tells one request otherwise."""
    outcomes = list(evidence.outcomes)
    outcomes[number] = replace(outcomes[number], **changes)  # type: ignore[arg-type]  # by name
    return check(replace(evidence, outcomes=outcomes))


@given(count=st.integers(0, 50))
def test_a_healthy_run_has_no_findings(count: int) -> None:
    findings = check(healthy(count))
    assert findings.violations() == []
    assert findings.accepted == count
    assert findings.longest_stall_s <= 1.5
    assert findings.duplicate_executions == 0


def test_of_nothing_nothing_is_found() -> None:
    assert check(Evidence(submissions=[], outcomes=[])) == Findings()
    assert (Findings().duplicate_executions, Findings().longest_stall_s) == (0, 0.0)
    counts = (Findings().streams_read, Findings().resumes, Findings().unrecovered)
    assert (counts, Findings().longest_outage_s) == ((0, 0, 0), 0.0)


def test_what_comes_after_a_submission_in_doubt_is_judged_too() -> None:
    evidence = healthy(3)
    evidence.submissions[0].acknowledged_at = None
    evidence.submissions[0].request_ids = []
    rest = replace(evidence, outcomes=evidence.outcomes[1:], executions=evidence.executions[1:])
    assert check(rest).violations() == []
    assert check(rest).accepted == 2
    assert with_outcome(rest, 1, state="running", finished_at=None).stuck
    swapped = [replace(one, began_s=9.0 - one.began_s) for one in rest.executions]
    assert len(check(replace(rest, executions=swapped)).fifo) == 1


def test_what_comes_after_a_stream_is_judged_too() -> None:
    evidence = healthy(3)
    streamed = replace(evidence, readings=[Reading("r0", 0, resumes=2)])
    found = with_outcome(streamed, 1, state="failed", prompt_echoed=None).wrong
    assert found == ["k1: failed, None"]
    assert (check(streamed).streams_read, check(streamed).resumes) == (1, 2)


def test_any_other_end_than_success_is_wrong() -> None:
    for state in ("cancelled", "expired", "failed"):
        assert len(with_outcome(healthy(3), 1, state=state, prompt_echoed=None).wrong) == 1, state


def test_a_later_or_an_earlier_prompt_is_not_ones_own() -> None:
    for prompt in ("a", "z"):
        assert len(with_outcome(healthy(3), 1, prompt_echoed=prompt).wrong) == 1, prompt


def test_a_request_the_api_does_not_know_is_lost() -> None:
    evidence = healthy(5)
    outcomes = [one for one in evidence.outcomes if one.request_id != "r2"]
    assert len(check(replace(evidence, outcomes=outcomes)).lost) == 1


def test_a_request_without_an_end_is_stuck() -> None:
    assert len(with_outcome(healthy(5), 2, state="running", finished_at=None).stuck) == 1


def test_another_requests_result_is_wrong() -> None:
    findings = with_outcome(healthy(5), 2, prompt_echoed="p0")
    assert findings.wrong
    assert findings.duplicated


def test_a_failed_request_is_wrong() -> None:
    assert with_outcome(healthy(2), 1, state="failed", prompt_echoed=None).wrong


def test_a_killed_handler_may_fail_the_one_request_it_ran() -> None:
    evidence = healthy(3)
    outcomes = [
        replace(one, state="failed", prompt_echoed=None, error_code="handler_crashed")
        if one.request_id in ("r0", "r1")
        else one
        for one in evidence.outcomes
    ]
    crashed = replace(evidence, outcomes=outcomes)
    assert len(check(replace(crashed, inflicted=Inflicted(handler_kills=1))).wrong) == 1
    assert check(replace(crashed, inflicted=Inflicted(handler_kills=2))).violations() == []


def test_a_key_accepted_twice_is_duplicated() -> None:
    evidence = healthy(3)
    evidence.submissions[1].request_ids.append("r9")
    findings = check(evidence)
    assert findings.duplicated == ["k1: accepted as ['r1', 'r9']"]
    assert findings.lost == [], "the first id is known"


def test_a_request_nobody_submitted_is_duplicated() -> None:
    evidence = healthy(3)
    more = replace(evidence.outcomes[1], request_id="r9", prompt_echoed=None)
    assert check(replace(evidence, outcomes=[*evidence.outcomes, more])).duplicated


def test_a_row_listed_twice_is_duplicated() -> None:
    evidence = healthy(3)
    again = [*evidence.outcomes, replace(evidence.outcomes[0], prompt_echoed=None)]
    findings = check(replace(evidence, outcomes=again))
    assert findings.duplicated == ["r0: listed 2 times"]


def test_a_lost_acknowledgement_may_leave_one_request_and_no_more() -> None:
    evidence = healthy(3)
    evidence.submissions[1].acknowledged_at = None
    evidence.submissions[1].request_ids = []
    assert check(evidence).violations() == []
    more = replace(evidence.outcomes[1], request_id="r9", prompt_echoed=None)
    assert check(replace(evidence, outcomes=[*evidence.outcomes, more])).duplicated


@given(first=st.integers(0, 8), second=st.integers(0, 8))
def test_overtaking_is_a_fifo_violation(first: int, second: int) -> None:
    evidence = healthy(9)
    executions = list(evidence.executions)
    executions[first], executions[second] = (
        replace(executions[first], began_s=executions[second].began_s),
        replace(executions[second], began_s=executions[first].began_s),
    )
    swapped = replace(evidence, executions=executions)
    assert bool(check(swapped).fifo) == (first != second)
    assert check(replace(swapped, parallel=frozenset({"s"}))).fifo == []


def test_requests_under_way_at_the_same_time_may_start_in_any_order() -> None:
    evidence = healthy(2)
    evidence.submissions[1].sent_at = evidence.submissions[0].sent_at + 0.1
    late = [replace(evidence.executions[0], began_s=5.0), evidence.executions[1]]
    assert check(replace(evidence, executions=late)).fifo == []


def test_order_is_not_judged_while_a_leap_of_the_clock_is_unseen_and_is_judged_after_it() -> None:
    evidence = healthy(9)
    executions = list(evidence.executions)
    executions[7] = replace(executions[7], began_s=executions[2].began_s - 0.1)
    overtaken = replace(evidence, executions=executions)
    assert check(overtaken).fifo
    for leap_s, excused in ((6.0, True), (7.5, True), (2.0, False), (9.0, False)):
        leapt = replace(overtaken, inflicted=Inflicted(clock_leaps_s=[leap_s]))
        assert (check(leapt).fifo == []) == excused, leap_s


def run_again(evidence: Evidence, number: int, ended: str | None) -> Evidence:
    """One request ran twice, and the connection of its first attempt ended so."""
    request_id = f"r{number}"
    owners = [
        replace(one, ended=ended) if one.request_id == request_id else one
        for one in evidence.owners
    ]
    return replace(
        evidence,
        executions=[*evidence.executions, Execution(request_id, 2, number + 1.7)],
        owners=[*owners, Ownership(request_id, 2, "s", None)],
    )


def test_an_execution_repeated_after_a_lost_lease_is_counted_and_allowed() -> None:
    findings = check(run_again(healthy(3), 1, LEASE_LOST))
    assert findings.violations() == []
    assert findings.duplicate_executions == 1


def test_an_execution_repeated_without_a_lost_lease_is_a_violation() -> None:
    for ended in (None, "superseded", "left", "kicked"):
        assert check(run_again(healthy(3), 1, ended)).reruns, ended


def test_a_killed_worker_may_repeat_one_execution_of_its_own_space() -> None:
    evidence = run_again(healthy(3), 1, "superseded")
    killed = Inflicted(worker_kills=Counter({"s": 1}))
    assert check(replace(evidence, inflicted=killed)).violations() == []
    twice = run_again(evidence, 2, "superseded")
    assert len(check(replace(twice, inflicted=killed)).reruns) == 1
    elsewhere = Inflicted(worker_kills=Counter({"t": 1}))
    assert check(replace(evidence, inflicted=elsewhere)).reruns


def test_one_attempt_that_runs_twice_is_a_violation_whatever_happened() -> None:
    evidence = healthy(3)
    owners = [replace(one, ended=LEASE_LOST) for one in evidence.owners]
    executions = [*evidence.executions, Execution("r1", 1, 2.2)]
    findings = check(replace(evidence, executions=executions, owners=owners))
    assert len(findings.reruns) == 1
    assert findings.duplicate_executions == 1


def test_an_attempt_that_nobody_was_given_is_a_violation() -> None:
    evidence = run_again(healthy(3), 1, LEASE_LOST)
    owners = [one for one in evidence.owners if (one.request_id, one.attempt) != ("r1", 1)]
    assert check(replace(evidence, owners=owners)).reruns


def idle_then_waiting(wait_s: float) -> Evidence:
    """Three requests at once, long idleness, and one that waits."""
    evidence = healthy(3)
    late = Submission("k9", "s", "p9", 100.0, 100.5, ["r9"])
    outcome = Outcome("r9", "s", "succeeded", "p9", at(0), at(0), at(0), 1)
    return replace(
        evidence,
        submissions=[*evidence.submissions, late],
        outcomes=[*evidence.outcomes, outcome],
        executions=[*evidence.executions, Execution("r9", 1, 100.5 + wait_s)],
        owners=[*evidence.owners, Ownership("r9", 1, "s", None)],
    )


def test_a_stall_is_measured_only_while_there_is_work() -> None:
    assert check(idle_then_waiting(1.0)).longest_stall_s <= 1.5
    assert check(idle_then_waiting(STALL_LIMIT_S - 1)).longest_stall_s == STALL_LIMIT_S - 1


def test_a_stall_beyond_the_limit_is_a_violation() -> None:
    assert check(idle_then_waiting(STALL_LIMIT_S - 0.1)).stalled == []
    assert len(check(idle_then_waiting(STALL_LIMIT_S + 0.1)).stalled) == 1


def test_the_time_of_a_fault_does_not_count_as_a_stall() -> None:
    evidence = idle_then_waiting(STALL_LIMIT_S + 5)
    enough = Window("cut", 95.0, 106.0)
    findings = check(replace(evidence, windows=[enough]))
    assert findings.stalled == []
    assert findings.longest_stall_s == STALL_LIMIT_S - 0.5
    assert findings.longest_outage_s == STALL_LIMIT_S + 5
    before = Window("cut", 80.0, 99.0)
    assert check(replace(evidence, windows=[before])).stalled
    short = Window("cut", 100.0, 103.0)
    assert check(replace(evidence, windows=[short])).stalled


def test_new_work_does_not_end_a_stall() -> None:
    waiting = [Submission(f"c{n}", "s", f"c{n}", n, n + 0.5, [f"c{n}"]) for n in range(20)]
    executions = [Execution(f"c{n}", 1, 30.0 + n) for n in range(20)]
    assert max(stall.seconds for stall in stalls(waiting, executions, {})) == 29.5
