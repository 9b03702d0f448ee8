"""Attaching over the bus, against a real registry, the scheduler's functions and a real broker."""

import asyncio
from collections import Counter
from dataclasses import replace

import asyncpg
import pytest

from spaces_contracts.access import CreateTenant, PrincipalKind, RevokeCredential
from spaces_contracts.connections import (
    AgentInfo,
    Attach,
    Attachment,
    AttachVerdict,
    ConnectionDraining,
    ConnectionEnded,
    ConnectionState,
    ControlAction,
    ControlConnection,
    DrainConnection,
    InFlight,
    KickConnection,
    ListConnections,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import sha256_of
from spaces_contracts.message import Done
from spaces_contracts.problems import Code
from spaces_contracts.requests import Announce
from spaces_contracts.spaces import DeleteSpace, SpaceEvent, SpacePolicy, UpdateSpace
from tests.integration.registry.conftest import Agent, World


def code(verdict: AttachVerdict) -> Code | None:
    return None if verdict.problem is None else verdict.problem.code


def route(agent: Agent, verdict: AttachVerdict, what: str) -> str:
    return f"gw.{agent.gateway_id}.wk.{verdict.connection_id}.{what}"


async def test_of_fifty_racing_workers_one_wins_and_the_rest_are_told_who_holds_the_seat(
    world: World,
) -> None:
    await world.space("chat")
    token = await world.token("chat")
    verdicts = await asyncio.gather(*(world.attach(Agent(token), "chat") for _ in range(50)))
    assert Counter(map(code, verdicts)) == {None: 1, Code.ALREADY_CONNECTED: 49}
    assert {v.holder for v in verdicts if v.problem} == {"live"}
    winner = next(v for v in verdicts if v.problem is None)
    (listed,) = await world.connections()
    assert listed.connection_id == winner.connection_id
    assert (listed.seat, listed.epoch, listed.state) == (0, 1, ConnectionState.LIVE)


async def test_ten_racing_takeovers_leave_one_worker_and_count_the_epochs(world: World) -> None:
    await world.space("chat")
    token = await world.token("chat")
    verdicts = await asyncio.gather(
        *(world.attach(Agent(token), "chat", takeover=True) for _ in range(10))
    )
    assert sorted(v.epoch for v in verdicts) == list(range(1, 11))
    (listed,) = await world.connections()
    assert listed.epoch == 10


async def test_a_space_with_three_seats_takes_three_workers(world: World) -> None:
    space = await world.space("chat", max_connections=3)
    token = await world.token("chat")
    verdicts = [await world.attach(Agent(token), "chat") for _ in range(4)]
    assert [v.seat for v in verdicts[:3]] == [0, 1, 2]
    assert code(verdicts[3]) is Code.ALREADY_CONNECTED
    await world.bus.request(ConnectionEnded(connection_ids=[verdicts[1].connection_id], clean=True))
    assert (await world.attach(Agent(token), "chat")).seat == 1
    assert len(await world.connections(space.space_id)) == 3


async def test_a_takeover_ends_the_other_and_tells_its_gateway(world: World) -> None:
    await world.space("chat")
    token = await world.token("chat")
    old = Agent(token)
    first = await world.attach(old, "chat")
    async with world.hearing(KickConnection, route(old, first, "kick")) as kicks:
        second = await world.attach(Agent(token), "chat", takeover=True)
        assert (await kicks.next()).problem.code is Code.SUPERSEDED
    assert second.epoch == first.epoch + 1
    assert [one.connection_id for one in await world.connections()] == [second.connection_id]


async def test_a_worker_that_comes_back_takes_the_place_of_its_own_ghost(world: World) -> None:
    await world.space("chat")
    agent = Agent(await world.token("chat"))
    ghost = await world.attach(agent, "chat")
    back = await world.attach(replace(agent, gateway_id=new_id()), "chat")
    assert code(back) is None
    assert (back.seat, back.epoch) == (ghost.seat, ghost.epoch + 1)
    assert [one.connection_id for one in await world.connections()] == [back.connection_id]


async def test_an_instance_id_without_its_secret_is_forbidden(world: World) -> None:
    await world.space("chat")
    agent = Agent(await world.token("chat"))
    await world.attach(agent, "chat")
    thief = replace(agent, secret="guessed")
    assert code(await world.attach(thief, "chat", takeover=True)) is Code.FORBIDDEN


async def test_what_a_worker_does_not_hold_any_more_is_abandoned(world: World) -> None:
    space = await world.space("chat")
    agent = Agent(await world.token("chat"))
    request_id = new_id()
    held = InFlight(space_id=space.space_id, request_id=request_id, attempt=1)
    other = InFlight(space_id=new_id(), request_id=new_id(), attempt=1)
    (verdict,) = await world.attach_all(agent, "chat", in_flight=[held, other])
    assert [one.request_id for one in verdict.abandon] == [request_id]
    assert verdict.adopted == []


async def test_one_attach_serves_several_spaces_with_a_verdict_each(world: World) -> None:
    chat, draw = await world.space("chat"), await world.space("draw")
    await world.space("closed")
    agent = Agent(await world.token("chat", "draw"))
    verdicts = await world.attach_all(
        agent, "chat", "nowhere", draw.space_id, "closed", "default/chat"
    )
    assert [code(v) for v in verdicts] == [
        None,
        Code.SPACE_NOT_FOUND,
        None,
        Code.TOKEN_SCOPE,
        Code.INVALID_REQUEST,
    ]
    assert [v.space_id for v in verdicts if v.problem is None] == [chat.space_id, draw.space_id]
    assert [v.name for v in verdicts if v.problem is None] == ["chat", "draw"]


async def test_a_token_for_two_spaces_of_one_name_must_say_which(world: World) -> None:
    tenant = (await world.bus.request(CreateTenant(actor=world.admin, name="acme"))).tenant
    await world.space("chat")
    await world.space("chat", tenant_id=tenant.tenant_id)
    agent = Agent(await world.token("default/chat", "acme/chat"))
    refused = await world.attach(agent, "chat")
    assert code(refused) is Code.MULTIPLE_SPACES
    assert refused.problem is not None
    assert refused.problem.message.startswith("Multiple spaces with name 'chat' found")
    assert code(await world.attach(agent, "acme/chat")) is None


async def test_a_disabled_space_takes_no_worker(world: World) -> None:
    space = await world.space("chat")
    token = await world.token("chat")
    await world.bus.request(UpdateSpace(actor=world.admin, space_id=space.space_id, enabled=False))
    assert code(await world.attach(Agent(token), "chat")) is Code.SPACE_DISABLED


async def test_wrong_credentials_are_told_apart(world: World) -> None:
    await world.space("chat")
    token = await world.token("chat")
    assert code(await world.attach(Agent("spw_unknown"), "chat")) is Code.TOKEN_INVALID
    key = await world.key(PrincipalKind.API_KEY)
    assert code(await world.attach(Agent(key), "chat")) is Code.FORBIDDEN
    principal = await world.who(token)
    await world.bus.request(
        RevokeCredential(actor=world.admin, principal_id=principal.principal_id)
    )
    assert code(await world.attach(Agent(token), "chat")) is Code.TOKEN_REVOKED


async def test_revoking_a_token_ends_its_workers_on_all_spaces(world: World) -> None:
    await world.space("chat")
    await world.space("draw")
    token = await world.token("chat", "draw")
    agent = Agent(token)
    verdicts = await world.attach_all(agent, "chat", "draw")
    principal = await world.who(token)
    async with world.hearing(KickConnection, f"gw.{agent.gateway_id}.wk.*.kick") as kicks:
        await world.bus.request(
            RevokeCredential(actor=world.admin, principal_id=principal.principal_id)
        )
        heard = [await kicks.next() for _ in verdicts]
    assert {one.problem.code for one in heard} == {Code.TOKEN_REVOKED}
    assert await world.connections() == []


@pytest.mark.parametrize(
    ("how", "told"), [("disable", Code.SPACE_DISABLED), ("delete", Code.SPACE_NOT_FOUND)]
)
async def test_a_space_that_goes_ends_its_workers(world: World, how: str, told: Code) -> None:
    space = await world.space("chat")
    agent = Agent(await world.token("chat"))
    verdict = await world.attach(agent, "chat")
    async with world.hearing(KickConnection, route(agent, verdict, "kick")) as kicks:
        if how == "disable":
            await world.bus.request(
                UpdateSpace(actor=world.admin, space_id=space.space_id, enabled=False)
            )
        else:
            await world.bus.request(DeleteSpace(actor=world.admin, space_id=space.space_id))
        assert (await kicks.next()).problem.code is told
    assert await world.connections() == []


async def test_watchers_see_workers_come_and_go(world: World) -> None:
    await world.space("chat")
    agent = Agent(await world.token("chat"))
    async with world.hearing(SpaceEvent) as events:
        verdict = await world.attach(agent, "chat")
        come = await events.next()
        await world.bus.request(ConnectionEnded(connection_ids=[verdict.connection_id], clean=True))
        gone = await events.next()
    assert (come.space_id, come.connected, come.connections) == (verdict.space_id, True, 1)
    assert (gone.connected, gone.connections) == (False, 0)


async def test_operators_drain_and_kick(world: World) -> None:
    await world.space("chat")
    agent = Agent(await world.token("chat"))
    verdict = await world.attach(agent, "chat")
    control = ControlConnection(
        actor=world.admin, connection_id=verdict.connection_id, action=ControlAction.DRAIN
    )
    async with world.hearing(DrainConnection, route(agent, verdict, "drain")) as drains:
        assert await world.bus.request(control) == Done()
        await drains.next()
    (listed,) = await world.connections()
    assert listed.state is ConnectionState.DRAINING
    second = await world.attach(Agent(agent.token), "chat")
    assert (code(second), second.holder) == (Code.ALREADY_CONNECTED, "suspect")
    kick = control.model_copy(update={"action": ControlAction.KICK})
    async with world.hearing(KickConnection, route(agent, verdict, "kick")) as kicks:
        await world.bus.request(kick)
        assert (await kicks.next()).problem.code is Code.KICKED
    assert (await world.refused(kick)).code is Code.CONNECTION_NOT_FOUND
    assert (await world.refused(control)).code is Code.CONNECTION_NOT_FOUND


async def test_who_drains_by_itself_gives_way_to_the_next(world: World) -> None:
    await world.space("chat")
    agent = Agent(await world.token("chat"))
    verdict = await world.attach(agent, "chat")
    draining = ConnectionDraining(connection_ids=[verdict.connection_id, new_id()])
    assert await world.bus.request(draining) == Done()
    (listed,) = await world.connections()
    assert listed.state is ConnectionState.DRAINING
    second = await world.attach(Agent(agent.token), "chat")
    assert (code(second), second.holder) == (Code.ALREADY_CONNECTED, "suspect")


async def test_a_worker_token_controls_no_connection(world: World) -> None:
    await world.space("chat")
    token = await world.token("chat")
    verdict = await world.attach(Agent(token), "chat")
    for action in ControlAction:
        control = ControlConnection(
            actor=await world.who(token), connection_id=verdict.connection_id, action=action
        )
        assert (await world.refused(control)).code is Code.FORBIDDEN


async def test_connections_of_another_tenant_do_not_exist(world: World) -> None:
    space = await world.space("chat")
    verdict = await world.attach(Agent(await world.token("chat")), "chat")
    tenant = (await world.bus.request(CreateTenant(actor=world.admin, name="acme"))).tenant
    key = await world.who(await world.key(PrincipalKind.API_KEY, tenant_id=tenant.tenant_id))
    assert (await world.bus.request(ListConnections(actor=key))).connections == []
    one = ListConnections(actor=key, space_id=space.space_id)
    assert (await world.refused(one)).code is Code.SPACE_NOT_FOUND
    control = ControlConnection(
        actor=key, connection_id=verdict.connection_id, action=ControlAction.KICK
    )
    assert (await world.refused(control)).code is Code.CONNECTION_NOT_FOUND


async def test_fewer_seats_drain_the_workers_above_them(world: World) -> None:
    space = await world.space("chat", max_connections=2)
    token = await world.token("chat")
    await world.attach(Agent(token), "chat")
    upper = Agent(token)
    verdict = await world.attach(upper, "chat")
    async with world.hearing(DrainConnection, route(upper, verdict, "drain")) as drains:
        await world.bus.request(
            UpdateSpace(
                actor=world.admin, space_id=space.space_id, policy=SpacePolicy(max_connections=1)
            )
        )
        await drains.next()
    states = {one.seat: one.state for one in await world.connections()}
    assert states == {0: ConnectionState.LIVE, 1: ConnectionState.DRAINING}


async def test_an_attach_sent_twice_is_answered_twice_and_done_once(world: World) -> None:
    await world.space("chat")
    token = await world.token("chat")
    command = Attach(
        gateway_id=new_id(),
        token_sha256=sha256_of(token),
        attachments=[Attachment(ref="chat", connection_id=new_id())],
        instance_id=new_id(),
        instance_secret_sha256=sha256_of("secret"),
        agent=AgentInfo(version="1"),
    )
    first = await world.bus.request(command)
    assert await world.bus.request(command) == first
    assert len(await world.connections()) == 1
    cid = command.attachments[0].connection_id
    await world.bus.request(ConnectionEnded(connection_ids=[cid], clean=True))
    (late,) = (await world.bus.request(command)).verdicts
    assert code(late) is Code.INVALID_REQUEST


async def test_requests_changed_by_an_attach_are_announced_after_it(
    world: World, tables: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await world.space("chat")
    agent = Agent(await world.token("chat"))
    await tables.execute(
        """
        CREATE OR REPLACE FUNCTION scheduler.attach(p_space_id text, p_connection_id text,
            p_instance_id text, p_route text, p_slots int, p_in_flight jsonb, p_supersedes text[])
        RETURNS TABLE (kind text, request_id text, attempt int) LANGUAGE sql SECURITY DEFINER
        AS $$ SELECT 'announce', '0000000000000000000000request', NULL::int $$
        """
    )
    async with world.hearing(Announce) as announced:
        await world.attach(agent, "chat")
        assert (await announced.next()).request_ids == ["0000000000000000000000request"]
