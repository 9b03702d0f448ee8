"""Chunks and the result behind them, as a worker session handles them."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.connections import Attempt
from spaces_contracts.requests import (
    JobResult,
    RequestEvent,
    ResultAck,
    ResultOutcome,
)
from spaces_gateway.sockets.effects import (
    Publish,
    Store,
)
from spaces_gateway.sockets.worker_session import WorkerSession
from tests.unit.gateway_sockets.session_driver import (
    GATEWAY,
    REQUEST,
    SPACE,
    chunk,
    granted,
    job,
    only,
    register,
    result,
    sent,
    serving,
    working,
)


def test_the_key_of_a_chunk_is_its_agents_own() -> None:
    """Else a worker of another space could have it dropped as a repeat."""
    keys: list[str] = []
    for secret in ("one", "another", "one"):
        session = WorkerSession(GATEWAY, 0.0)
        session.frame(register(resume={"secret": secret}), 0.0)
        session.attached(granted(session))
        (connection_id,) = session.connections
        session.deliver(connection_id, job(connection_id))
        keys.append(only(session.frame(chunk(1, "a"), 0.0), Store).dedupe)
    assert keys[0] == keys[2] != keys[1]


def test_chunks_are_stored_and_acknowledged_cumulatively() -> None:
    session, _ = working()
    first = only(session.frame(chunk(1, "a", "b"), 0.0), Store)
    second = only(session.frame(chunk(3, "c"), 0.0), Store)
    event = RequestEvent.model_validate_json(first.body)
    assert first.subject == f"evt.{SPACE}.{REQUEST}"
    assert (event.n, event.count, event.data_json) == (1, 2, '["a","b"]')
    assert first.dedupe != second.dedupe
    assert sent(session.chunk_stored(REQUEST, 1, 3)) == []
    (ack,) = sent(session.chunk_stored(REQUEST, 1, 1))
    assert (ack["type"], ack["n"]) == ("chunk_ack", 3)


def test_a_result_waits_until_its_chunks_are_stored() -> None:
    session, _ = working()
    session.frame(chunk(1), 0.0)
    session.frame(chunk(2), 0.0)
    assert session.frame(result(last_n=2), 0.0) == []
    assert not [e for e in session.chunk_stored(REQUEST, 1, 1) if isinstance(e, Publish)]
    publish = only(session.chunk_stored(REQUEST, 1, 2), Publish)
    assert JobResult.model_validate_json(publish.body).last_n == 2


def test_a_result_does_not_wait_for_a_stream_that_is_away() -> None:
    session, _ = working()
    session.frame(chunk(1), 0.0)
    session.frame(result(last_n=1), 0.0)
    assert only(session.chunk_late(REQUEST, 1), Publish).reply_to is not None
    assert session.chunk_late(REQUEST, 1) == []


def test_stored_chunks_of_finished_work_say_nothing() -> None:
    session, cid = working()
    session.frame(chunk(1), 0.0)
    session.deliver(
        cid,
        ResultAck(request_id=REQUEST, attempt=1, verdict=ResultOutcome.STORED),
    )
    assert session.chunk_stored(REQUEST, 1, 1) == []
    assert session.chunk_late(REQUEST, 1) == []


def test_adopted_work_goes_on_and_a_repeated_job_keeps_its_window() -> None:
    session = WorkerSession(GATEWAY, 0.0)
    session.frame(register(), 0.0)
    adopted = [Attempt(request_id=REQUEST, attempt=1)]
    (told,) = sent(session.attached(granted(session, adopted=adopted)))
    assert told["adopted"] == [{"request_id": REQUEST, "attempt": 1}]
    session.frame(chunk(7), 0.0)
    (cid,) = session.connections
    session.deliver(cid, job(cid))
    (ack,) = sent(session.chunk_stored(REQUEST, 1, 7))
    assert ack["n"] == 7


@given(st.lists(st.sampled_from(["job", "chunk", "stored", "result", "ack", "late"]), max_size=30))
def test_a_result_is_forwarded_at_most_once_per_frame_and_never_before_its_chunks_left(
    steps: list[str],
) -> None:
    session, cid = serving()
    waiting: list[int] = []
    results = forwarded = 0
    n = 0
    for step in steps:
        effects: list[Any] = []
        if step == "job":
            effects = session.deliver(cid, job(cid))
        elif step == "chunk":
            n += 1
            effects = session.frame(chunk(n), 0.0)
            waiting += [e.n for e in effects if isinstance(e, Store)]
        elif step == "stored" and waiting:
            effects = session.chunk_stored(REQUEST, 1, waiting.pop(0))
        elif step == "result":
            results += 1
            effects = session.frame(result(), 0.0)
        elif step == "late":
            effects = session.chunk_late(REQUEST, 1)
        elif step == "ack":
            ack = ResultAck(request_id=REQUEST, attempt=1, verdict=ResultOutcome.STORED)
            effects = session.deliver(cid, ack)
        published = [e for e in effects if isinstance(e, Publish)]
        forwarded += len(published)
        assert forwarded <= results
