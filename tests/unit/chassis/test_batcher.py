"""Natural batching: every item gets exactly one verdict, whatever the flush does."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces_chassis.batcher import Batcher, BatcherMetrics, is_outage
from spaces_chassis.errors import DatabaseUnavailable, ProblemError, UnavailableError
from spaces_chassis.metrics import Metrics
from spaces_contracts.problems import Code


class Gate:
    """A flush that waits to be let go, and remembers what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = asyncio.Event()
        self.open = asyncio.Event()

    async def flush(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.started.set()
        await self.open.wait()
        return [item * 10 for item in items]


async def batches_of(items: Iterable[int], make: Callable[..., Batcher[int, int]]) -> list[int]:
    """How many of the items, all there at the start, go into each flush."""
    gate = Gate()
    gate.open.set()
    batcher = make(gate.flush)
    verdicts = [batcher.add(item) for item in items]
    await batcher.start()
    await asyncio.gather(*verdicts)
    await batcher.stop()
    return [len(batch) for batch in gate.batches]


async def echo(items: list[int]) -> list[int]:
    return [item * 10 for item in items]


async def test_one_item_is_flushed_at_once() -> None:
    batcher = Batcher(echo)
    await batcher.start()
    assert await batcher.add(7) == 70
    await batcher.stop()


async def test_what_arrives_during_a_flush_goes_in_the_next_one_together() -> None:
    gate = Gate()
    batcher = Batcher(gate.flush)
    await batcher.start()
    first = batcher.add(0)
    await gate.started.wait()
    later = [batcher.add(n) for n in range(1, 101)]
    assert batcher.waiting == 100
    gate.open.set()

    assert await asyncio.gather(first, *later) == [n * 10 for n in range(101)]
    assert gate.batches == [[0], list(range(1, 101))]
    await batcher.stop()


async def test_a_batch_holds_at_most_so_many_items() -> None:
    gate = Gate()
    gate.open.set()
    batcher = Batcher(gate.flush, max_items=3)
    verdicts = [batcher.add(n) for n in range(8)]
    await batcher.start()

    await asyncio.gather(*verdicts)

    assert gate.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]
    await batcher.stop()


async def test_a_batch_holds_at_most_so_many_bytes_but_at_least_one_item() -> None:
    gate = Gate()
    gate.open.set()
    batcher = Batcher(gate.flush, max_bytes=10, size_of=lambda item: item)
    verdicts = [batcher.add(size) for size in (4, 6, 1, 25, 5, 5, 5)]
    await batcher.start()

    await asyncio.gather(*verdicts)

    assert gate.batches == [[4, 6], [1], [25], [5, 5], [5]]
    await batcher.stop()


async def test_a_batch_holds_256_items_unless_told_otherwise() -> None:
    assert await batches_of(range(257), Batcher) == [256, 1]


async def test_a_batch_may_hold_more_items_than_that() -> None:
    assert await batches_of(range(601), partial(Batcher, max_items=300)) == [300, 300, 1]


async def test_a_batch_holds_4_mib_unless_told_otherwise() -> None:
    half = 2 * 1024 * 1024
    sized = partial(Batcher, size_of=lambda item: item)
    assert await batches_of([half, half, 1, half, half], sized) == [2, 2, 1]
    assert await batches_of([half, half - 1, 1], sized) == [3]


async def test_a_bad_item_fails_alone_and_the_order_is_kept() -> None:
    stored: list[int] = []

    async def flush(items: list[int]) -> list[int]:
        if 13 in items:
            raise ValueError("13 is refused")
        stored.extend(items)
        return items

    batcher = Batcher(flush)
    verdicts = [batcher.add(n) for n in range(20)]
    await batcher.start()
    results = await asyncio.gather(*verdicts, return_exceptions=True)

    assert stored == [n for n in range(20) if n != 13]
    assert isinstance(results[13], ValueError)
    assert [r for r in results if not isinstance(r, BaseException)] == stored
    await batcher.stop()


