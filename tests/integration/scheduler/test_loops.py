"""What the loops find: lost dispatches, stranded requests, clock steps, outages, mass changes."""

from collections.abc import Callable

import pytest

from spaces_chassis.bus import Bus, on
from spaces_chassis.lifecycle import Loop
from spaces_chassis.metrics import Metrics
from spaces_chassis.testing import Signal
from spaces_contracts.connections import SchedulerBeat
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState, ResultOutcome
from spaces_scheduler.app import Scheduler
from spaces_scheduler.clock_loop import ClockLoop
from spaces_scheduler.gauges_loop import GaugesLoop
from spaces_scheduler.meters import Meters
from spaces_scheduler.queue_events import EVERY_S
from spaces_scheduler.settings import SchedulerSettings
from tests.integration.scheduler.conftest import running
from tests.integration.scheduler.world import Lanes, World, new_request
from tests.support.eventually import eventually

# Repair


async def test_a_job_that_was_lost_on_the_way_is_sent_again(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    first = await worker.jobs.next()
    assert await scheduler.repair.step() == 0

    await world.lanes.forward(3)

    assert await scheduler.repair.step() == 1
    again = await worker.jobs.next()
    assert (again.request_id, again.attempt) == (first.request_id, first.attempt)
    assert repaired(scheduler, "dispatch") == 1
    assert await scheduler.repair.step() == 0


async def test_an_accepted_job_is_not_sent_again(world: World, scheduler: Scheduler) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    await worker.answer(await worker.jobs.next())
    await eventually(lambda: world.lanes.tables.fetchval(_ACCEPTED))
    await world.lanes.forward(3)
    assert await scheduler.repair.step() == 0
    assert len(worker.jobs) == 1


async def test_an_acceptance_of_a_finished_job_is_not_written(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    job = await worker.jobs.next()
    await worker.answer(job)
    await worker.finish(job)
    assert await scheduler.acceptances.write() == 0


async def test_a_request_that_waits_beside_a_free_slot_is_given_it(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.lanes.tables.execute("UPDATE scheduler.connection SET draining = true")
    verdict = await world.submit(space_id)
    # Behind the functions' back, as a bug would leave it.
    await world.lanes.tables.execute("UPDATE scheduler.connection SET draining = false")
    assert await scheduler.repair.step() == 0
    await world.lanes.forward(3)
    assert await scheduler.repair.step() == 1
    assert (await worker.jobs.next()).request_id == verdict.request_id
    assert repaired(scheduler, "claim") == 1


async def test_nothing_is_repaired_while_the_bus_is_away(
    world: World, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    await world.submit(space_id)
    await worker.jobs.next()
    await world.lanes.forward(3)
    monkeypatch.setattr(Bus, "connected", property(lambda _: False))
    assert await scheduler.repair.step() == 0
    assert await scheduler.sweep.step() == 0


async def test_an_announcement_sends_only_what_is_still_true(world: World) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    ends = await world.ends(space_id)
    await world.submit(space_id)
    job = await worker.jobs.next()
    await worker.finish(job)
    await world.announce(job.request_id, new_id())
    assert [(await ends.next()).request_id for _ in range(2)] == [job.request_id] * 2
    assert len(worker.jobs) == 1


def repaired(scheduler: Scheduler, kind: str) -> float:
    value = scheduler.metrics.registry.get_sample_value("spaces_repaired_total", {"kind": kind})
    assert value is not None
    return value


_ACCEPTED = "SELECT accepted_at IS NOT NULL FROM scheduler.assignment"

# Time


async def test_after_an_outage_nothing_expires_for_a_while(
    world: World, scheduler: Scheduler
) -> None:
    verdict = await world.submit(await world.lanes.open(queue_timeout_s=5))
    await scheduler.clock_watch.step()
    await world.lanes.forward(6)
    await scheduler.sweep.step()
    assert (await world.get(verdict.request_id)).state is RequestState.QUEUED
    scheduler.sweep.grace_s = 0.0
    await scheduler.sweep.step()
    assert (await world.get(verdict.request_id)).state is RequestState.EXPIRED


async def test_nothing_expires_before_the_clock_was_read(
    world: World, scheduler: Scheduler
) -> None:
    verdict = await world.submit(await world.lanes.open(queue_timeout_s=5))
    await world.lanes.forward(6)
    scheduler.sweep.grace_s = 0.0
    await scheduler.sweep.step()
    assert (await world.get(verdict.request_id)).state is RequestState.QUEUED


async def test_a_step_of_the_wall_clock_expires_nothing_and_is_accounted_for_once(
    world: World, scheduler: Scheduler
) -> None:
    """The step is played by our steady clock standing still: what differs is the same."""
    verdict = await world.submit(await world.lanes.open(queue_timeout_s=5))
    scheduler.sweep.grace_s = 0.0
    watches = [scheduler.clock_watch, other_watch(scheduler)]
    offset_s = [0.0]
    for watch in watches:
        watch.monotonic = earlier(watch.monotonic, offset_s)
        assert await watch.step() is None
    offset_s[0] = 3600.0

    assert scheduler.clock_watch.expected() is not None
    await scheduler.sweep.step()
    steps = [await watch.step() for watch in watches]

    assert [None if step is None else round(step) for step in steps] == [3600, None]
    shift = await world.lanes.tables.fetchval("SELECT stepped FROM scheduler.clock")
    assert round(shift.total_seconds()) == 3600
    await world.lanes.tables.execute("UPDATE scheduler.clock SET stepped = '0'")
    assert (await world.get(verdict.request_id)).state is RequestState.QUEUED


async def test_of_two_that_saw_a_step_one_accounts_for_it(lanes: Lanes) -> None:
    shift = "SELECT scheduler.shift_clock(0, 5)"
    assert [await lanes.as_scheduler.fetchval(shift) for _ in range(2)] == [True, False]


TIMES_LEFT = """
    SELECT extract(epoch FROM r.due_at - now.clock), extract(epoch FROM r.total_due_at - now.clock),
           extract(epoch FROM r.queued_at - now.clock), extract(epoch FROM a.offered_at - now.clock),
           extract(epoch FROM a.claimed_at - now.clock)
      FROM scheduler.request r LEFT JOIN scheduler.assignment a USING (request_id, attempt)
     CROSS JOIN (SELECT scheduler.deadline_clock() AS clock) now ORDER BY r.seq
"""


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 5.0, -5.0])
async def test_times_written_between_a_step_and_its_account_are_mended(
    world: World, scheduler: Scheduler, step_s: float
) -> None:
    """One runs and one waits; both came after the step, as the clock loop finds out afterwards."""
    tables = world.lanes.tables
    space_id = await world.lanes.open(queue_timeout_s=50, run_timeout_s=40, timeout_s=60)
    await world.worker(space_id)
    await world.submit_all(new_request(space_id), new_request(space_id))
    before = await tables.fetch(TIMES_LEFT)

    assert await scheduler.stores.upkeep.shift_clock(0, step_s, 3.0) == 3
    assert await scheduler.stores.upkeep.shift_clock(0, step_s, 3.0) is None

    after = await tables.fetch(TIMES_LEFT)
    for was, is_now in zip(before, after, strict=True):
        told = [a if a is None else round(float(a - b)) for a, b in zip(is_now, was, strict=True)]
        assert [one for one in told if one is not None] == [0] * (5 if was[3] else 3)


@pytest.mark.parametrize("step_s", [3600.0, 5.0])
async def test_times_from_before_a_step_forward_are_left_alone(
    world: World, scheduler: Scheduler, step_s: float
) -> None:
    tables = world.lanes.tables
    space_id = await world.lanes.open(queue_timeout_s=50)
    await world.submit(space_id)
    await tables.execute(
        "UPDATE scheduler.request SET queued_at = queued_at - make_interval(secs => $1),"
        " due_at = due_at - make_interval(secs => $1),"
        " total_due_at = total_due_at - make_interval(secs => $1)",
        step_s,
    )
    before = await tables.fetch("SELECT due_at, total_due_at, queued_at FROM scheduler.request")
    assert await scheduler.stores.upkeep.shift_clock(0, step_s, 3.0) == 0
    assert before == await tables.fetch(
        "SELECT due_at, total_due_at, queued_at FROM scheduler.request"
    )


async def test_the_clock_loop_mends_what_came_before_it_saw_the_step(
    world: World, scheduler: Scheduler
) -> None:
    watch, offset_s = scheduler.clock_watch, [0.0]
    watch.monotonic = earlier(watch.monotonic, offset_s)
    await watch.step()
    await world.submit(await world.lanes.open(queue_timeout_s=50))
    offset_s[0] = 3600.0
    assert await watch.step() is not None
    ((due_s, *_),) = await world.lanes.tables.fetch(TIMES_LEFT)
    assert 40 < due_s <= 50


async def test_what_was_under_way_during_a_step_is_mended_before_anything_expires(
    world: World, scheduler: Scheduler
) -> None:
    """It is played by a step back of our steady clock, and by a request with the time of before."""
    watch, offset_s, tables = scheduler.clock_watch, [0.0], world.lanes.tables
    scheduler.sweep.grace_s = 0.0
    watch.monotonic = earlier(watch.monotonic, offset_s)
    await watch.step()
    offset_s[0] = -3600.0
    assert round(await watch.step() or 0) == -3600
    verdict = await world.submit(await world.lanes.open(queue_timeout_s=50))
    await tables.execute(
        "UPDATE scheduler.request SET queued_at = queued_at - interval '1 h',"
        " due_at = due_at - interval '1 h', total_due_at = total_due_at - interval '1 h'"
    )
    trusted = []
    for _ in range(3):
        trusted.append(watch.trusted)
        await scheduler.sweep.step()
        assert (await world.get(verdict.request_id)).state is RequestState.QUEUED
        offset_s[0] -= 1.5  # seconds pass
        await watch.step()
    assert trusted == [False, False, True]
    await scheduler.sweep.step()
    assert (await world.get(verdict.request_id)).state is RequestState.QUEUED


def other_watch(scheduler: Scheduler) -> ClockLoop:
    return ClockLoop(scheduler.stores.upkeep, scheduler.clock, scheduler.meters)


def earlier(clock: Callable[[], float], offset_s: list[float]) -> Callable[[], float]:
    return lambda: clock() - offset_s[0]


# Mass changes


async def test_what_waits_in_a_disabled_space_is_cancelled_and_what_runs_goes_on(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    runs, waits = await world.submit_all(new_request(space_id), new_request(space_id))
    await world.lanes.open(space_id, enabled=False)

    assert await scheduler.mass_changes.step() == 1

    view = await world.get(waits.request_id)
    assert view.error is not None
    assert (view.state, view.error.code) == (RequestState.CANCELLED, Code.SPACE_DISABLED)
    await worker.finish(await worker.jobs.next())
    assert (await world.get(runs.request_id)).state is RequestState.SUCCEEDED


async def test_what_runs_in_a_deleted_space_is_asked_to_stop(
    world: World, scheduler: Scheduler
) -> None:
    space_id = await world.lanes.open()
    worker = await world.worker(space_id)
    runs, waits = await world.submit_all(new_request(space_id), new_request(space_id))
    await worker.jobs.next()
    await world.announce(*await world.lanes.close(space_id))
    assert await scheduler.mass_changes.step() == 1
    assert (await worker.cancels.next()).request_id == runs.request_id
    assert (await world.get(waits.request_id)).state is RequestState.CANCELLED


async def test_a_long_queue_is_cancelled_in_parts_of_at_most_500(lanes: Lanes) -> None:
    space_id = await lanes.open(max_queue=600)
    for _ in range(3):
        await lanes.submit_all(*(new_request(space_id) for _ in range(200)))
    await lanes.open(space_id, enabled=False, max_queue=600)
    sizes = []
    for _ in range(3):
        rows = await lanes.as_scheduler.fetch("SELECT scheduler.mass_change_step()")
        sizes.append(len(rows))
    assert sizes == [500, 100, 0]


async def test_old_idempotency_keys_are_forgotten(world: World, scheduler: Scheduler) -> None:
    space_id = await world.lanes.open()
    await world.submit(space_id, idempotency_key="old")
    await world.lanes.tables.execute(
        "UPDATE scheduler.idempotency SET expires_at = clock_timestamp() - interval '1 second'"
    )
    await world.submit(space_id, idempotency_key="new")
    await scheduler.mass_changes.step()
    keys = await world.lanes.tables.fetch("SELECT key FROM scheduler.idempotency")
    assert [row["key"] for row in keys] == ["new"]


# Figures and events


async def test_one_of_two_schedulers_shows_the_depth_of_the_queues(
    world: World, scheduler: Scheduler
) -> None:
    await world.submit(await world.lanes.open())
    other = GaugesLoop(scheduler.stores.requests, Meters(Metrics("other")))
    assert [await scheduler.gauges.step(), await other.step()] == [True, False]
    depth = scheduler.metrics.registry.get_sample_value("spaces_queue_depth")
    assert depth == 1
    assert b"spaces_queue_depth 1.0" in scheduler.metrics.render()[0]


async def test_watchers_of_a_space_hear_the_first_change_at_once_and_the_last_one_surely(
    world: World,
) -> None:
    space_id = await world.lanes.open(max_queue=100)
    events = await world.events(space_id)
    for _ in range(20):
        await world.submit(space_id)
    first = await events.next()
    assert first.queue_size == 1
    await eventually(lambda: events.values[-1].queue_size == 20, timeout_s=4 * EVERY_S + 5)
    assert len(events) <= 6


async def test_a_scheduler_says_that_it_lives(world: World, scheduler: Scheduler) -> None:
    beats: Signal[SchedulerBeat] = Signal()
    route = on(SchedulerBeat, lambda beat, _: beats.send(beat))
    subscription = await world.bus.subscribe(route)
    await scheduler.beats.step()
    assert (await beats.next()).version
    await subscription.stop()


async def test_work_goes_on_with_two_schedulers(world: World, settings: SchedulerSettings) -> None:
    space_id = await world.lanes.open(max_queue=100)
    worker = await world.worker(space_id, slots=4)
    other = Scheduler(settings)
    async with running([part for part in other.parts if not isinstance(part, Loop)]):
        for _ in range(30):
            await world.submit(space_id)
        for _ in range(30):
            ack = await worker.finish(await worker.jobs.next())
            assert ack.verdict is ResultOutcome.STORED
    assert await world.lanes.repair() == []
