"""Who was heard, who is doubted, who dies: on real servers, with the process's clock turned by hand."""

import asyncio
from datetime import UTC, datetime
from typing import TypeAlias

import asyncpg
import nats

from spaces_chassis.lifecycle import Loop
from spaces_chassis.testing import ManualClock
from spaces_contracts.connections import (
    AgentInfo,
    AttachVerdict,
    ConnectionEnded,
    ConnectionState,
    ConnectionSuspected,
    EdgeAttach,
    GatewayBeat,
    KickConnection,
    WorkerBeat,
    WorkerBye,
    WorkerDraining,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import sha256_of
from spaces_contracts.problems import Code
from spaces_registry.app import Registry
from spaces_registry.leases import GRACE_S
from spaces_registry.settings import RegistrySettings
from tests.integration.registry.conftest import Agent, World, running
from tests.support.eventually import eventually
from tests.support.servers import RunningNats, RunningPostgres

Tables: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
RESTED = int(GRACE_S) + 1


async def attached(world: World) -> tuple[Agent, AttachVerdict]:
    await world.space("chat")
    agent = Agent(await world.token("chat"))
    verdict = await world.attach(agent, "chat")
    assert verdict.problem is None
    return agent, verdict


async def attached_directly(world: World) -> WorkerBeat:
    space = await world.space("chat")
    command = EdgeAttach(
        connection_id=new_id(),
        token_sha256=sha256_of(await world.token("chat")),
        ref="chat",
        instance_id=new_id(),
        instance_secret_sha256=sha256_of("secret"),
        agent=AgentInfo(version="1"),
    )
    (verdict,) = (await world.registry.attaching.attach_edge(command)).verdicts
    assert verdict.problem is None
    return WorkerBeat(space_id=space.space_id, connection_id=command.connection_id)


async def pass_time(tables: Tables, seconds: float) -> None:
    """Moves every lease into the past, as if nobody had been heard for so long."""
    for table in ("gateway", "connection"):
        await tables.execute(
            f"UPDATE registry.{table} SET lease_until = lease_until - make_interval(secs => $1)",
            float(seconds),
        )


async def state(world: World) -> ConnectionState:
    (connection,) = await world.connections()
    return connection.state


async def test_a_silent_gateways_workers_die_with_its_lease(world: World, tables: Tables) -> None:
    agent, verdict = await attached(world)
    await world.seconds(RESTED)
    await pass_time(tables, 11)
    route = f"gw.{agent.gateway_id}.wk.{verdict.connection_id}.kick"
    async with world.hearing(KickConnection, route) as kicks:
        assert await world.seconds(1) == 1
        assert (await kicks.next()).problem.code is Code.HEARTBEAT_TIMEOUT
    assert await world.connections() == []
    assert await world.seconds(1) == 0


async def test_a_beating_gateway_keeps_its_workers(world: World, tables: Tables) -> None:
    agent, _ = await attached(world)
    await world.seconds(RESTED)
    await pass_time(tables, 9)
    await world.bus.request(GatewayBeat(gateway_id=agent.gateway_id))
    await pass_time(tables, 9)
    assert await world.seconds(2) == 0
    assert len(await world.connections()) == 1


async def test_a_gateway_is_told_what_ended_without_it(world: World, tables: Tables) -> None:
    agent, verdict = await attached(world)
    beat = GatewayBeat(gateway_id=agent.gateway_id)
    assert (await world.bus.request(beat)).ended == []
    await world.attach(Agent(agent.token), "chat", takeover=True)
    reply = await world.bus.request(beat)
    assert reply.ended == [verdict.connection_id]
    assert reply.problem is not None
    assert reply.problem.kind.retry
    await tables.execute("UPDATE registry.connection SET ended_at = ended_at - interval '61 s'")
    assert (await world.bus.request(beat)).ended == []


async def test_a_lost_socket_is_suspect_and_dies_with_its_own_lease(
    world: World, tables: Tables
) -> None:
    agent, verdict = await attached(world)
    await world.seconds(RESTED)
    await world.bus.request(ConnectionEnded(connection_ids=[verdict.connection_id]))
    assert await state(world) is ConnectionState.SUSPECT
    refused = await world.attach(Agent(agent.token), "chat")
    assert refused.holder == "suspect"
    assert refused.problem is not None
    assert refused.problem.retry_after_s == 3.0
    await pass_time(tables, 11)
    await world.bus.request(GatewayBeat(gateway_id=agent.gateway_id))
    assert await world.seconds(1) == 1


async def test_a_clean_end_frees_the_seat_at_once(world: World) -> None:
    agent, verdict = await attached(world)
    await world.bus.request(ConnectionEnded(connection_ids=[verdict.connection_id], clean=True))
    assert (await world.attach(Agent(agent.token), "chat")).problem is None


async def test_a_gateway_that_holds_a_doubted_worker_clears_the_doubt(world: World) -> None:
    agent, verdict = await attached(world)
    cid = verdict.connection_id
    await world.bus.publish(ConnectionSuspected(connection_ids=[cid]))
    await eventually(lambda: doubted(world))
    beat = GatewayBeat(gateway_id=agent.gateway_id)
    assert (await world.bus.request(beat)).doubted == [cid]
    assert await state(world) is ConnectionState.SUSPECT
    reply = await world.bus.request(beat.model_copy(update={"held": [cid]}))
    assert reply.doubted == []
    assert await state(world) is ConnectionState.LIVE


async def test_a_silence_that_is_told_late_does_not_live_longer(
    world: World, tables: Tables
) -> None:
    agent, verdict = await attached(world)
    await world.seconds(RESTED)
    suspicion = ConnectionSuspected(connection_ids=[verdict.connection_id], silent_s=9.0)
    await world.bus.publish(suspicion)
    await eventually(lambda: doubted(world))
    await pass_time(tables, 3.5)  # 12.5 s of silence
    await world.bus.request(GatewayBeat(gateway_id=agent.gateway_id))
    assert await world.seconds(1) == 0
    await pass_time(tables, 1)  # 13.5 s: the lease of 10 s, and the 3 s until silence is suspicious
    await world.bus.request(GatewayBeat(gateway_id=agent.gateway_id))
    assert await world.seconds(1) == 1


async def test_a_socket_that_was_closed_after_silence_has_what_is_left_of_its_lease(
    world: World, tables: Tables
) -> None:
    agent, verdict = await attached(world)
    await world.seconds(RESTED)
    ended = ConnectionEnded(connection_ids=[verdict.connection_id], silent_s=10.5)
    await world.bus.request(ended)
    await pass_time(tables, 2)
    await world.bus.request(GatewayBeat(gateway_id=agent.gateway_id))
    assert await world.seconds(1) == 0
    await pass_time(tables, 1)
    await world.bus.request(GatewayBeat(gateway_id=agent.gateway_id))
    assert await world.seconds(1) == 1


async def doubted(world: World) -> bool:
    return await state(world) is ConnectionState.SUSPECT


async def test_the_broker_tells_of_a_gateway_that_left_and_its_next_beat_clears_it(
    world: World, nats_server: RunningNats
) -> None:
    agent, _ = await attached(world)
    gateway = await nats.connect(
        nats_server.url,
        user="gateway",
        password=nats_server.password("gateway"),
        name=f"gateway:{agent.gateway_id}",
    )
    await gateway.close()
    await eventually(lambda: doubted(world))
    await world.bus.request(GatewayBeat(gateway_id=agent.gateway_id))
    assert await state(world) is ConnectionState.LIVE


async def test_a_silent_direct_worker_is_suspect_at_three_seconds_and_dies_at_ten(
    world: World, tables: Tables
) -> None:
    beat = await attached_directly(world)
    await world.seconds(RESTED)
    await pass_time(tables, 2)
    assert await state(world) is ConnectionState.LIVE
    await pass_time(tables, 2)
    assert await state(world) is ConnectionState.SUSPECT
    await world.bus.publish(beat)
    await eventually(lambda: trusted(world))
    await pass_time(tables, 11)
    assert await world.seconds(1) == 1


async def trusted(world: World) -> bool:
    return await state(world) is ConnectionState.LIVE


async def test_a_direct_worker_whose_connection_ended_is_told_when_it_beats(
    world: World,
) -> None:
    beat = await attached_directly(world)
    await world.bus.publish(WorkerBye(space_id=beat.space_id, connection_id=beat.connection_id))
    await eventually(lambda: nobody(world))
    route = f"wk.{beat.space_id}.{beat.connection_id}.d.kick"
    async with world.hearing(KickConnection, route) as kicks:
        await world.bus.publish(beat)
        assert (await kicks.next()).problem.code is Code.HEARTBEAT_TIMEOUT


async def test_a_direct_worker_that_drains_is_listed_so(world: World) -> None:
    beat = await attached_directly(world)
    draining = WorkerDraining(space_id=beat.space_id, connection_id=beat.connection_id)
    await world.bus.publish(draining)
    await eventually(lambda: drains(world))


async def drains(world: World) -> bool:
    return await state(world) is ConnectionState.DRAINING


async def nobody(world: World) -> bool:
    return await world.connections() == []


async def test_nobody_dies_in_the_first_ten_seconds_of_a_registry(
    world: World, tables: Tables
) -> None:
    await attached(world)
    await pass_time(tables, 60)
    assert await world.seconds(int(GRACE_S)) == 0
    assert await world.seconds(1) == 1


async def test_nobody_dies_within_ten_seconds_after_the_bus_came_back(
    world: World, tables: Tables, nats_server: RunningNats
) -> None:
    await attached(world)
    await world.seconds(RESTED)
    await asyncio.to_thread(nats_server.kill)
    await eventually(lambda: not world.registry.bus.connected)
    await pass_time(tables, 60)
    assert await world.registry.deaths.step() == 0
    await asyncio.to_thread(nats_server.revive)
    await eventually(lambda: world.registry.bus.connected and world.bus.connected, timeout_s=15)
    assert await world.seconds(int(GRACE_S) - 1) == 0
    assert await world.seconds(2) == 1


async def test_nobody_dies_within_ten_seconds_after_the_database_came_back(
    world: World, settings: RegistrySettings, tables: Tables, postgres_server: RunningPostgres
) -> None:
    await attached(world)
    await world.seconds(RESTED)
    await pass_time(tables, 60)
    await asyncio.to_thread(postgres_server.kill)
    await eventually(
        lambda: (
            world.registry.database.connected_for_s == 0.0 and not world.registry.database.healthy()
        )
    )
    await asyncio.to_thread(postgres_server.revive)
    await eventually(world.registry.database.healthy, timeout_s=15)
    assert await world.seconds(int(GRACE_S) - 1) == 0
    assert await world.seconds(2) == 1


async def test_a_lease_far_in_the_future_is_shortened(world: World, tables: Tables) -> None:
    await attached(world)
    await pass_time(tables, -3600)
    await world.seconds(1)
    left = await tables.fetchval(
        "SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 FROM registry.gateway"
    )
    assert left <= 10


async def test_of_two_registries_that_see_a_death_one_ends_it(
    world: World, settings: RegistrySettings, tables: Tables
) -> None:
    await attached(world)
    clock = ManualClock(datetime.now(UTC))
    second = Registry(settings, clock)
    async with running([part for part in second.parts if not isinstance(part, Loop)]):
        for _ in range(RESTED):
            clock.forward(1)
            await second.deaths.step()
        await world.seconds(RESTED)
        await pass_time(tables, 60)
        clock.forward(1)
        deaths = await asyncio.gather(second.deaths.step(), world.seconds(1))
    assert sorted(deaths) == [0, 1]


async def test_what_a_dead_registry_left_undone_is_done_by_the_upkeep(
    world: World, tables: Tables
) -> None:
    await attached(world)
    await tables.execute("UPDATE registry.space SET enabled = false")
    assert await world.registry.upkeep.step() == 1
    assert await world.connections() == []
    assert await world.registry.upkeep.step() == 0


async def test_one_registry_shows_the_connections_by_state(
    world: World, settings: RegistrySettings
) -> None:
    await attached(world)
    second = Registry(settings, ManualClock(datetime.now(UTC)))
    async with running([part for part in second.parts if not isinstance(part, Loop)]):
        assert await world.registry.gauges.step()
        assert not await second.gauges.step()
    shown = world.registry.metrics.render()[0].decode()
    assert 'spaces_connections{state="live"} 1.0' in shown
    assert 'spaces_connections{state="suspect"} 0.0' in shown
    assert "spaces_connections{" not in second.metrics.render()[0].decode()
    assert 'spaces_attaches_total{outcome="attached"} 1.0' in shown
