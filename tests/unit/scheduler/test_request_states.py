"""The table of a request's life."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState, ResultOutcome
from spaces_scheduler.request_states import (
    EDGES,
    Held,
    Mover,
    judge,
    may_move,
    reachable,
    targets,
    when_due,
    when_lost,
    when_refused,
    when_told,
)

QUEUED, RUNNING = RequestState.QUEUED, RequestState.RUNNING
ENDS = {state for state in RequestState if state.terminal}
TOLD = st.sampled_from([RequestState.SUCCEEDED, RequestState.FAILED, RequestState.CANCELLED])


def test_an_end_is_final() -> None:
    assert not [edge for edge in EDGES if edge.source in ENDS]


def test_every_state_is_reached_from_a_submit_and_leads_to_every_end() -> None:
    assert reachable({QUEUED}) == set(RequestState)
    assert reachable({RUNNING}) >= ENDS


def test_a_life_begins_in_the_queue_only() -> None:
    assert [(e.target, e.by) for e in EDGES if e.source is None] == [(QUEUED, Mover.SUBMIT)]


def test_nothing_succeeds_but_by_a_result() -> None:
    assert {e.by for e in EDGES if e.target is RequestState.SUCCEEDED} == {Mover.FINISH}


def test_no_arrow_is_drawn_twice_and_each_has_a_guard() -> None:
    assert len({(e.source, e.target, e.by) for e in EDGES}) == len(EDGES)
    assert all(edge.guard for edge in EDGES)


@given(st.sampled_from(RequestState), st.sampled_from(RequestState), st.sampled_from(Mover))
def test_asking_for_an_arrow_agrees_with_asking_for_the_targets(
    source: RequestState, target: RequestState, by: Mover
) -> None:
    assert may_move(source, target, by) == (target in targets(source, by))


@given(st.booleans(), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_a_lost_request_goes_where_the_table_says_and_is_tried_again_at_most_max_attempts_times(
    cancel: bool, tries: int, most: int, retry: bool
) -> None:
    ending = when_lost(
        cancel_requested=cancel, tries=tries, max_attempts=most, retry_after_start=retry
    )
    assert may_move(RUNNING, ending.state, Mover.LOSE)
    assert (ending.state is QUEUED) == (not cancel and retry and tries < most)
    assert (ending.state is RequestState.CANCELLED) == cancel
    assert (ending.code is None) == (ending.state is QUEUED)


@pytest.mark.parametrize(("cancel", "state"), [(True, RequestState.CANCELLED), (False, QUEUED)])
def test_a_refused_request_waits_again_unless_it_was_cancelled(
    cancel: bool, state: RequestState
) -> None:
    ending = when_refused(cancel_requested=cancel)
    assert ending.state is state
    assert may_move(RUNNING, ending.state, Mover.REFUSE)


@pytest.mark.parametrize(
    ("state", "total", "code"),
    [
        (QUEUED, False, Code.QUEUE_TIMEOUT),
        (RUNNING, False, Code.RUN_TIMEOUT),
        (QUEUED, True, Code.TIMEOUT),
        (RUNNING, True, Code.TIMEOUT),
    ],
)
def test_an_expired_request_says_which_time_was_over(
    state: RequestState, total: bool, code: Code
) -> None:
    ending = when_due(state, total_is_over=total)
    assert (ending.state, ending.code) == (RequestState.EXPIRED, code)
    assert may_move(state, ending.state, Mover.EXPIRE)


@given(TOLD, st.booleans())
def test_a_result_means_an_end_of_the_table_and_no_cancel_that_nobody_asked_for(
    told: RequestState, cancel: bool
) -> None:
    state = when_told(told, cancel_requested=cancel)
    assert may_move(RUNNING, state, Mover.FINISH)
    assert state is told or (told is RequestState.CANCELLED and not cancel)


HELD = st.builds(
    Held,
    state=st.sampled_from(RequestState),
    attempt=st.integers(0, 3),
    same_instance=st.booleans(),
    released=st.booleans(),
    ended_by_worker=st.none() | st.integers(1, 3),
)


@given(HELD, st.integers(-1, 3))
def test_the_fence_lets_in_only_the_current_attempt_of_the_same_instance(
    held: Held, attempt: int
) -> None:
    verdict = judge(held, attempt)
    if verdict is ResultOutcome.STORED:
        assert held.same_instance
        assert attempt in (held.attempt, held.ended_by_worker)
    if not held.same_instance:
        assert verdict is ResultOutcome.UNKNOWN
    if held.same_instance and attempt >= 1 and attempt < held.attempt:
        assert verdict is not ResultOutcome.UNKNOWN
    if held.state.terminal and held.ended_by_worker is None:
        assert verdict is not ResultOutcome.STORED


def test_a_result_for_nothing_is_unknown() -> None:
    assert judge(None, 1) is ResultOutcome.UNKNOWN
