"""The clock that tests turn by hand, and the machine's."""

import asyncio
from datetime import UTC, datetime, timedelta

from spaces_chassis.clock import Clock, SystemClock
from spaces_chassis.testing import ManualClock


async def test_sleepers_wake_in_the_order_of_their_time_and_no_sooner() -> None:
    clock = ManualClock()
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    tasks = [asyncio.create_task(sleeper(name, s)) for name, s in (("b", 2), ("a", 1), ("c", 9))]
    await asyncio.sleep(0)
    assert clock.sleepers == 3
    clock.forward(2)
    await asyncio.gather(*tasks[:2])
    assert woken == ["a", "b"]
    assert clock.sleepers == 1
    tasks[2].cancel()
    await asyncio.wait(tasks)
    assert clock.sleepers == 0
    clock.forward(100)


def test_turning_moves_both_clocks_and_a_step_only_the_wall() -> None:
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=UTC))
    before = clock.monotonic()
    clock.forward(10)
    clock.step_wall(-3600)
    assert clock.now() == datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=10 - 3600)
    assert clock.monotonic() == before + 10


async def test_the_system_clock_is_in_utc_and_goes_on() -> None:
    clock: Clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before
    assert clock.now().tzinfo is UTC
