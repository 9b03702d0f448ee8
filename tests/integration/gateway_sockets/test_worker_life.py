"""How a worker's connections live and end: heartbeats, kicks, drains, cuts, and what is told to whom."""

import asyncio

from spaces_contracts.connections import DrainConnection, KickConnection
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import CancelJob, ConnectionGone
from spaces_gateway.sockets.worker_hub import FROZEN_S
from tests.integration.gateway_sockets.conftest import Connect, Gateway, MakeGateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.support.eventually import eventually
from tests.support.keys import key_called


def age(gateway: Gateway, seconds: float) -> None:
    """All workers were last heard that long ago."""
    for socket in gateway.sockets.workers.sockets:
        socket.session.heard_at -= seconds


async def test_a_silent_worker_is_pinged_suspected_and_closed(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    cid = (await worker.registered())["connection_id"]
    age(gateway, 1.5)
    await gateway.sockets.workers.tick()
    assert (await worker.frame("ping"))["id"] == 1
    age(gateway, 2)
    await gateway.sockets.workers.tick()
    await eventually(lambda: platform.suspected == [cid])
    age(gateway, 8)
    await gateway.sockets.workers.tick()
    assert await worker.close_code() == 4408
    await eventually(lambda: platform.ended == [(cid, False)])


async def test_a_suspicion_tells_since_when_nothing_was_heard(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    cid = (await worker.registered())["connection_id"]
    age(gateway, 5)
    await gateway.sockets.workers.tick()
    await eventually(lambda: platform.suspected == [cid])
    assert 5 <= platform.silences[0] < 6


async def test_a_gateway_takes_back_its_own_suspicion_with_the_next_beat(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    cid = (await worker.registered())["connection_id"]
    age(gateway, 5)
    await gateway.sockets.workers.tick()
    await gateway.sockets.workers.beat()
    assert platform.beats[-1].held == []
    age(gateway, -5)
    await gateway.sockets.workers.beat()
    assert platform.beats[-1].held == [cid]
    await gateway.sockets.workers.beat()
    assert platform.beats[-1].held == []


async def test_a_gateway_that_stood_still_reads_before_it_suspects(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    cid = (await worker.registered())["connection_id"]
    hub = gateway.sockets.workers
    await hub.tick()
    age(gateway, 5)
    hub._ticked_at = hub.clock.monotonic() - FROZEN_S - 0.1
    await hub.tick()
    assert platform.suspected == []
    await hub.tick()
    await eventually(lambda: platform.suspected == [cid])


async def test_a_worker_that_answers_is_not_suspected(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    await worker.registered()
    age(gateway, 2.5)
    await worker.quiet()
    await gateway.sockets.workers.tick()
    assert platform.suspected == []


async def test_a_cut_socket_is_told_until_the_registry_has_heard_it(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    platform.ended_refusals = 2
    worker = await connect(gateway, "/ws/worker")
    first = (await worker.registered("a", "b"))["connection_id"]
    worker.connection.transport.abort()
    await eventually(lambda: len(platform.ended) == 2)
    assert first in dict(platform.ended)
    assert not any(clean for _, clean in platform.ended)


async def test_a_bye_is_told_as_a_clean_end(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    cid = (await worker.registered())["connection_id"]
    await worker.send("bye")
    assert await worker.close_code() == 1000
    await eventually(lambda: platform.ended == [(cid, True)])


async def test_messages_for_a_connection_that_is_not_here_are_answered_with_gone(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    cid = (await worker.registered())["connection_id"]
    await worker.send("bye")
    await worker.close_code()
    await eventually(lambda: platform.ended)
    for what in ("job", "cancel", "drain", "kick"):
        subject = f"gw.{gateway.services.gateway_id}.wk.{cid}.{what}"
        gone = ConnectionGone.model_validate_json(await platform.ask(subject, b"{}"))
        assert gone.connection_id == cid


async def test_a_beat_tells_how_many_are_held_and_learns_which_leases_are_lost(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    cid = (await worker.registered())["connection_id"]
    await gateway.sockets.workers.beat()
    beat = platform.beats[-1]
    assert (beat.gateway_id, beat.connections) == (gateway.services.gateway_id, 1)
    assert beat.version
    assert not beat.leaving

    platform.lost[cid] = Problem(code=Code.HEARTBEAT_TIMEOUT, message="The lease ran out.")
    await gateway.sockets.workers.beat()
    kick = await worker.frame("kick")
    assert (kick["code"], kick["retry"]) == ("heartbeat_timeout", True)
    assert await worker.close_code() == 4408
    assert platform.ended == []  # the registry knows


async def test_a_gateway_vouches_for_doubted_connections_that_it_hears(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    heard, silent = await connect(gateway, "/ws/worker"), await connect(gateway, "/ws/worker")
    alive = (await heard.registered("a"))["connection_id"]
    dead = (await silent.registered("b"))["connection_id"]
    platform.doubted = [alive, dead, new_id()]
    await gateway.sockets.workers.beat()
    age(gateway, 5)
    await heard.quiet()
    await gateway.sockets.workers.beat()
    assert platform.beats[-1].held == [alive]


async def test_cancels_drains_and_kicks_reach_the_worker(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    cid = (await worker.registered())["connection_id"]
    route = platform.routes[cid]
    request_id = new_id()
    await platform.bus.publish(CancelJob(route=route, request_id=request_id, attempt=3))
    cancel = await worker.frame("cancel")
    assert (cancel["request_id"], cancel["attempt"], cancel["code"]) == (request_id, 3, "cancelled")

    await platform.bus.publish(DrainConnection(route=route))
    assert (await worker.frame("drain"))["connection_id"] == cid

    problem = Problem(code=Code.KICKED, message="An operator ended this connection")
    await platform.bus.publish(KickConnection(route=route, problem=problem))
    kick = await worker.frame("kick")
    assert (kick["code"], kick["message"], kick["retry"]) == (
        "kicked",
        "An operator ended this connection",
        False,
    )
    assert await worker.close_code() == 4403


async def test_an_agent_that_drains_says_so_for_all_its_spaces(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    platform.space_ids["other"] = new_id()
    worker = await connect(gateway, "/ws/worker")
    await worker.register("demo", "other")
    held = [(await worker.frame("registered"))["connection_id"] for _ in range(2)]
    await worker.send("draining")
    await eventually(lambda: platform.draining)
    assert platform.draining == held
    await worker.send("ping", id=7)
    frame = await worker.frame("pong", "error")
    assert frame["type"] == "pong"


async def test_a_stopping_gateway_sends_workers_away_and_tells_the_registry(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    cid = (await worker.registered())["connection_id"]
    draining = asyncio.create_task(gateway.drain())
    assert 0 <= (await worker.frame("goaway"))["reconnect_after_s"] <= 2
    assert await worker.close_code() == 1012
    await draining
    await eventually(lambda: platform.ended == [(cid, False)])
    assert platform.beats[-1].leaving
    late = await connect(gateway, "/ws/worker")
    assert (await late.frame("error"))["code"] == "going_away"
    assert await late.close_code() == 1012


async def test_work_survives_its_gateway_and_chunks_that_were_not_acknowledged_come_again(
    make_gateway: MakeGateway, platform: PlatformDouble, connect: Connect
) -> None:
    first, second = await make_gateway(), await make_gateway()
    request = platform.queued("demo")
    rid = request.request_id
    watcher = await connect(second, "/ws")
    await watcher.send("auth", token=key_called("user"))
    await watcher.send("subscribe", request_id=rid)
    await watcher.frame("status")

    worker = await connect(first, "/ws/worker")
    await platform.give((await worker.registered())["connection_id"], rid)
    await worker.frame("inference_request")
    await worker.send("inference_chunk", request_id=rid, attempt=1, n=1, data=[1, 2])
    assert (await worker.frame("chunk_ack"))["n"] == 2
    await worker.send("inference_chunk", request_id=rid, attempt=1, n=3, data=[3])
    worker.connection.transport.abort()

    again = await connect(second, "/ws/worker")
    in_flight = [{"space_id": request.space_id, "request_id": rid, "attempt": 1}]
    registered = await again.registered(resume={"secret": "s", "in_flight": in_flight})
    assert registered["adopted"] == [{"request_id": rid, "attempt": 1}]
    await again.send("inference_chunk", request_id=rid, attempt=1, n=3, data=[3, 4])
    assert (await again.frame("chunk_ack"))["n"] == 4
    await again.result(rid, last_n=4, output="all")
    assert (await again.frame("result_ack"))["outcome"] == "stored"
    await platform.finish(rid, last_n=4, output_json='"all"')

    got: list[int] = []
    while (frame := await watcher.next())["type"] != "finished":
        got += frame["data"]
    assert got == [1, 2, 3, 4]
    assert frame["recovered"]


async def test_when_a_result_is_acknowledged_its_chunks_are_in_the_stream(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    registered = await worker.registered()
    rid = new_id()
    await platform.give(registered["connection_id"], rid)
    await worker.frame("inference_request")
    for n in range(1, 101):
        await worker.send("inference_chunk", request_id=rid, attempt=1, n=n, data=[n])
    await worker.result(rid, last_n=100)
    await worker.frame("result_ack")
    stored = await platform.bus.replay(f"evt.{registered['space_id']}.{rid}")
    assert len(stored) == 100


async def test_results_nobody_waits_for_get_their_verdict_or_a_clear_error(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    worker = await connect(gateway, "/ws/worker")
    registered = await worker.registered()
    for verdict in ("unknown", "stale"):
        platform.verdict = type(platform.verdict)(verdict)
        rid = new_id()
        await worker.result(rid, space_id=registered["space_id"], attempt=2)
        ack = await worker.frame("result_ack")
        assert (ack["request_id"], ack["attempt"], ack["outcome"]) == (rid, 2, verdict)
    foreign = new_id()
    await worker.result(foreign, space_id=new_id())
    refused = await worker.frame("error")
    assert (refused["code"], refused["request_id"], refused["message"]) == (
        "unknown_request",
        foreign,
        "Attempt 1 of this request was not given to this connection.",
    )
