"""Parts start in order, are drained and stopped in reverse, and one that dies ends the process."""

import asyncio
import os
import signal
from collections.abc import Callable

import pytest

from spaces_chassis.lifecycle import Loop, LoopMetrics, run
from spaces_chassis.metrics import Metrics
from spaces_chassis.testing import ManualClock, Signal
from tests.support.eventually import eventually


class Recorder:
    """A part that writes down what is done to it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def start(self) -> None:
        self.log.append(f"start {self.name}")

    async def drain(self) -> None:
        self.log.append(f"drain {self.name}")

    async def stop(self) -> None:
        self.log.append(f"stop {self.name}")

    def healthy(self) -> bool:
        return True


class Mortal(Recorder):
    """A part that dies when told so."""

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__(name, log)
        self.end = asyncio.Event()

    async def died(self) -> BaseException:
        await self.end.wait()
        return ConnectionError("gone")


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_stops_in_reverse(number: int) -> None:
    log: list[str] = []
    parts = [Recorder(name, log) for name in ("database", "bus", "http")]

    assert await run(parts, ready=send(number)) == 0

    assert log == [
        *("start database", "start bus", "start http"),
        *("drain http", "drain bus", "drain database"),
        *("stop http", "stop bus", "stop database"),
    ]


async def test_a_part_that_cannot_start_ends_the_process_and_undoes_the_rest() -> None:
    log: list[str] = []

    class Broken(Recorder):
        async def start(self) -> None:
            raise OSError("address in use")

    parts = [Recorder("bus", log), Broken("http", log), Recorder("loop", log)]

    assert await run(parts, ready=lambda: log.append("ready")) == 1

    assert log == ["start bus", "stop http", "stop bus"]


async def test_a_part_that_dies_ends_the_process_without_draining() -> None:
    log: list[str] = []
    bus = Mortal("bus", log)

    assert await run([bus, Recorder("http", log)], ready=bus.end.set) == 1

    assert log == ["start bus", "start http", "stop http", "stop bus"]


async def test_a_drain_that_takes_too_long_is_cut_off() -> None:
    log: list[str] = []

    class Stuck(Recorder):
        async def drain(self) -> None:
            await asyncio.Event().wait()

    parts = [Recorder("bus", log), Stuck("http", log)]

    assert await run(parts, drain_s=0.05, ready=send(signal.SIGTERM)) == 0

    assert log == ["start bus", "start http", "stop http", "stop bus"]


async def test_a_second_signal_cuts_the_drain_off() -> None:
    log: list[str] = []

    class Stuck(Recorder):
        async def drain(self) -> None:
            send(signal.SIGINT)()
            await asyncio.Event().wait()

    assert await run([Stuck("http", log)], drain_s=600, ready=send(signal.SIGTERM)) == 0

    assert log == ["start http", "stop http"]


async def test_a_signal_during_the_start_stops_what_was_started() -> None:
    log: list[str] = []

    class Slow(Recorder):
        async def start(self) -> None:
            send(signal.SIGTERM)()
            await asyncio.Event().wait()

    parts = [Recorder("bus", log), Slow("database", log), Recorder("http", log)]

    assert await run(parts, ready=lambda: log.append("ready")) == 0

    assert log == ["start bus", "stop database", "stop bus"]


async def test_errors_while_draining_and_stopping_do_not_keep_other_parts_from_it() -> None:
    log: list[str] = []

    class Broken(Recorder):
        async def drain(self) -> None:
            raise RuntimeError("drain")

        async def stop(self) -> None:
            raise RuntimeError("stop")

    parts = [Recorder("bus", log), Broken("http", log)]

    assert await run(parts, ready=send(signal.SIGTERM)) == 0

    assert log == ["start bus", "start http", "drain bus", "stop bus"]


async def test_a_loop_steps_at_once_and_then_in_its_interval() -> None:
    clock = ManualClock()
    steps: Signal[float] = Signal()

    async def step() -> None:
        steps.send(clock.monotonic())

    loop = Loop("sweep", step, 5.0, clock)
    await loop.start()
    first = await steps.next()
    await eventually(lambda: clock.sleepers == 1)
    clock.forward(4.9)
    await asyncio.sleep(0)
    assert len(steps) == 1
    clock.forward(0.1)
    assert await steps.next() == pytest.approx(first + 5.0)
    await loop.stop()


async def test_a_step_that_fails_is_counted_and_the_loop_goes_on() -> None:
    clock = ManualClock()
    metrics = Metrics("test")
    steps: Signal[int] = Signal()

    async def step() -> None:
        steps.send(len(steps))
        raise RuntimeError("this time")

    loop = Loop("sweep", step, 1.0, clock, LoopMetrics(metrics))
    await loop.start()
    await steps.next()
    await eventually(lambda: clock.sleepers == 1)
    clock.forward(1.0)
    await steps.next()
    await eventually(lambda: clock.sleepers == 1)

    assert loop.healthy()
    assert b'spaces_loop_failures_total{loop="sweep"} 2.0' in metrics.render()[0]
    await loop.stop()
    assert not loop.healthy()


async def test_a_loop_that_is_woken_steps_now() -> None:
    clock = ManualClock()
    steps: Signal[int] = Signal()

    async def step() -> None:
        steps.send(1)

    loop = Loop("repair", step, 3600.0, clock)
    await loop.start()
    await steps.next()
    await eventually(lambda: clock.sleepers == 1)
    loop.wake()
    await steps.next()
    await loop.stop()


async def test_a_loop_that_is_woken_during_its_step_steps_once_more() -> None:
    clock = ManualClock()
    steps: Signal[int] = Signal()

    async def step() -> None:
        if len(steps) == 0:
            loop.wake()
        steps.send(1)

    loop = Loop("repair", step, 3600.0, clock)
    await loop.start()
    await steps.next()
    await steps.next()
    await eventually(lambda: clock.sleepers == 1)
    assert len(steps) == 2
    await loop.stop()


async def test_draining_a_loop_lets_its_step_finish_and_begins_no_other() -> None:
    clock = ManualClock()
    started, gate = asyncio.Event(), asyncio.Event()
    finished: list[int] = []

    async def step() -> None:
        started.set()
        await gate.wait()
        finished.append(1)

    loop = Loop("repair", step, 1.0, clock)
    await loop.start()
    await started.wait()
    draining = asyncio.create_task(loop.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    gate.set()
    await draining

    assert finished == [1]
    assert not loop.healthy()
    await loop.stop()


async def test_draining_a_loop_that_sleeps_ends_it_at_once() -> None:
    clock = ManualClock()
    steps: Signal[int] = Signal()

    async def step() -> None:
        steps.send(1)

    loop = Loop("repair", step, 3600.0, clock)
    await loop.start()
    await steps.next()
    await eventually(lambda: clock.sleepers == 1)
    await loop.drain()
    assert len(steps) == 1


async def test_a_loop_that_never_started_can_be_stopped() -> None:
    async def step() -> None: ...

    loop = Loop("repair", step, 1.0)
    await loop.drain()
    await loop.stop()
    assert not loop.healthy()
