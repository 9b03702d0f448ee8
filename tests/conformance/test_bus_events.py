"""Inboxes and the event stream: the bus over NATS and its double in memory pass the same tests."""

from spaces_chassis.bus import Bus, decode_reply, on, serve, stored_seq
from spaces_chassis.testing import Signal
from spaces_contracts.identifiers import new_id
from tests.conformance.bus_messages import Add, Happened, Sum


async def add(command: Add) -> Sum:
    return Sum(total=command.a + command.b)


async def test_answers_to_fire_and_forget_messages_reach_the_inbox_with_their_token(
    bus: Bus,
) -> None:
    await bus.subscribe(serve(Add, add, queue="scheduler"))
    answers: Signal[tuple[str, bytes, bool]] = Signal()
    inbox = bus.inbox(lambda token, body, nobody: answers.send((token, body, nobody)))

    await bus.publish(Add(a=1, b=2), reply_to=inbox.address("first.1"))
    token, body, nobody = await answers.next()
    assert (token, decode_reply(Sum, body), nobody) == ("first.1", Sum(total=3), False)

    await bus.publish_to("rpc.sched.nobody", Add(a=1, b=2), reply_to=inbox.address("second"))
    assert await answers.next() == ("second", b"", True)


async def test_an_inbox_that_was_closed_hears_nothing_and_others_do(bus: Bus) -> None:
    await bus.subscribe(serve(Add, add, queue="scheduler"))
    closed: Signal[str] = Signal()
    open_: Signal[str] = Signal()
    first = bus.inbox(lambda token, _b, _n: closed.send(token))
    second = bus.inbox(lambda token, _b, _n: open_.send(token))
    first.close()

    await bus.publish(Add(a=1, b=2), reply_to=first.address("x"))
    await bus.publish(Add(a=1, b=2), reply_to=second.address("y"))

    assert await open_.next() == "y"
    assert closed.values == []


async def test_an_inbox_callback_that_breaks_does_not_stop_later_answers(bus: Bus) -> None:
    await bus.subscribe(serve(Add, add, queue="scheduler"))
    answers: Signal[str] = Signal()

    def callback(token: str, _body: bytes, _nobody: bool) -> None:
        if token == "bad":
            raise RuntimeError("bad token")
        answers.send(token)

    inbox = bus.inbox(callback)
    for token in ("bad", "good"):
        await bus.publish(Add(a=1, b=2), reply_to=inbox.address(token))

    assert await answers.next() == "good"


async def test_a_stored_event_has_a_number_and_is_replayed_in_order(bus: Bus) -> None:
    space, request = new_id(), new_id()
    await bus.ensure_event_stream()
    await bus.ensure_event_stream()

    numbers = [
        await bus.publish_event(Happened(space=space, request=request, number=n)) for n in range(10)
    ]
    await bus.publish_event(Happened(space=space, request=new_id(), number=99))
    assert numbers == sorted(set(numbers))

    events = await bus.replay(f"evt.{space}.{request}")
    assert [seq for seq, _ in events] == numbers
    assert [Happened.decode(body).number for _, body in events] == list(range(10))
    later = await bus.replay(f"evt.{space}.{request}", after_seq=numbers[6])
    assert [seq for seq, _ in later] == numbers[7:]
    some = await bus.replay(f"evt.{space}.{request}", limit=3)
    assert [seq for seq, _ in some] == numbers[:3]
    assert len(await bus.replay(f"evt.{space}.*")) == 11
    assert await bus.replay(f"evt.{space}.{new_id()}") == []
    assert await bus.replay(f"evt.{space}.{request}", after_seq=numbers[-1]) == []


async def test_a_stored_event_is_heard_by_who_listens(bus: Bus) -> None:
    await bus.ensure_event_stream()
    space = new_id()
    heard: Signal[Happened] = Signal()
    route = on(Happened, lambda event, _: heard.send(event))
    await bus.subscribe(route, Happened.subject.listen(space=space))

    await bus.publish_event(Happened(space=space, request=new_id(), number=5))

    assert (await heard.next()).number == 5


async def test_an_event_with_the_same_dedupe_key_is_stored_once(bus: Bus) -> None:
    await bus.ensure_event_stream()
    event = Happened(space=new_id(), request=new_id(), number=1)
    key = new_id()

    assert await bus.publish_event(event, dedupe=key) == await bus.publish_event(event, dedupe=key)
    assert len(await bus.replay(event.address())) == 1


async def test_the_stream_confirms_a_fire_and_forget_event_in_the_inbox(bus: Bus) -> None:
    await bus.ensure_event_stream()
    event = Happened(space=new_id(), request=new_id(), number=1)
    answers: Signal[tuple[str, int]] = Signal()
    inbox = bus.inbox(lambda token, body, _: answers.send((token, stored_seq(body))))

    await bus.publish(event, reply_to=inbox.address("n1"))

    token, seq = await answers.next()
    assert token == "n1"
    assert [stored for stored, _ in await bus.replay(event.address())] == [seq]


async def test_a_large_replay_is_complete(bus: Bus) -> None:
    await bus.ensure_event_stream()
    event = Happened(space=new_id(), request=new_id())
    answers: Signal[int] = Signal()
    inbox = bus.inbox(lambda _token, body, _nobody: answers.send(stored_seq(body)))
    for number in range(3000):
        await bus.publish(event.model_copy(update={"number": number}), reply_to=inbox.address("n"))
    for _ in range(3000):
        await answers.next()

    events = await bus.replay(event.address())

    assert [Happened.decode(body).number for _, body in events] == list(range(3000))
