"""What the scheduler sends: it never raises, tells the registry of who cannot be reached, and counts once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from spaces_chassis.bus import encode_reply
from spaces_chassis.bus.routes import Delivery, Route
from spaces_chassis.metrics import Metrics
from spaces_chassis.testing import ManualClock, MemoryBus, Signal
from spaces_contracts.connections import ConnectionSuspected
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import CancelJob, ConnectionGone, Job, RequestFinished, RequestState
from spaces_scheduler.end_publisher import EndPublisher
from spaces_scheduler.job_sender import JobSender
from spaces_scheduler.meters import Meters
from spaces_scheduler.truth_store import Stop

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    bus = MemoryBus()
    await bus.start()
    yield bus
    await bus.stop()


@pytest.fixture
def meters() -> Meters:
    return Meters(Metrics("test"))


def job(**fields: Any) -> Job:
    connection_id = new_id()
    values: dict[str, Any] = {
        "request_id": new_id(),
        "space_id": new_id(),
        "attempt": 1,
        "connection_id": connection_id,
        "route": f"gw.{new_id()}.wk.{connection_id}",
        "payload": '"x"',
        "upload_url": None,
        "remaining_ms": 1000,
        "queue_size": 0,
    }
    return Job(**(values | fields))


def end(**fields: Any) -> RequestFinished:
    values: dict[str, Any] = {
        "space_id": new_id(),
        "request_id": new_id(),
        "state": RequestState.SUCCEEDED,
        "created_at": NOW,
        "started_at": NOW,
        "finished_at": NOW,
    }
    return RequestFinished(**(values | fields))


async def hear(bus: MemoryBus, subject: str) -> Signal[Delivery]:
    heard: Signal[Delivery] = Signal()
    await bus.subscribe(Route("test", subject, heard.send), subject)
    return heard


async def test_a_job_that_nobody_takes_makes_its_connection_suspect_once_a_second(
    bus: MemoryBus, meters: Meters
) -> None:
    clock = ManualClock()
    sender = JobSender(bus, clock, meters)
    told = await hear(bus, "rpc.reg.connection_suspected")
    lost = job()
    sender.send([lost, lost])
    first = ConnectionSuspected.decode((await told.next()).body)
    assert first.connection_ids == [lost.connection_id]
    await bus.flush()
    assert len(told) == 1
    clock.forward(2)
    sender.send([lost])
    await told.next()


@pytest.mark.parametrize(
    ("answer", "suspected"),
    [("gone", 1), ("gone for another", 0), ("problem", 0), ("nonsense", 0)],
)
async def test_only_who_says_gone_makes_a_connection_suspect(
    bus: MemoryBus, meters: Meters, answer: str, suspected: int
) -> None:
    sent = job()
    answers = {
        "gone": ConnectionGone(connection_id=sent.connection_id).encode(),
        "gone for another": ConnectionGone(connection_id=new_id()).encode(),
        "problem": encode_reply(Problem(code=Code.INTERNAL_ERROR)),
        "nonsense": b"?",
    }

    def reply(delivery: Delivery) -> None:
        assert delivery.reply_to is not None
        bus.publish_bytes(delivery.reply_to, answers[answer])

    told = await hear(bus, "rpc.reg.connection_suspected")
    await bus.subscribe(Route("gateway", f"{sent.route}.job", reply), f"{sent.route}.job")
    JobSender(bus, ManualClock(), meters).send([sent])
    for _ in range(3):
        await bus.flush()
    assert len(told) == suspected


async def test_a_job_reaches_the_route_of_its_connection(bus: MemoryBus, meters: Meters) -> None:
    sent = job()
    heard = await hear(bus, f"{sent.route}.job")
    JobSender(bus, ManualClock(), meters).send([sent])
    message = Job.model_validate_json((await heard.next()).body)
    assert (message.request_id, message.payload) == (sent.request_id, '"x"')


async def test_a_stop_without_a_reason_says_cancelled(bus: MemoryBus, meters: Meters) -> None:
    stop = Stop(f"gw.{new_id()}.wk.{new_id()}", new_id(), new_id(), 3)
    heard = await hear(bus, f"{stop.route}.cancel")
    JobSender(bus, ManualClock(), meters).stop(stop, None)
    message = CancelJob.model_validate_json((await heard.next()).body)
    assert message.reason is not None
    assert (message.attempt, message.reason.code) == (3, Code.CANCELLED)


async def test_without_a_bus_nothing_is_raised(meters: Meters) -> None:
    bus = MemoryBus()
    JobSender(bus, ManualClock(), meters).send([job()])
    EndPublisher(bus, meters).publish(end(), "gw.x")


async def test_an_end_that_is_told_again_is_counted_once(bus: MemoryBus) -> None:
    metrics = Metrics("test")
    ends = EndPublisher(bus, Meters(metrics))
    same = end()
    for _ in range(3):
        ends.publish(same, None)
    outcome = {"outcome": "succeeded"}
    assert metrics.registry.get_sample_value("spaces_requests_total", outcome) == 1


async def test_an_output_that_does_not_fit_is_left_to_be_read(
    bus: MemoryBus, meters: Meters
) -> None:
    large = end(output_json='"' + "x" * 3_000_000 + '"')
    heard = await hear(bus, large.address())
    EndPublisher(bus, meters).publish(large, None)
    message = RequestFinished.decode((await heard.next()).body)
    assert (message.state, message.output_json) == (RequestState.SUCCEEDED, None)


@pytest.mark.parametrize("notify", ["", "a b", "a.>", "*", "a..b"])
async def test_nothing_is_sent_to_what_is_no_subject(
    bus: MemoryBus, meters: Meters, notify: str
) -> None:
    heard = await hear(bus, ">")
    EndPublisher(bus, meters).publish(end(), notify)
    await heard.next()
    await bus.flush()
    assert len(heard) == 1


def test_only_the_scheduler_that_leads_shows_the_queues() -> None:
    metrics = Metrics("test")
    meters = Meters(metrics)
    assert b"spaces_queue_depth" not in metrics.render()[0]
    meters.queues.show(3, 2)
    assert b"spaces_queue_depth 3.0" in metrics.render()[0]
    meters.queues.hide()
    assert b"spaces_queue_depth" not in metrics.render()[0]
