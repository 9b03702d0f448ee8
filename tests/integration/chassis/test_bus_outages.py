"""The bus when its nats-server dies, freezes, refuses or comes late."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from spaces_chassis.bus import Bus, listen, nats_transport, on, serve
from spaces_chassis.errors import BusTimeout, BusUnavailable
from spaces_chassis.lifecycle import run
from spaces_chassis.metrics import Metrics
from spaces_chassis.settings import BusSettings
from spaces_chassis.testing import Signal
from spaces_contracts.identifiers import new_id
from tests.conformance.bus_messages import Add, Greeted, Happened, Sum
from tests.integration.chassis.nats_process import NatsProcess
from tests.support.eventually import eventually

MakeServer = Callable[..., NatsProcess]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    made: list[NatsProcess] = []

    def make(config: str = "", *, started: bool = True) -> NatsProcess:
        made.append(NatsProcess(tmp_path, config))
        if started:
            made[-1].start()
        return made[-1]

    yield make
    for server in made:
        server.kill()


def bus_at(url: str, user: str | None = None, password: str | None = None) -> Bus:
    settings = BusSettings(
        nats_url=url, nats_user=user, nats_password=SecretStr(password) if password else None
    )
    return Bus.from_settings(settings, name="test")


async def add(command: Add) -> Sum:
    return Sum(total=command.a + command.b)


async def test_subscriptions_live_again_after_the_server_was_killed(
    make_server: MakeServer,
) -> None:
    server = make_server()
    bus = bus_at(server.url)
    heard: Signal[int] = Signal()
    bus.add_routes([serve(Add, add, queue="q"), on(Greeted, lambda m, _: heard.send(m.number))])
    await bus.start()
    dynamic: Signal[int] = Signal()
    await bus.subscribe(on(Happened, lambda m, _: dynamic.send(m.number)))
    inbox_heard: Signal[str] = Signal()
    inbox = bus.inbox(lambda token, _body, _nobody: inbox_heard.send(token))
    await bus.ensure_event_stream()
    event = Happened(space=new_id(), request=new_id(), number=1)
    await bus.publish_event(event)

    for round_ in range(3):
        await asyncio.to_thread(server.kill)
        await eventually(lambda: not bus.connected)
        assert not bus.healthy()
        assert bus.connected_for_s == 0.0
        await asyncio.to_thread(server.start)
        await eventually(lambda: bus.connected)

        assert (await bus.request(Add(a=round_, b=1))).total == round_ + 1
        await bus.publish(Greeted(who="ann", number=round_))
        assert await heard.next() == round_
        await bus.publish(Add(a=1, b=1), reply_to=inbox.address(f"round-{round_}"))
        assert await inbox_heard.next() == f"round-{round_}"
        assert len(await bus.replay(event.address())) == 1, "the event stream survived"

    await bus.publish_event(event)
    assert await dynamic.next() == 1
    await bus.stop()


async def test_requests_fail_fast_in_an_outage_and_nothing_stale_comes_later(
    make_server: MakeServer,
) -> None:
    server = make_server()
    bus = bus_at(server.url)
    heard: Signal[int] = Signal()
    bus.add_routes([on(Greeted, lambda m, _: heard.send(m.number)), on(Add, lambda _m, _d: None)])
    await bus.start()

    waiting = asyncio.create_task(bus.request(Add(a=1, b=2), timeout_s=30.0))
    await asyncio.sleep(0)
    # Frozen first, so that what is published now is certainly not taken.
    server.freeze()
    for number in range(100):
        await bus.publish(Greeted(who="ann", number=number))
    server.kill()
    with pytest.raises(BusUnavailable):
        await waiting
    started = time.monotonic()
    for _ in range(100):
        with pytest.raises(BusUnavailable):
            await bus.request(Add(a=1, b=2), timeout_s=30.0)
        with pytest.raises(BusUnavailable):
            await bus.publish(Greeted(who="ann", number=1000))
    assert time.monotonic() - started < 1.0

    await asyncio.to_thread(server.start)
    await eventually(lambda: bus.connected)
    await bus.publish(Greeted(who="ann", number=2000))
    assert await heard.next() == 2000
    await bus.stop()


@pytest.mark.parametrize("handed_over", [False, True])
async def test_what_was_not_yet_sent_when_the_connection_broke_is_thrown_away(
    make_server: MakeServer, handed_over: bool
) -> None:
    server = make_server()
    bus = bus_at(server.url)
    heard: Signal[int] = Signal()
    bus.add_routes([on(Greeted, lambda m, _: heard.send(m.number))])
    await bus.start()
    transport = bus._transport
    assert isinstance(transport, nats_transport.NatsTransport)

    # In one turn of the loop: collected or with the client, and cut before its flusher ran.
    bus.publish_bytes("hb.gw.ann", Greeted(who="ann", number=1).encode())
    if handed_over:
        bus._flush()
    assert (bus._transport.unsent_bytes > 0) == handed_over
    await transport._client._process_op_err(ConnectionResetError())
    await eventually(lambda: not bus.connected)
    await eventually(lambda: bus.connected)

    await bus.publish(Greeted(who="ann", number=2))
    assert await heard.next() == 2
    await bus.stop()


async def test_a_frozen_server_is_left_even_with_bytes_it_did_not_take(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_transport, "_PING_INTERVAL_S", 0.1)
    server = make_server()
    bus = bus_at(server.url)
    bus.add_routes([serve(Add, add, queue="q")])
    await bus.start()

    server.freeze()
    body = bytes(1_000_000)
    for _ in range(32):
        bus.publish_bytes("hb.gw.flood", body)
    await eventually(lambda: not bus.connected, timeout_s=5.0)
    server.thaw()
    await eventually(lambda: bus.connected, timeout_s=10.0)

    # A busy machine may take its time over what the thawed server still has in its hands.
    assert (await bus.request(Add(a=1, b=2), timeout_s=20.0)).total == 3
    await bus.stop()


async def test_a_publisher_waits_while_the_server_takes_nothing(make_server: MakeServer) -> None:
    server = make_server()
    bus = bus_at(server.url)
    await bus.start()
    server.freeze()

    async def flood() -> None:
        for _ in range(64):
            await bus.publish_to("hb.gw.flood", Greeted(who="x" * 1_000_000))

    flooding = asyncio.create_task(flood())
    await eventually(lambda: bus._transport.unsent_bytes > 1_000_000)
    assert bus._transport.unsent_bytes < 8_000_000
    assert not flooding.done()
    server.thaw()
    await flooding
    await bus.stop()


async def test_the_start_waits_for_a_server_that_comes_late(make_server: MakeServer) -> None:
    server = make_server(started=False)
    bus = bus_at(server.url)
    bus.add_routes([serve(Add, add, queue="q")])
    starting = asyncio.create_task(bus.start())
    await eventually(lambda: bus._meters.errors._value.get() >= 1)
    assert not starting.done()

    await asyncio.to_thread(server.start)
    await starting

    assert (await bus.request(Add(a=1, b=2))).total == 3
    await bus.stop()


async def test_a_start_that_was_given_up_can_be_stopped(make_server: MakeServer) -> None:
    server = make_server(started=False)
    bus = bus_at(server.url)
    starting = asyncio.create_task(bus.start())
    await eventually(lambda: bus._meters.errors._value.get() >= 1)

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await bus.stop()


async def test_a_bus_that_never_started_can_be_stopped() -> None:
    await bus_at("nats://127.0.0.1:1").stop()


LIMITED = """
authorization { users: [
  { user: "limited", password: "secret-1", permissions: { publish: ">", subscribe: ["_INBOX.>", "allowed.>"] } }
] }
"""


async def test_a_subject_that_may_not_be_listened_to_stops_the_start(
    make_server: MakeServer,
) -> None:
    server = make_server(LIMITED)
    bus = bus_at(server.url, "limited", "secret-1")
    bus.add_routes([on(Greeted, lambda _m, _d: None)])

    with pytest.raises(PermissionError, match=r"hb\.gw\.\*"):
        await bus.start()
    await bus.stop()


async def test_a_subject_that_may_not_be_listened_to_is_refused_at_run_time(
    make_server: MakeServer,
) -> None:
    server = make_server(LIMITED)
    bus = bus_at(server.url, "limited", "secret-1")
    await bus.start()

    with pytest.raises(PermissionError):
        await bus.subscribe(on(Greeted, lambda _m, _d: None))
    await bus.subscribe(on(Greeted, lambda _m, _d: None), "allowed.ann")
    assert bus.connected
    await bus.stop()


async def test_what_may_not_be_published_is_an_error_in_the_log_and_counted(
    make_server: MakeServer,
) -> None:
    server = make_server(LIMITED.replace('publish: ">"', 'publish: ["allowed.>"]'))
    metrics = Metrics("test")
    settings = BusSettings(
        nats_url=server.url, nats_user="limited", nats_password=SecretStr("secret-1")
    )
    bus = Bus.from_settings(settings, name="test", metrics=metrics)
    await bus.start()
    with capture_logs() as logs:
        for _ in range(2):
            await bus.publish(Greeted(who="ann", number=1))
            await bus.flush()
        await bus.publish_to("allowed.ann", Greeted(who="ann", number=2))
        await bus.flush()

    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert (line["event"], line["what"]) == ("bus_refused", 'publish to "hb.gw.ann"')
    page = metrics.render()[0]
    assert b'spaces_bus_refused_total{operation="publish"} 2.0' in page
    assert b'spaces_bus_refused_total{operation="subscribe"} 0.0' in page
    assert bus.connected
    await bus.stop()


async def test_answers_come_to_an_address_that_names_the_user_and_what_was_asked(
    make_server: MakeServer,
) -> None:
    server = make_server(LIMITED)
    bus = bus_at(server.url, "limited", "secret-1")
    asked: Signal[str | None] = Signal()
    await bus.start()
    other = bus_at(server.url, "limited", "secret-1")
    await other.start()
    await other.subscribe(listen("allowed.>", lambda delivery: asked.send(delivery.reply_to)))
    with pytest.raises(BusTimeout):
        await bus.request_bytes("allowed.one.two", b"{}", timeout_s=0.2)
    inbox = bus.inbox(lambda _token, _body, _nobody: None, "named")
    with pytest.raises(ValueError, match="named"):
        bus.inbox(lambda _token, _body, _nobody: None, "named")

    address = (await asked.next() or "").split(".")
    assert (address[:2], address[3:5]) == (["_INBOX", "limited"], ["allowed", "one"])
    assert inbox.address("x").split(".")[3:] == ["named", "x"]
    await bus.stop()
    await other.stop()


async def test_a_process_ends_when_its_bus_closes_for_good(make_server: MakeServer) -> None:
    # nats-py never reconnects after "maximum subscriptions exceeded".
    server = make_server("max_subscriptions: 3")
    bus = bus_at(server.url)

    def subscribe_too_much() -> None:
        bus.add_routes([on(Greeted, lambda _m, _d: None) for _ in range(5)])

    status = await asyncio.wait_for(run([bus], drain_s=1.0, ready=subscribe_too_much), 10.0)

    assert status == 1


async def test_an_outage_is_visible_in_the_metrics(make_server: MakeServer) -> None:
    server = make_server()
    metrics = Metrics("test")
    bus = Bus.from_settings(BusSettings(nats_url=server.url), name="test", metrics=metrics)
    await bus.start()
    assert b"spaces_bus_connected 1.0" in metrics.render()[0]

    await asyncio.to_thread(server.kill)
    await eventually(lambda: b"spaces_bus_connected 0.0" in metrics.render()[0])
    await asyncio.to_thread(server.start)

    await eventually(lambda: b"spaces_bus_connects_total 2.0" in metrics.render()[0])
    await bus.stop()
