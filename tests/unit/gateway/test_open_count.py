"""How far gateways that count by themselves can pass a limit together, and that they find its end."""

from hypothesis import given, settings
from hypothesis import strategies as st

from spaces_gateway.quotas.open_count import FULL_S, GOOD_S, OpenCount


def counter(limit: int) -> OpenCount:
    count = OpenCount()
    count.limits(limit, None)
    return count


def enter_all(count: OpenCount, now: float) -> int:
    entered = 0
    while count.enter(now):
        entered += 1
    return entered


@given(st.integers(1, 500), st.integers(0, 600))
def test_two_gateways_that_count_at_once_pass_the_limit_by_one_at_most(
    limit: int, open_: int
) -> None:
    gateways = [counter(limit), counter(limit)]
    for count in gateways:
        count.asked(0)
        count.counted(open_, 0, 0)
    entered = sum(enter_all(count, 0) for count in gateways)
    assert open_ + entered <= max(open_, limit + 1)


@settings(deadline=None)
@given(st.integers(1, 500))
def test_one_gateway_fills_the_limit_and_no_more(limit: int) -> None:
    count, open_, now = counter(limit), 0, 0.0
    for _ in range(20):
        now += 0.01
        count.asked(now)
        count.counted(open_, 0, now)
        entered = enter_all(count, now)
        for _ in range(entered):
            count.leave()
        open_ += entered
    assert open_ == limit
    assert count.full(now)
    assert not count.full(now + FULL_S)


def test_what_is_still_on_its_way_to_the_scheduler_is_counted_once_at_least() -> None:
    count = counter(10)
    count.asked(0)
    count.counted(0, 0, 0)
    assert enter_all(count, 0) == 5
    count.asked(0.1)
    count.counted(0, 0, 0.1)  # none of the five has reached the scheduler
    assert enter_all(count, 0.1) == 3
    count.asked(0.2)
    count.counted(0, 0, 0.2)
    assert enter_all(count, 0.2) == 1


def test_an_old_count_is_not_used() -> None:
    count = counter(10)
    count.asked(0)
    count.counted(0, 0, 0)
    assert count.enter(GOOD_S - 0.01)
    assert not count.enter(GOOD_S)


def test_the_tighter_limit_is_named() -> None:
    count = OpenCount()
    count.limits(10, 3)
    count.asked(0)
    count.counted(5, 3, 0)
    assert (count.which, count.room) == ("queued", 0)
    count.counted(10, 0, 0)
    assert (count.which, count.room) == ("concurrent", 0)