async def test_an_outage_reaches_all_who_wait_and_nothing_is_tried_again() -> None:
    calls = 0

    async def flush(items: list[int]) -> list[int]:
        nonlocal calls
        calls += 1
        raise DatabaseUnavailable("it is down")

    batcher = Batcher(flush)
    verdicts = [batcher.add(n) for n in range(50)]
    await batcher.start()
    results = await asyncio.gather(*verdicts, return_exceptions=True)

    assert all(isinstance(result, DatabaseUnavailable) for result in results)
    assert calls == 1
    await batcher.stop()


async def test_an_outage_while_a_batch_is_split_ends_the_splitting() -> None:
    calls: list[int] = []

    async def flush(items: list[int]) -> list[int]:
        calls.append(len(items))
        if len(calls) == 1:
            raise ValueError("one of these")
        raise ConnectionResetError

    batcher = Batcher(flush)
    verdicts = [batcher.add(n) for n in range(8)]
    await batcher.start()
    results = await asyncio.gather(*verdicts, return_exceptions=True)

    assert calls == [8, 4]
    assert all(isinstance(result, ConnectionResetError) for result in results)
    await batcher.stop()


async def test_a_flush_with_too_few_results_is_not_run_again() -> None:
    calls = 0

    async def flush(items: list[int]) -> list[int]:
        nonlocal calls
        calls += 1
        return items[:-1]

    batcher = Batcher(flush, name="submit")
    verdicts = [batcher.add(n) for n in range(3)]
    await batcher.start()
    results = await asyncio.gather(*verdicts, return_exceptions=True)

    assert all("2 results for 3 items" in str(result) for result in results)
    assert calls == 1
    await batcher.stop()


async def test_draining_settles_what_was_added_and_takes_more() -> None:
    gate = Gate()
    batcher = Batcher(gate.flush)
    await batcher.start()
    first = batcher.add(1)
    await gate.started.wait()
    draining = asyncio.create_task(batcher.drain())
    late = batcher.add(2)
    gate.open.set()
    await draining

    assert first.done()
    assert await late == 20
    await batcher.drain()
    await batcher.stop()


async def test_a_drain_with_nothing_unsettled_returns_at_once_however_much_there_was() -> None:
    batcher = Batcher(echo)
    await batcher.start()
    await asyncio.gather(*(batcher.add(n) for n in range(1000)))

    draining = asyncio.create_task(batcher.drain())
    await asyncio.sleep(0)
    assert draining.done()
    await batcher.stop()


async def test_stopping_flushes_what_is_left_and_then_refuses() -> None:
    gate = Gate()
    batcher = Batcher(gate.flush)
    await batcher.start()
    kept = batcher.add(1)
    await gate.started.wait()
    stopping = asyncio.create_task(batcher.stop())
    await asyncio.sleep(0)
    refused = batcher.add(2)
    with pytest.raises(ProblemError) as caught:
        await refused
    assert caught.value.problem.code == Code.GOING_AWAY
    gate.open.set()
    await stopping

    assert await kept == 10
    assert not batcher.healthy()


