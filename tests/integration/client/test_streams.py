"""Streams over a real socket that breaks: nothing missing, nothing twice, in order."""

import asyncio
import random
from typing import Literal

import pytest

from spaces_client import (
    AsyncSpaces,
    ChunkFrame,
    FinishedFrame,
    Refused,
    RequestState,
    ResetFrame,
    SpaceFrame,
    StatusFrame,
    Unreachable,
)
from spaces_client import stream as stream_module
from spaces_client.stream import RequestStream
from spaces_contracts.problems import Code, Problem
from tests.integration.client.scripted_gateway import API_KEY, ScriptedGateway
from tests.integration.client.scripted_job import Job
from tests.support.eventually import eventually


async def read(stream: RequestStream) -> tuple[list[object], FinishedFrame]:
    """All chunks of the last attempt, and the end."""
    chunks: list[object] = []
    async for event in stream:
        if isinstance(event, ResetFrame):
            chunks.clear()
        elif isinstance(event, ChunkFrame):
            assert event.n == len(chunks) + 1
            chunks.extend(event.data)
        elif isinstance(event, FinishedFrame):
            return chunks, event
    raise AssertionError("the stream ended without an end")


async def test_a_stream_tells_status_chunks_and_the_end(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    submitted = await spaces.submit("echo", prompt="hello")
    job = gateway.jobs[submitted.request_id]
    stream = spaces.stream(submitted.request_id)
    first = await anext(stream)
    assert isinstance(first, StatusFrame)
    assert (first.state, first.position) == (RequestState.QUEUED, 1)
    await job.start()
    await job.chunk("a", "b")
    await job.progress(50, "half")
    await job.chunk("c")
    await job.finish(output={"text": "abc"})
    kinds = [event.type async for event in stream]
    assert kinds == ["status", "chunk", "progress", "chunk", "finished"]
    assert stream.after.n == 3


async def test_fifty_cuts_during_a_thousand_chunks_lose_and_double_nothing(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    chance = random.Random(7)
    gateway.cable.cut_after_bytes = [chance.randrange(200, 4000) for _ in range(50)]
    job, _ = gateway.accept("echo", {}, None)
    reading = asyncio.create_task(read(spaces.stream(job.request_id)))
    await eventually(lambda: job.listeners)
    await job.start()
    for number in range(1000):
        await job.chunk(number)
    await job.finish()
    chunks, end = await reading
    assert chunks == list(range(1000))
    assert end.recovered
    assert not gateway.cable.cut_after_bytes


async def test_a_new_attempt_resets_what_was_read(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    job, _ = gateway.accept("echo", {}, None)
    stream = spaces.stream(job.request_id)
    await anext(stream)
    await job.start()
    await job.chunk("wrong")
    await job.start()
    await job.chunk("right")
    await job.finish()
    chunks, end = await read(stream)
    assert chunks == ["right"]
    assert end.attempt == 2


async def test_a_goaway_moves_the_stream_to_a_new_connection(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    job, _ = gateway.accept("echo", {}, None)
    stream = spaces.stream(job.request_id)
    await anext(stream)
    await job.start()
    await job.chunk("a")
    await gateway.go_away()
    await eventually(lambda: len(gateway.sessions) == 2 and job.listeners == gateway.sessions[1:])
    await job.chunk("b")
    await job.finish()
    assert (await read(stream))[0] == ["a", "b"]


async def test_two_readers_of_one_request_both_get_everything(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    job, _ = gateway.accept("echo", {}, None)
    await job.start()
    await job.chunk("a")
    one, two = spaces.stream(job.request_id), spaces.stream(job.request_id)
    first = asyncio.create_task(read(one))
    await eventually(lambda: one.after.n == 1)
    second = asyncio.create_task(read(two))
    await eventually(lambda: two.after.n == 1)
    await job.chunk("b")
    await job.finish()
    assert (await first)[0] == (await second)[0] == ["a", "b"]
    assert len(gateway.sessions) == 1


async def test_a_slow_reader_gets_everything_and_does_not_hold_up_another(
    gateway: ScriptedGateway, spaces: AsyncSpaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "MAX_WAITING", 8)
    slow_job, _ = gateway.accept("echo", {}, None)
    quick_job, _ = gateway.accept("echo", {}, None)
    slow, quick = spaces.stream(slow_job.request_id), spaces.stream(quick_job.request_id)
    await anext(slow)
    await anext(quick)
    for job in (slow_job, quick_job):
        await job.start()
    for number in range(100):
        await slow_job.chunk(number)
    await eventually(lambda: slow.behind)
    await quick_job.chunk("q")
    await quick_job.finish()
    assert (await read(quick))[0] == ["q"]
    await slow_job.finish()
    assert (await read(slow))[0] == list(range(100))


async def test_chunks_that_cannot_be_replayed_are_said_so(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    job, _ = gateway.accept("echo", {}, None)
    await job.start()
    stream = spaces.stream(job.request_id)
    await anext(stream)
    await job.chunk("a")
    gap = ChunkFrame(request_id=job.request_id, attempt=1, n=5, data=["e"])
    await job.tell(gap)
    await job.tell(gap)
    job.recovered = False
    job.chunks = ["a", "b", "c", "d", "e"]
    await job.finish(output={"text": "abcde"})
    chunks, end = await read(stream)
    assert chunks in (["a"], ["a", "b", "c", "d", "e"])
    assert not end.recovered
    assert end.output == {"text": "abcde"}


async def test_an_unknown_request_ends_its_stream_with_its_code(spaces: AsyncSpaces) -> None:
    with pytest.raises(Refused) as caught:
        await anext(spaces.stream("z" * 26))
    assert caught.value.code == "request_not_found"
    assert caught.value.what_to_do


async def test_a_wrong_key_ends_streams_at_once(gateway: ScriptedGateway) -> None:
    async with AsyncSpaces(gateway.url, "wrong") as client:
        with pytest.raises(Refused) as caught:
            await anext(client.stream("z" * 26))
    assert caught.value.code == "unauthenticated"
    assert len(gateway.sessions) == 1


async def test_a_gateway_that_stays_away_ends_the_stream_after_its_patience(
    gateway: ScriptedGateway,
) -> None:
    job, _ = gateway.accept("echo", {}, None)
    async with AsyncSpaces(gateway.url, API_KEY, reconnect_for_s=0.3) as client:
        stream = client.stream(job.request_id)
        await anext(stream)
        gateway.cable.plugged = False
        gateway.cable.cut()
        with pytest.raises(Unreachable):
            await anext(stream)
        gateway.cable.plugged = True
        await job.start()
        await job.finish()
        assert (await read(client.stream(job.request_id, stream.after)))[1].state == "succeeded"


@pytest.mark.parametrize("over", ["http", "socket"])
async def test_a_submit_whose_answer_was_lost_is_the_same_request(
    gateway: ScriptedGateway, spaces: AsyncSpaces, over: Literal["http", "socket"]
) -> None:
    gateway.lose_answers = 2
    request = await spaces.submit("echo", prompt="once", over=over)
    assert list(gateway.jobs) == [request.request_id]
    assert request.duplicate


async def test_a_socket_submit_is_refused_with_its_code_and_retried_when_that_helps(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    gateway.problems = [Problem(code=Code.UNAVAILABLE), Problem(code=Code.QUEUE_FULL)]
    with pytest.raises(Refused) as caught:
        await spaces.submit("echo", prompt="x", over="socket")
    assert caught.value.code == "queue_full"
    assert gateway.problems == []


async def test_a_submit_over_the_socket_can_wait_for_its_end(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    async def serve(job: Job) -> None:
        await job.start()
        await job.finish(output={"text": job.body["prompt"].upper()})

    gateway.serve = serve
    request = await spaces.submit("echo", prompt="hello", over="socket", wait=5)
    assert request.text == "HELLO"


async def test_a_socket_submit_that_nobody_streams_is_not_subscribed_to(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    request = await spaces.submit("echo", prompt="x", over="socket")
    job = gateway.jobs[request.request_id]
    await eventually(lambda: not job.listeners)
    await job.start()
    await job.chunk("a")
    await job.finish()
    assert (await read(spaces.stream(request.request_id)))[0] == ["a"]


async def test_a_second_watcher_of_a_space_hears_how_it_is(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    first = await spaces.watch_space("echo")
    await anext(first)
    space_id = gateway.admin.spaces["echo"]["space_id"]
    await gateway.tell_space(SpaceFrame(space_id=space_id, queue_size=5))
    assert (await anext(first)).queue_size == 5
    second = await spaces.watch_space("echo")
    now = await anext(second)
    assert (now.connected, now.queue_size) == (True, 5)


async def test_a_watched_space_tells_its_changes_across_a_cut(
    gateway: ScriptedGateway, spaces: AsyncSpaces
) -> None:
    stream = await spaces.watch_space("echo")
    assert (await anext(stream)).connected
    gateway.cable.cut()
    assert (await anext(stream)).connected
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
