"""The checker finds what it is there to find: each planted violation is reported."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.checker import check, longest_stall_s
from tests.faults.history import Outcome, Submission

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def healthy(count: int) -> tuple[list[Submission], list[Outcome]]:
    """Requests in one space, one after the other."""
    submissions = [
        Submission(f"k{n}", "s", f"p{n}", sent_at=n, acknowledged_at=n + 0.5, request_ids=[f"r{n}"])
        for n in range(count)
    ]
    outcomes = [
        Outcome(f"r{n}", "s", "succeeded", f"p{n}", at(n + 1), at(n + 1.5), at(n + 0.4), 1)
        for n in range(count)
    ]
    return submissions, outcomes


@given(count=st.integers(0, 50))
def test_a_healthy_run_has_no_findings(count: int) -> None:
    findings = check(*healthy(count))
    assert findings.violations() == []
    assert findings.accepted == count
    assert findings.longest_stall_s <= 1.5


def test_a_request_the_api_does_not_know_is_lost() -> None:
    submissions, outcomes = healthy(5)
    del outcomes[2]
    assert len(check(submissions, outcomes).lost) == 1


def test_a_request_without_an_end_is_stuck() -> None:
    submissions, outcomes = healthy(5)
    outcomes[2] = replace(outcomes[2], state="running", finished_at=None)
    assert len(check(submissions, outcomes).stuck) == 1


def test_another_requests_result_is_wrong() -> None:
    submissions, outcomes = healthy(5)
    outcomes[2] = replace(outcomes[2], prompt_echoed="p0")
    findings = check(submissions, outcomes)
    assert findings.wrong
    assert findings.duplicated


def test_a_failed_request_is_wrong() -> None:
    submissions, outcomes = healthy(2)
    outcomes[1] = replace(outcomes[1], state="failed", prompt_echoed=None)
    assert check(submissions, outcomes).wrong


def test_a_killed_handler_may_fail_the_one_request_it_ran() -> None:
    submissions, outcomes = healthy(3)
    for n in (0, 1):
        outcomes[n] = replace(
            outcomes[n], state="failed", prompt_echoed=None, error_code="handler_crashed"
        )
    assert len(check(submissions, outcomes, handler_kills=1).wrong) == 1
    assert check(submissions, outcomes, handler_kills=2).violations() == []


def test_a_key_accepted_twice_is_duplicated() -> None:
    submissions, outcomes = healthy(3)
    submissions[1].request_ids.append("r9")
    assert check(submissions, outcomes).duplicated


def test_a_request_nobody_submitted_is_duplicated() -> None:
    submissions, outcomes = healthy(3)
    outcomes.append(replace(outcomes[1], request_id="r9", prompt_echoed=None))
    assert check(submissions, outcomes).duplicated


def test_a_row_listed_twice_is_duplicated() -> None:
    submissions, outcomes = healthy(3)
    assert check(submissions, [*outcomes, outcomes[0]]).duplicated


def test_a_lost_acknowledgement_is_no_violation() -> None:
    submissions, outcomes = healthy(3)
    submissions[1].acknowledged_at = None
    submissions[1].request_ids = []
    assert check(submissions, outcomes).violations() == []


@given(first=st.integers(0, 8), second=st.integers(0, 8))
def test_overtaking_is_a_fifo_violation(first: int, second: int) -> None:
    submissions, outcomes = healthy(9)
    outcomes[first], outcomes[second] = (
        replace(outcomes[first], started_at=outcomes[second].started_at),
        replace(outcomes[second], started_at=outcomes[first].started_at),
    )
    assert bool(check(submissions, outcomes).fifo) == (first != second)


def test_requests_under_way_at_the_same_time_may_start_in_any_order() -> None:
    submissions, outcomes = healthy(2)
    submissions[1].sent_at = submissions[0].sent_at + 0.1
    outcomes[0] = replace(outcomes[0], started_at=at(5))
    assert check(submissions, outcomes).fifo == []


def test_a_stall_is_measured_only_while_there_is_work() -> None:
    _, outcomes = healthy(3)
    later = Outcome("r9", "s", "succeeded", "p9", at(101), at(101.5), at(100), 1)
    assert longest_stall_s([*outcomes, later]) <= 1.5
    waiting = replace(later, started_at=at(130), finished_at=at(131))
    assert longest_stall_s([*outcomes, waiting]) == 30
    crowd = [replace(waiting, request_id=f"c{n}", created_at=at(100 + n)) for n in range(20)]
    assert longest_stall_s([*outcomes, *crowd]) == 30
