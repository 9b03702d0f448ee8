"""What every bus does: the one over NATS and its double in memory pass the same tests."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from spaces_chassis.bus import Bus, Delivery, decode_reply, listen, on, serve
from spaces_chassis.errors import BusTimeout, BusUnavailable, NoResponders, ProblemError
from spaces_chassis.testing import Signal
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from tests.conformance.bus_messages import Add, Delivered, Greeted, Sum
from tests.support.eventually import eventually

MakeBus = Callable[[], Bus]


def _tell(heard: Signal[tuple[str, int]], name: str, message: Greeted, _: Delivery) -> None:
    heard.send((name, message.number))


async def add(command: Add) -> Sum:
    return Sum(total=command.a + command.b)


async def test_a_message_reaches_its_handler_with_the_fields_of_its_subject(bus: Bus) -> None:
    heard: Signal[tuple[Greeted, Delivery]] = Signal()
    await bus.subscribe(on(Greeted, lambda message, delivery: heard.send((message, delivery))))

    await bus.publish(Greeted(who="ann", number=3))

    message, delivery = await heard.next()
    assert message == Greeted(who="ann", number=3)
    assert delivery.fields == {"who": "ann"}
    assert delivery.subject == "hb.gw.ann"
    assert delivery.reply_to is None
    assert delivery.remaining_s() is None


async def test_what_the_subject_says_wins_over_what_the_body_says(bus: Bus) -> None:
    heard: Signal[Greeted] = Signal()
    await bus.subscribe(on(Greeted, lambda message, _: heard.send(message)))

    await bus.publish_to("hb.gw.bob", Greeted(who="ann"))

    assert (await heard.next()).who == "bob"


async def test_messages_reach_a_plain_handler_in_the_order_they_were_sent(bus: Bus) -> None:
    heard: Signal[int] = Signal()
    await bus.subscribe(on(Greeted, lambda message, _: heard.send(message.number)))

    for number in range(500):
        await bus.publish(Greeted(who="ann", number=number))

    assert [await heard.next() for _ in range(500)] == list(range(500))


async def test_everybody_who_listens_hears_a_message(make_bus: MakeBus) -> None:
    heard: Signal[tuple[str, int]] = Signal()
    buses = {name: make_bus() for name in ("one", "two")}
    for name, bus in buses.items():
        bus.add_routes([on(Greeted, partial(_tell, heard, name))])
        await bus.start()

    await buses["one"].publish(Greeted(who="ann"))

    assert {await heard.next(), await heard.next()} == {("one", 0), ("two", 0)}


async def test_one_member_of_a_queue_group_gets_each_message(make_bus: MakeBus) -> None:
    heard: Signal[tuple[str, int]] = Signal()
    buses = {name: make_bus() for name in ("one", "two", "three")}
    for name, bus in buses.items():
        route = on(Greeted, partial(_tell, heard, name), queue="scheduler")
        bus.add_routes([route])
        await bus.start()

    for number in range(200):
        await buses["one"].publish(Greeted(who="ann", number=number))
        await buses["one"].flush()  # what is published at once travels, and is handled, together

    got = [await heard.next() for _ in range(200)]
    assert sorted(number for _, number in got) == list(range(200))
    assert {name for name, _ in got} == {"one", "two", "three"}


async def test_a_command_is_answered_with_its_reply(make_bus: MakeBus) -> None:
    server, client = make_bus(), make_bus()
    server.add_routes([serve(Add, add, queue="scheduler")])
    await server.start()
    await client.start()

    reply = await client.request(Add(a=2, b=3))

    assert reply == Sum(total=5)


async def test_many_requests_at_once_each_get_their_own_answer(bus: Bus) -> None:
    await bus.subscribe(serve(Add, add, queue="scheduler"))

    replies = await asyncio.gather(*(bus.request(Add(a=n, b=1), 10.0) for n in range(500)))

    assert [reply.total for reply in replies] == [n + 1 for n in range(500)]


async def test_a_problem_that_a_handler_raises_is_raised_where_it_was_asked(bus: Bus) -> None:
    async def refuse(command: Add) -> Sum:
        raise ProblemError.of(Code.QUEUE_FULL, "the queue holds 100 requests", limit=100)

    await bus.subscribe(serve(Add, refuse, queue="scheduler"))

    with pytest.raises(ProblemError) as caught:
        await bus.request(Add(a=1, b=2))
    assert caught.value.problem == Problem(
        code=Code.QUEUE_FULL, message="the queue holds 100 requests", facts={"limit": 100}
    )


async def test_a_handler_that_breaks_is_answered_with_internal_error_and_serves_on(
    bus: Bus,
) -> None:
    async def divide(command: Add) -> Sum:
        return Sum(total=command.a // command.b)

    await bus.subscribe(serve(Add, divide, queue="scheduler"))

    with pytest.raises(ProblemError) as caught:
        await bus.request(Add(a=1, b=0))
    assert caught.value.problem.code == Code.INTERNAL_ERROR
    assert "division" not in caught.value.problem.message, "insides stay inside"
    assert (await bus.request(Add(a=4, b=2))).total == 2


async def test_a_reply_of_another_class_is_an_internal_error(bus: Bus) -> None:
    async def wrong(command: Add) -> Problem:
        return Problem(code=Code.NOT_FOUND)

    await bus.subscribe(serve(Add, wrong, queue="scheduler"))  # type: ignore[arg-type]  # the point

    with pytest.raises(ProblemError) as caught:
        await bus.request(Add(a=1, b=0))
    assert caught.value.problem.code == Code.INTERNAL_ERROR


async def test_a_command_that_does_not_parse_is_answered_with_invalid_request(bus: Bus) -> None:
    await bus.subscribe(serve(Add, add, queue="scheduler"))

    packet = await bus.request_bytes("rpc.sched.add", b'{"a": "no number"}')

    with pytest.raises(ProblemError) as caught:
        decode_reply(Sum, packet.body)
    assert caught.value.problem.code == Code.INVALID_REQUEST


async def test_a_message_that_does_not_parse_does_not_end_the_subscription(bus: Bus) -> None:
    heard: Signal[Greeted] = Signal()
    await bus.subscribe(on(Greeted, lambda message, _: heard.send(message)))

    bus.publish_bytes("hb.gw.ann", b"\xff not json")
    await bus.publish(Greeted(who="bob"))

    assert (await heard.next()).who == "bob"


async def test_asking_where_nobody_listens_fails_at_once(bus: Bus) -> None:
    with pytest.raises(NoResponders) as caught:
        await bus.request(Add(a=1, b=2), timeout_s=30.0)
    assert caught.value.problem.code == Code.UNAVAILABLE


async def test_an_answer_that_does_not_come_is_a_timeout(bus: Bus) -> None:
    await bus.subscribe(on(Add, lambda _m, _d: None))

    with pytest.raises(BusTimeout):
        await bus.request(Add(a=1, b=2), timeout_s=0.05)


async def test_a_plain_handler_can_answer_without_waiting(bus: Bus) -> None:
    def answer(message: Add, delivery: Delivery) -> None:
        remaining = delivery.remaining_s()
        assert remaining is not None
        assert 0 < remaining <= 2.0
        delivery.reply_now(Sum(total=message.a + message.b))

    await bus.subscribe(on(Add, answer, queue="scheduler"))

    assert (await bus.request(Add(a=2, b=2))).total == 4


async def test_an_async_handler_can_answer_later(bus: Bus) -> None:
    gate = asyncio.Event()

    async def answer(message: Add, delivery: Delivery) -> None:
        await gate.wait()
        await delivery.reply(Problem(code=Code.CANCELLED))

    await bus.subscribe(on(Add, answer))
    asking = asyncio.create_task(bus.request(Add(a=2, b=2)))
    gate.set()

    with pytest.raises(ProblemError) as caught:
        await asking
    assert caught.value.problem.code == Code.CANCELLED


async def test_at_most_so_many_handlers_of_a_route_run_at_once(bus: Bus) -> None:
    running, most = 0, 0
    gate = asyncio.Event()

    async def slow(command: Add) -> Sum:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        return Sum(total=0)

    await bus.subscribe(serve(Add, slow, queue="scheduler", concurrency=3))
    asking = asyncio.gather(*(bus.request(Add(a=n, b=0), 10.0) for n in range(10)))
    await eventually(lambda: running == 3)
    gate.set()
    await asking

    assert most == 3


async def test_a_command_that_waited_past_its_deadline_is_dropped(bus: Bus) -> None:
    handled: list[int] = []
    gate = asyncio.Event()

    async def slow(command: Add) -> Sum:
        handled.append(command.a)
        await gate.wait()
        return Sum(total=0)

    await bus.subscribe(serve(Add, slow, queue="scheduler", concurrency=1))
    first = asyncio.create_task(bus.request(Add(a=1, b=0), 30.0))
    await eventually(lambda: handled == [1])
    with pytest.raises(BusTimeout):
        await bus.request(Add(a=2, b=0), timeout_s=0.05)
    third = asyncio.create_task(bus.request(Add(a=3, b=0), 30.0))
    gate.set()
    await asyncio.gather(first, third)

    assert handled == [1, 3]


async def test_a_subscription_that_was_stopped_hears_nothing_more(bus: Bus) -> None:
    heard: Signal[int] = Signal()
    last: Signal[int] = Signal()
    subscription = await bus.subscribe(on(Greeted, lambda m, _: heard.send(m.number)))
    await bus.publish(Greeted(who="ann", number=1))
    assert await heard.next() == 1

    await subscription.stop()
    await bus.subscribe(on(Greeted, lambda m, _: last.send(m.number)))
    await bus.publish(Greeted(who="ann", number=2))
    assert await last.next() == 2

    assert heard.values == [1]


async def test_a_message_under_a_route_is_heard_where_the_route_leads(bus: Bus) -> None:
    gateway, connection = new_id(), new_id()
    heard: Signal[Delivery] = Signal()
    route = on(Delivered, lambda _, delivery: heard.send(delivery))
    await bus.subscribe(route, f"gw.{gateway}.wk.*.job")

    await bus.publish(Delivered(route=f"gw.{gateway}.wk.{connection}", number=1))

    assert (await heard.next()).fields == {"route": f"gw.{gateway}.wk.{connection}"}


async def test_a_route_without_a_pattern_needs_a_subject(bus: Bus) -> None:
    with pytest.raises(ValueError, match="Delivered"):
        await bus.subscribe(on(Delivered, lambda _m, _d: None))


async def test_one_wildcard_subscription_hears_everything_unread(bus: Bus) -> None:
    gateway = new_id()
    heard: Signal[Delivery] = Signal()
    await bus.subscribe(listen(f"gw.{gateway}.>", heard.send))

    bus.publish_bytes(f"gw.{gateway}.ctl", b"\x00\xff")
    await bus.publish(Delivered(route=f"gw.{gateway}.wk.c1", number=7))

    assert (await heard.next()).body == b"\x00\xff"
    delivery = await heard.next()
    assert delivery.subject.endswith(".c1.job")
    assert delivery.decode(Delivered).number == 7


async def test_draining_finishes_what_was_taken_and_takes_no_more(make_bus: MakeBus) -> None:
    server, client = make_bus(), make_bus()
    started, gate = asyncio.Event(), asyncio.Event()

    async def slow(command: Add) -> Sum:
        started.set()
        await gate.wait()
        return Sum(total=command.a + command.b)

    server.add_routes([serve(Add, slow, queue="scheduler")])
    await server.start()
    await client.start()
    asking = asyncio.create_task(client.request(Add(a=1, b=2), 10.0))
    await started.wait()
    draining = asyncio.create_task(server.drain())

    async def refused() -> bool:
        try:
            await client.request(Add(a=5, b=5), 0.05)
        except NoResponders:
            return True
        except BusTimeout:
            pass
        return False

    await eventually(refused)
    assert not draining.done()
    gate.set()
    await draining

    assert (await asking).total == 3


async def test_a_bus_that_was_stopped_fails_what_waits_and_what_comes(bus: Bus) -> None:
    await bus.subscribe(on(Add, lambda _m, _d: None))
    asking = asyncio.create_task(bus.request(Add(a=1, b=2), 30.0))
    await asyncio.sleep(0)

    await bus.stop()

    with pytest.raises(BusUnavailable):
        await asking
    with pytest.raises(BusUnavailable):
        await bus.request(Add(a=1, b=2))
    with pytest.raises(BusUnavailable):
        await bus.publish(Greeted(who="ann"))
    assert not bus.connected
    assert bus.connected_for_s == 0.0


async def test_routes_may_be_added_after_the_start(bus: Bus) -> None:
    bus.add_routes([serve(Add, add, queue="scheduler")])

    async def answered() -> int:
        try:
            return (await bus.request(Add(a=1, b=2))).total
        except NoResponders:
            return 0

    assert await eventually(answered) == 3


async def test_a_started_bus_is_healthy_and_counts_how_long(bus: Bus) -> None:
    assert bus.healthy()
    first = bus.connected_for_s
    assert await eventually(lambda: bus.connected_for_s > first)
