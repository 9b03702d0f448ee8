"""The table of a request's life."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState, ResultOutcome
from spaces_scheduler.request_states import (
    EDGES,
    Edge,
    Ending,
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


# A request that was tried so often before; the fence counts on, whatever the number.
EARLIER = (0, 1000)


def every_held(first: int) -> Iterator[Held]:
    """Every record of a request whose newest attempt is one of the three from `first` on."""
    for state in RequestState:
        for newest, by_worker in product(range(3), (None, 0, 1, 2)):
            for same_instance, released in product((True, False), repeat=2):
                yield Held(
                    state=state,
                    attempt=first + newest,
                    same_instance=same_instance,
                    released=released,
                    ended_by_worker=None if by_worker is None else first + by_worker,
                )


@pytest.mark.parametrize("first", EARLIER)
def test_the_fence_lets_in_the_current_attempt_of_the_same_instance_and_what_it_stored(
    first: int,
) -> None:
    for held, attempt in product(every_held(first), range(first - 1, first + 4)):
        verdict = judge(held, attempt)
        current = held.state is RUNNING and attempt == held.attempt and not held.released
        if not held.same_instance or attempt < 1:
            assert verdict is ResultOutcome.UNKNOWN, (held, attempt)
        elif current or attempt == held.ended_by_worker:
            assert verdict is ResultOutcome.STORED, (held, attempt)
        else:
            assert verdict is ResultOutcome.STALE, (held, attempt)


@pytest.mark.parametrize(
    "value", [EDGES[0], when_refused(cancel_requested=True), Held(RUNNING, 1, True, False)]
)
def test_an_arrow_an_ending_and_a_record_are_values_that_nobody_changes(
    value: Edge | Ending | Held,
) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(value)[0].name, None)
    assert value in {value}


def test_a_result_for_nothing_is_unknown() -> None:
    assert judge(None, 1) is ResultOutcome.UNKNOWN