async def test_an_interrupted_stop_tells_those_in_flight_and_those_waiting() -> None:
    gate = Gate()
    batcher = Batcher(gate.flush)
    await batcher.start()
    in_flight = batcher.add(1)
    await gate.started.wait()
    waiting = batcher.add(2)
    stopping = asyncio.create_task(batcher.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping

    for verdict, code in ((in_flight, Code.UNAVAILABLE), (waiting, Code.GOING_AWAY)):
        with pytest.raises(ProblemError) as caught:
            await verdict
        assert caught.value.problem.code == code


async def test_a_flush_that_is_cancelled_from_inside_does_not_end_the_batcher() -> None:
    async def flush(items: list[int]) -> list[int]:
        if 1 in items:
            raise asyncio.CancelledError
        return items

    batcher = Batcher(flush)
    await batcher.start()
    with pytest.raises(UnavailableError):
        await batcher.add(1)
    assert await batcher.add(2) == 2
    assert batcher.healthy()
    await batcher.stop()


async def test_a_callback_that_breaks_costs_nobody_else_a_verdict() -> None:
    verdicts: list[object] = []

    def broken(_verdict: object) -> None:
        raise RuntimeError("my own fault")

    batcher = Batcher(echo)
    batcher.add_with(1, broken)
    batcher.add_with(2, verdicts.append)
    await batcher.start()
    await batcher.drain()

    assert verdicts == [20]
    await batcher.stop()


async def test_who_no_longer_waits_disturbs_nobody() -> None:
    gate = Gate()
    batcher = Batcher(gate.flush)
    await batcher.start()
    first, second = batcher.add(1), batcher.add(2)
    first.cancel()
    gate.open.set()

    assert await second == 20
    await batcher.stop()


async def test_metrics_tell_the_size_of_batches_and_the_splits() -> None:
    async def flush(items: list[int]) -> list[int]:
        if len(items) > 1:
            raise ValueError("one at a time")
        return items

    metrics = Metrics("test")
    batcher = Batcher(flush, name="submit", metrics=BatcherMetrics(metrics))
    verdicts = [batcher.add(n) for n in range(2)]
    await batcher.start()
    await asyncio.gather(*verdicts)
    await batcher.stop()

    text = metrics.render()[0].decode()
    assert 'spaces_batch_items_count{batcher="submit"} 3.0' in text
    assert 'spaces_batch_bisects_total{batcher="submit"} 1.0' in text


def test_what_says_nothing_about_the_items_is_an_outage() -> None:
    assert is_outage(DatabaseUnavailable(""))
    assert is_outage(ConnectionResetError())
    assert is_outage(TimeoutError())
    assert not is_outage(ValueError())
    assert not is_outage(ProblemError.of(Code.QUEUE_FULL))


# A plan: groups of items added between flushes; an item's number says how its flush behaves.
GROUPS = st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=8)
BAD = 3


@settings(max_examples=150, deadline=None)
@given(
    groups=GROUPS,
    max_items=st.integers(1, 5),
    max_bytes=st.integers(1, 30),
    outages=st.sets(st.integers(0, 10), max_size=3),
)
def test_every_item_gets_exactly_one_verdict_and_good_items_keep_their_order(
    groups: list[list[int]], max_items: int, max_bytes: int, outages: set[int]
) -> None:
    asyncio.run(_check_plan(groups, max_items, max_bytes, outages))


async def _check_plan(
    groups: list[list[int]], max_items: int, max_bytes: int, outages: set[int]
) -> None:
    done: list[tuple[int, int]] = []
    calls = 0

    async def flush(items: list[tuple[int, int]]) -> list[tuple[int, int]]:
        nonlocal calls
        calls += 1
        assert len(items) == 1 or (
            len(items) <= max_items and sum(size for _, size in items) <= max_bytes
        )
        await asyncio.sleep(0)
        if calls in outages:
            raise DatabaseUnavailable("down")
        if any(size == BAD for _, size in items):
            raise ValueError("bad")
        done.extend(items)
        return items

    batcher: Batcher[tuple[int, int], tuple[int, int]] = Batcher(
        flush, max_items=max_items, max_bytes=max_bytes, size_of=lambda item: item[1]
    )
    verdicts: dict[int, list[object]] = {}
    added: list[tuple[int, int]] = []
    await batcher.start()
    for group in groups:
        for size in group:
            item = (len(added), size)
            added.append(item)
            verdicts[item[0]] = []
            batcher.add_with(item, verdicts[item[0]].append)
        await asyncio.sleep(0)
    await batcher.stop()

    assert all(len(got) == 1 for got in verdicts.values())
    for number, size in added:
        verdict = verdicts[number][0]
        if isinstance(verdict, ValueError):
            assert size == BAD, "only a bad item fails for its own sake"
        elif not isinstance(verdict, DatabaseUnavailable):
            assert verdict == (number, size)
    succeeded = [item for item in added if not isinstance(verdicts[item[0]][0], Exception)]
    assert done == succeeded, "flushed once, in the order added"
