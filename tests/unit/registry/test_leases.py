"""When silence means death."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.connections import LEASE_S, SUSPECT_AFTER_S
from spaces_registry import leases
from spaces_registry.leases import GRACE_S, Reading, Watch, disturbed, doubtful, lease_left_s

START = Reading(database_s=1_000_000.0, monotonic_s=50.0, bus_up_s=100.0, database_up_s=100.0)


def after(
    reading: Reading, seconds: float, *, wall: float | None = None, **connected: float
) -> Reading:
    """A later reading, in which the database's clock moved by `wall` seconds."""
    return replace(
        reading,
        database_s=reading.database_s + (seconds if wall is None else wall),
        monotonic_s=reading.monotonic_s + seconds,
        bus_up_s=connected.get("bus", reading.bus_up_s + seconds),
        database_up_s=connected.get("database", reading.database_up_s + seconds),
    )


def rested() -> Watch:
    """A watch that has run for its grace."""
    watch, reading = Watch().read(START), START
    for _ in range(int(GRACE_S)):
        reading = after(reading, 1.0)
        watch = watch.read(reading)
    return watch


def last(watch: Watch) -> Reading:
    assert watch.last is not None
    return watch.last


def test_a_fresh_watch_kills_nobody_for_the_grace() -> None:
    watch, reading = Watch(), START
    assert not watch.may_kill
    for _ in range(int(GRACE_S)):
        watch = watch.read(reading)
        assert not watch.may_kill
        reading = after(reading, 1.0)
    assert watch.read(reading).may_kill


@given(st.floats(-3600, 3600).filter(lambda step: abs(step - 1.0) > 2.0))
def test_a_step_of_the_clock_starts_the_grace_again(wall: float) -> None:
    watch = rested()
    stepped = watch.read(after(last(watch), 1.0, wall=wall))
    assert not stepped.may_kill
    later = stepped
    for _ in range(int(GRACE_S)):
        later = later.read(after(last(later), 1.0))
    assert later.may_kill


@given(st.floats(-1.9, 1.9))
def test_a_small_drift_is_no_step(drift: float) -> None:
    watch = rested()
    assert watch.read(after(last(watch), 1.0, wall=1.0 + drift)).may_kill


@given(st.floats(3.01, 100_000))
def test_a_process_that_stood_still_starts_the_grace_again(frozen_s: float) -> None:
    watch = rested()
    assert not watch.read(after(last(watch), frozen_s)).may_kill


@pytest.mark.parametrize("which", ["bus", "database"])
@pytest.mark.parametrize(("up_s", "may"), [(0.0, False), (GRACE_S - 0.1, False), (GRACE_S, True)])
def test_nobody_dies_while_or_shortly_after_something_was_away(
    which: str, up_s: float, may: bool
) -> None:
    watch = rested()
    assert watch.read(after(last(watch), 1.0, **{which: up_s})).may_kill is may


@given(st.floats(0, 2.9), st.floats(-1.9, 1.9))
def test_calm_readings_disturb_nothing(elapsed_s: float, drift: float) -> None:
    assert not disturbed(START, after(START, elapsed_s, wall=elapsed_s + drift))


@pytest.mark.parametrize(
    ("lease_left_s", "gateway_left_s", "expected"),
    [
        (None, None, False),
        (None, 10.0, False),
        (None, 3.5, False),
        (None, 3.4, True),
        (None, -5.0, True),
        (10.0, None, False),
        (7.0, None, False),
        (6.9, None, True),
        (6.9, 10.0, True),
        (9.0, 3.0, True),
    ],
)
def test_silence_becomes_doubt(
    lease_left_s: float | None, gateway_left_s: float | None, expected: bool
) -> None:
    assert doubtful(lease_left_s, gateway_left_s) is expected


def test_the_figures_are_those_of_the_design() -> None:
    assert leases.GRACE_S == 10.0
    assert leases.CLOCK_STEP_S == 2.0
    assert leases.LEASE_LIMIT_S == 12.0
    assert leases.DOUBTED_LEASE_S == 7.0
    assert leases.DOUBTED_GATEWAY_LEASE_S == 3.5


def test_a_step_that_is_exactly_on_the_limit_disturbs_nothing() -> None:
    assert not disturbed(START, after(START, leases.FROZEN_S))
    assert not disturbed(START, after(START, 1.0, wall=1.0 + leases.CLOCK_STEP_S))


@given(silent_s=st.floats(0, 60))
def test_a_sockets_lease_ends_at_one_moment_however_late_its_silence_is_told(
    silent_s: float,
) -> None:
    left_s = lease_left_s(silent_s)
    assert 0 <= left_s <= LEASE_S
    if SUSPECT_AFTER_S <= silent_s <= LEASE_S + SUSPECT_AFTER_S:
        assert silent_s + left_s == pytest.approx(LEASE_S + SUSPECT_AFTER_S)
