"""Direct workers: what the callout lets in, what they reach, and what they do not, on a real broker."""

import asyncio
import json
from datetime import UTC, datetime

from nats.aio.msg import Msg

from spaces_chassis.bus import listen
from spaces_chassis.lifecycle import Loop
from spaces_chassis.testing import ManualClock, Signal
from spaces_contracts.access import PrincipalKind, RevokeCredential
from spaces_contracts.connections import (
    ConnectionState,
    KickConnection,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.requests import EventKind, JobEvent, JobResult, RequestState
from spaces_contracts.spaces import UpdateSpace
from spaces_registry.app import Registry
from spaces_registry.settings import RegistrySettings
from tests.integration.registry.conftest import Agent, World, running
from tests.integration.registry.direct_worker import Direct, let_in, settled
from tests.support.eventually import eventually
from tests.support.servers import RunningNats


async def test_a_direct_worker_attaches_and_is_reached_on_its_own_subjects(
    direct: Direct, world: World
) -> None:
    (verdict,) = (await direct.attach()).verdicts
    assert verdict.problem is None
    assert verdict.space_id == direct.space.space_id
    (listed,) = await world.connections()
    assert (listed.connection_id, listed.gateway_id) == (direct.connection_id, None)
    jobs: Signal[bytes] = Signal()

    async def take(message: Msg) -> None:
        jobs.send(message.data)

    down = f"wk.{direct.space.space_id}.{direct.connection_id}.d"
    await direct.client.subscribe(f"{down}.>", cb=take)
    await settled(direct.client)
    world.bus.publish_bytes(f"{down}.job", b"work")
    assert await jobs.next() == b"work"


async def test_a_result_goes_up_with_its_way_back(direct: Direct, world: World) -> None:
    result = JobResult(
        space_id=direct.space.space_id,
        connection_id=direct.connection_id,
        request_id=new_id(),
        attempt=1,
        state=RequestState.SUCCEEDED,
    )
    heard: Signal[str | None] = Signal()
    route = listen(JobResult.subject.pattern, lambda delivery: heard.send(delivery.reply_to))
    subscription = await world.bus.subscribe(route)
    down = f"wk.{direct.space.space_id}.{direct.connection_id}.d.ack"
    acks: Signal[bytes] = Signal()

    async def acknowledged(message: Msg) -> None:
        acks.send(message.data)

    await direct.client.subscribe(down, cb=acknowledged)
    await settled(direct.client)
    await direct.client.publish(result.address(), result.encode(), reply=down)
    reply_to = await heard.next()
    assert reply_to is not None
    world.bus.publish_bytes(reply_to, b"stored")
    assert await acks.next() == b"stored"
    await subscription.stop()


async def test_a_chunk_lands_in_the_event_stream_and_its_receipt_comes_back(
    direct: Direct, world: World
) -> None:
    await world.bus.ensure_event_stream()
    event = JobEvent(
        space_id=direct.space.space_id,
        connection_id=direct.connection_id,
        request_id=new_id(),
        kind=EventKind.CHUNK,
        attempt=1,
        n=1,
        count=1,
        data_json='["a"]',
    )
    receipt = await direct.client.request(event.address(), event.encode(), timeout=5)
    assert json.loads(receipt.data)["stream"] == "EVT"
    kept = await world.bus.replay(f"evt.{event.space_id}.{event.request_id}")
    assert [body for _, body in kept] == [event.encode()]


async def test_the_broker_tells_of_a_direct_worker_that_left(direct: Direct, world: World) -> None:
    await direct.attach()
    await direct.client.close()

    def noted() -> bool:
        metrics = world.registry.metrics.registry
        return metrics.get_sample_value("spaces_suspicions_total", {"cause": "worker_lost"}) == 1

    await eventually(noted)
    (connection,) = await world.connections()
    assert connection.state is ConnectionState.SUSPECT


async def test_who_has_no_right_to_a_space_is_not_let_in(
    world: World, nats_server: RunningNats
) -> None:
    space = await world.space("chat")
    await world.space("other")
    token = await world.token("chat")
    key = await world.key(PrincipalKind.API_KEY)
    revoked = await world.token("chat")
    await world.bus.request(
        RevokeCredential(actor=world.admin, principal_id=(await world.who(revoked)).principal_id)
    )
    cid = new_id()
    assert await let_in(nats_server, f"{cid}:chat", token)
    assert await let_in(nats_server, f"{cid}:default/chat", token)
    assert await let_in(nats_server, f"{cid}:{space.space_id}", token)
    for user, password in (
        (f"{cid}:chat", "spw_unknown"),
        (f"{cid}:chat", ""),
        (f"{cid}:chat", key),
        (f"{cid}:chat", revoked),
        (f"{cid}:other", token),
        (f"{cid}:nowhere", token),
        (f"{cid}:", token),
        (cid, token),
        ("x.>:chat", token),
        ("*:chat", token),
        (":chat", token),
        ("registry", token),
        ("gateway", token),
    ):
        assert not await let_in(nats_server, user, password), user


async def test_a_direct_worker_of_a_disabled_space_is_let_in_to_hear_why_it_is_refused(
    direct: Direct, world: World
) -> None:
    await world.bus.request(
        UpdateSpace(actor=world.admin, space_id=direct.space.space_id, enabled=False)
    )
    (verdict,) = (await direct.attach()).verdicts
    assert verdict.problem is not None
    assert verdict.problem.code is Code.SPACE_DISABLED


async def test_a_revoked_token_is_cut_off_the_broker_after_it_was_told(
    direct: Direct, world: World
) -> None:
    await direct.attach()
    told: Signal[str] = Signal()

    async def hear(message: Msg) -> None:
        told.send(KickConnection.decode(message.data, message.subject).problem.code)

    down = f"wk.{direct.space.space_id}.{direct.connection_id}.d.>"
    await direct.client.subscribe(down, cb=hear)
    await settled(direct.client)
    principal = await world.who(direct.token)
    await world.bus.request(
        RevokeCredential(actor=world.admin, principal_id=principal.principal_id)
    )
    assert await told.next() == Code.TOKEN_REVOKED
    await eventually(lambda: direct.client.is_closed)


async def test_who_is_taken_over_keeps_its_session(direct: Direct, world: World) -> None:
    await direct.attach()
    await world.attach(Agent(direct.token), "chat", takeover=True)
    (verdict,) = (await direct.attach()).verdicts
    assert verdict.problem is not None
    assert direct.client.is_connected


async def test_nobody_dials_with_the_connection_of_another_worker(
    direct: Direct, world: World, nats_server: RunningNats
) -> None:
    await direct.attach()
    thief = await world.token("chat")
    assert not await let_in(nats_server, f"{direct.connection_id}:chat", thief)
    assert await let_in(nats_server, f"{direct.connection_id}:chat", direct.token)


async def test_with_two_registries_each_worker_gets_one_answer(
    world: World, settings: RegistrySettings, nats_server: RunningNats
) -> None:
    await world.space("chat")
    token = await world.token("chat")
    second = Registry(settings, ManualClock(datetime.now(UTC)))
    async with running([part for part in second.parts if not isinstance(part, Loop)]):
        results = await asyncio.gather(
            *(let_in(nats_server, f"{new_id()}:chat", token) for _ in range(20))
        )
    assert results == [True] * 20
    counted = [
        one.metrics.registry.get_sample_value("spaces_auth_callouts_total", {"outcome": "admitted"})
        or 0
        for one in (world.registry, second)
    ]
    assert sum(counted) == 20
    assert min(counted) > 0


async def test_a_refused_direct_worker_is_counted_by_reason(
    world: World, nats_server: RunningNats
) -> None:
    await world.space("chat")
    assert not await let_in(nats_server, f"{new_id()}:chat", "spw_unknown")
    metrics = world.registry.metrics.registry
    outcome = {"outcome": Code.TOKEN_INVALID.value}
    assert metrics.get_sample_value("spaces_auth_callouts_total", outcome) == 1
