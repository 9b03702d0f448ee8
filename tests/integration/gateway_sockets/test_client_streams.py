"""A client submits, watches, is cut, resumes: what it sees is each chunk once, in order, and then the end."""

import asyncio
import random

from spaces_contracts.client_socket import After
from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import RequestState
from tests.integration.gateway_sockets.conftest import Connect, Gateway, MakeGateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.integration.gateway_sockets.samples import principal, view
from tests.integration.gateway_sockets.socket_peer import Peer
from tests.support.eventually import eventually
from tests.support.keys import key_called


async def signed_in(connect: Connect, gateway: Gateway) -> Peer:
    client = await connect(gateway, "/ws")
    await client.send("auth", token=key_called("user"))
    assert (await client.next())["type"] == "ready"
    return client


async def submitted(client: Peer, **fields: object) -> str:
    await client.send("submit", ref="r1", space="demo", prompt="hi", **fields)
    frame = await client.frame("submitted", "error")
    assert frame["type"] == "submitted", frame
    return str(frame["request_id"])


async def test_a_submitted_request_is_watched_to_its_end(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    request_id = await submitted(client)
    await platform.tell_chunk(request_id, 1, ["a"])
    await platform.tell_progress(request_id, 50)
    await platform.tell_chunk(request_id, 2, ["b", "c"])
    await platform.finish(request_id, last_n=3, output_json='{"text": "abc"}')

    frames = [await client.next() for _ in range(4)]
    assert [frame["type"] for frame in frames] == ["chunk", "progress", "chunk", "finished"]
    assert frames[0]["data"] == ["a"]
    assert (frames[2]["n"], frames[2]["data"]) == (2, ["b", "c"])
    assert frames[3]["output"] == {"text": "abc"}
    assert (frames[3]["state"], frames[3]["recovered"]) == ("succeeded", True)
    await client.quiet()
    await eventually(lambda: len(gateway.sockets.fanout.events) == 0)


async def test_a_finished_request_is_replayed_from_the_clients_position(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    request = platform.queued("demo")
    for n in range(1, 6):
        await platform.tell_chunk(request.request_id, n, [n])
    await platform.finish(request.request_id, last_n=5, tell=False)
    client = await signed_in(connect, gateway)
    await client.send("subscribe", request_id=request.request_id, after={"attempt": 1, "n": 2})

    status = await client.next()
    assert (status["type"], status["state"]) == ("status", "succeeded")
    chunk = await client.next()
    assert (chunk["n"], chunk["data"]) == (3, [3, 4, 5])
    assert (await client.next())["type"] == "finished"


async def test_an_end_whose_chunks_are_gone_says_that_it_is_not_recovered(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    request = platform.queued("demo")
    await platform.finish(request.request_id, last_n=5, output_json='"whole"', tell=False)
    client = await signed_in(connect, gateway)
    await client.send("subscribe", request_id=request.request_id)

    finished = await client.frame("finished")
    assert (finished["recovered"], finished["output"]) == (False, "whole")


async def test_a_new_attempt_resets_what_was_streamed(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    request_id = await submitted(client)
    await platform.tell_chunk(request_id, 1, ["old"])
    await platform.tell_chunk(request_id, 1, ["new"], attempt=2)
    await platform.tell_chunk(request_id, 2, ["late"], attempt=1)
    await platform.finish(request_id, last_n=1, attempt=2)

    types = [(await client.next())["type"] for _ in range(4)]
    assert types == ["chunk", "reset", "chunk", "finished"]
    assert client.seen[-3]["attempt"] == 2


async def test_a_lost_terminal_event_is_found_by_the_look_at_what_is_quiet(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    request_id = await submitted(client)
    await platform.finish(request_id, tell=False)
    await gateway.services.waiters.look_up([request_id])

    assert (await client.frame("finished"))["request_id"] == request_id


async def test_places_in_the_queue_are_told_when_the_queue_moves(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    request_id = await submitted(client)
    platform.change(request_id, position=None, state=RequestState.RUNNING, attempt=1)
    await eventually(lambda: len(gateway.sockets.fanout.spaces) == 1)
    await platform.tell_space("demo", queue_size=0, running=1)

    status = await client.frame("status")
    assert (status["state"], status["request_id"]) == ("running", request_id)


async def test_a_thousand_chunks_survive_fifty_cuts_of_the_client(
    gateway: Gateway, platform: PlatformDouble
) -> None:
    request = platform.queued("demo")
    seed = random.Random(7)
    got: list[int] = []
    cuts = 0

    async def produce() -> None:
        for n in range(1, 1001):
            await platform.tell_chunk(request.request_id, n, [n])
            if n % 10 == 0:
                await asyncio.sleep(0)
        await platform.finish(request.request_id, last_n=1000)

    async def watch(most: int) -> bool:
        """Reads up to so many frames, then goes away without a word; whether the end came."""
        async with Peer.open(gateway.url("/ws")) as client:
            await client.send("auth", token=key_called("user"))
            after = {"attempt": 1, "n": len(got)} if got else {}
            await client.send("subscribe", request_id=request.request_id, after=after)
            for _ in range(most):
                frame = await client.next()
                if frame["type"] == "chunk":
                    assert frame["n"] == len(got) + 1
                    got.extend(frame["data"])
                if frame["type"] == "finished":
                    assert frame["recovered"]
                    return True
            client.connection.transport.abort()
            return False

    producer = asyncio.create_task(produce())
    while cuts < 50:
        await watch(seed.randint(1, 4))
        cuts += 1
    await producer
    while not await watch(1000):
        pass
    assert got == list(range(1, 1001))


async def test_a_client_resumes_at_another_gateway(
    make_gateway: MakeGateway, platform: PlatformDouble, connect: Connect
) -> None:
    first, second = await make_gateway(), await make_gateway()
    client = await signed_in(connect, first)
    request_id = await submitted(client)
    await platform.tell_chunk(request_id, 1, [1])
    await client.frame("chunk")
    await first.drain()
    assert (await client.frame("goaway"))["reconnect_after_s"] >= 0
    assert await client.close_code() == 1012

    await platform.tell_chunk(request_id, 2, [2])
    again = await signed_in(connect, second)
    await again.send("subscribe", request_id=request_id, after={"attempt": 1, "n": 1})
    chunk = await again.frame("chunk")
    assert (chunk["n"], chunk["data"]) == (2, [2])
    await platform.finish(request_id, last_n=2)
    assert (await again.frame("finished"))["recovered"]


async def test_the_event_stream_for_sse_has_positions_to_resume_from(
    gateway: Gateway, platform: PlatformDouble
) -> None:
    request = platform.queued("demo")
    await platform.tell_chunk(request.request_id, 1, ["a"])
    await platform.tell_chunk(request.request_id, 2, ["b"])
    events = gateway.sockets.stream_request_events(request, After(attempt=1, n=1), principal())
    assert (await anext(events))[0] == "status"
    kind, position, _ = await anext(events)
    assert (kind, position) == ("chunk", "1:2")
    await platform.finish(request.request_id, last_n=2)
    assert [(kind, position) async for kind, position, _ in events] == [("finished", "1:2")]


async def test_a_repeated_idempotency_key_watches_the_first_request(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    first = platform.queued("demo")
    platform.duplicate_of = first.request_id
    client = await signed_in(connect, gateway)
    assert await submitted(client, idempotency_key="k") == first.request_id
    await platform.finish(first.request_id, output_json="1")
    assert (await client.frame("finished"))["request_id"] == first.request_id


async def test_a_watched_space_tells_what_changes(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    space_id = platform.space_ids["demo"]
    await client.send("subscribe", space_id=space_id)
    now = await client.frame("space")
    assert (now["space_id"], now["queue_size"]) == (space_id, 0)
    await platform.tell_space("demo", queue_size=3)
    assert (await client.frame("space"))["queue_size"] == 3
    await client.send("unsubscribe", space_id=space_id)
    await client.quiet()


async def test_sockets_that_come_at_once_ask_for_their_queues_together(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    platform.queue_gate = asyncio.Event()
    space_id = platform.space_ids["demo"]
    clients = [await signed_in(connect, gateway) for _ in range(4)]
    await clients[0].send("subscribe", space_id=space_id)
    await eventually(lambda: len(platform.queue_questions) == 1)
    for client in clients[1:]:
        await client.send("subscribe", space_id=space_id)
        await client.quiet()
    platform.queue_gate.set()
    for client in clients:
        assert (await client.frame("space"))["space_id"] == space_id
    assert [question.space_ids for question in platform.queue_questions] == [[space_id], [space_id]]


async def test_a_cancel_is_answered_with_the_requests_status(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    request_id = await submitted(client)
    await client.send("cancel", ref="c1", request_id=request_id)
    status = await client.frame("status")
    assert (status["ref"], status["request_id"]) == ("c1", request_id)
    await client.send("cancel", ref="c2", request_id=new_id())
    refused = await client.frame("error")
    assert (refused["ref"], refused["code"]) == ("c2", "request_not_found")


async def test_a_request_of_another_tenant_does_not_exist(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    request = view(platform.space_ids["demo"], tenant_id=new_id())
    platform.requests[request.request_id] = request
    client = await signed_in(connect, gateway)
    await client.send("subscribe", ref="s", request_id=request.request_id)
    refused = await client.frame("error")
    assert (refused["code"], refused["ref"]) == ("request_not_found", "s")
    assert refused["message"] == f"There is no request {request.request_id!r}."


async def test_subscribing_to_what_was_just_submitted_goes_on_without_a_second_look(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    request_id = await submitted(client)
    await platform.tell_chunk(request_id, 1, ["a"])
    await client.frame("chunk")
    before = platform.looked_up
    await client.send("subscribe", request_id=request_id, after={"attempt": 1, "n": 1})
    await client.quiet()
    assert platform.looked_up == before
    await client.send("subscribe", request_id=request_id)  # from the beginning, once more
    assert (await client.frame("chunk"))["data"] == ["a"]
