"""Names of what lists hold, to those only who may know; and which processes live."""

from datetime import timedelta

from spaces_contracts.access import PrincipalKind, Role
from spaces_contracts.connections import GatewayBeat, ListConnections, SchedulerBeat
from spaces_contracts.identifiers import new_id
from spaces_contracts.names import GetNames, ListPrincipals
from spaces_contracts.problems import Code
from spaces_contracts.spaces import DeleteSpace
from spaces_contracts.system import GetSystem, Replica, ReplicaState
from spaces_registry.actors import DEFAULT_TENANT_ID
from tests.integration.registry.conftest import Agent, World
from tests.integration.registry.test_logins import login, person, sign_in
from tests.support.eventually import eventually


async def test_spaces_people_and_workers_are_named_also_when_they_are_gone(world: World) -> None:
    space = await world.space("chat")
    agent = Agent(await world.token("chat"))
    verdict = await world.attach(agent, "chat")
    user = await person(world, "ada@example.org", Role.MEMBER)
    ada = (await sign_in(world, login("ada@example.org"))).principal
    key = await world.who(await world.key(PrincipalKind.API_KEY, tenant_id=DEFAULT_TENANT_ID))
    await world.bus.request(DeleteSpace(actor=world.admin, space_id=space.space_id))

    named = await world.bus.request(
        GetNames(
            actor=key,
            space_ids=[space.space_id, new_id()],
            principal_ids=[ada.principal_id, key.principal_id, world.admin.principal_id],
            connection_ids=[verdict.connection_id],
        )
    )
    assert [(one.name, one.tenant_name) for one in named.spaces] == [("chat", "default")]
    found = {one.principal_id: one for one in named.principals}
    assert set(found) == {ada.principal_id, key.principal_id}  # the admin is of no tenant
    assert (found[ada.principal_id].name, found[ada.principal_id].user_id) == ("ada", user.user_id)
    assert found[key.principal_id].name == "test"
    assert [one.version for one in named.workers] == ["1"]


async def test_what_is_another_tenants_has_no_name(world: World) -> None:
    space = await world.space("chat")
    verdict = await world.attach(Agent(await world.token("chat")), "chat")
    mine = await world.who(await world.key(PrincipalKind.API_KEY, tenant_id=DEFAULT_TENANT_ID))
    stranger = mine.model_copy(update={"tenant_id": new_id(), "principal_id": new_id()})
    named = await world.bus.request(
        GetNames(
            actor=stranger,
            space_ids=[space.space_id],
            principal_ids=[mine.principal_id],
            connection_ids=[verdict.connection_id],
        )
    )
    assert (named.spaces, named.principals, named.workers) == ([], [], [])
    asked = ListPrincipals(actor=stranger, who=mine.principal_id)
    assert (await world.bus.request(asked)).principal_ids == []


async def test_a_persons_logins_and_keys_are_found_by_the_person(world: World) -> None:
    user = await person(world, "ada@example.org", Role.MEMBER)
    first = (await sign_in(world, login("ada@example.org"))).principal
    second = (await sign_in(world, login("ada@example.org"))).principal
    asked = ListPrincipals(actor=first, who=user.user_id)
    found = (await world.bus.request(asked)).principal_ids
    assert set(found) == {first.principal_id, second.principal_id}
    one = ListPrincipals(actor=world.admin, who=first.principal_id)
    assert (await world.bus.request(one)).principal_ids == [first.principal_id]


async def test_a_worker_token_learns_no_names(world: World) -> None:
    await world.space("chat")
    token = await world.who(await world.token("chat"))
    for command in (GetNames(actor=token), ListPrincipals(actor=token, who=new_id())):
        assert (await world.refused(command)).code is Code.FORBIDDEN


async def replicas(world: World) -> dict[str, Replica]:
    reply = await world.bus.request(GetSystem(actor=world.admin))
    return {one.replica_id: one for one in reply.replicas}


async def test_every_process_that_beats_is_known_and_what_fails_in_it(world: World) -> None:
    scheduler, gateway = new_id(), new_id()
    beat = SchedulerBeat(scheduler_id=scheduler, version="2", failing=["database"])
    await world.bus.publish(beat)
    await world.bus.request(GatewayBeat(gateway_id=gateway, version="3", connections=4))
    await world.registry.heartbeat.step()

    async def both() -> bool:
        return {scheduler, gateway} <= set(await replicas(world))

    await eventually(both)
    known = await replicas(world)
    assert (known[scheduler].state, known[scheduler].failing) == (
        ReplicaState.FAILING,
        ["database"],
    )
    assert (known[gateway].service, known[gateway].connections) == ("gateway", 4)
    assert {one.service for one in known.values()} == {"gateway", "registry", "scheduler"}


async def test_who_says_goodbye_leaves_and_who_does_not_is_silent(world: World) -> None:
    leaving, silent = new_id(), new_id()
    store = world.registry.stores.system
    await store.heard("scheduler", leaving, "1", [], leaving=True)
    await store.heard("scheduler", silent, "1", [])
    await world.registry.database.execute(
        "UPDATE registry.replica SET heard_at = heard_at - interval '20 s' WHERE replica_id = $1",
        silent,
    )
    known = await replicas(world)
    assert known[leaving].state is ReplicaState.LEAVING
    assert known[silent].state is ReplicaState.SILENT
    await world.registry.database.execute(
        "UPDATE registry.replica SET heard_at = heard_at - interval '70 s'"
    )
    assert leaving not in await replicas(world)
    assert silent in await replicas(world)
    await world.registry.database.execute(
        "UPDATE registry.replica SET heard_at = heard_at - interval '2 days'"
    )
    await store.forget()
    assert await world.registry.database.fetchval("SELECT count(*) FROM registry.replica") == 0


async def test_the_database_tells_of_itself_to_admins_only(world: World) -> None:
    facts = (await world.bus.request(GetSystem(actor=world.admin))).database
    assert facts.version
    assert facts.size_bytes > 0
    assert 0 < facts.connections <= facts.max_connections
    key = await world.who(await world.key(PrincipalKind.API_KEY, tenant_id=DEFAULT_TENANT_ID))
    assert (await world.refused(GetSystem(actor=key))).code is Code.FORBIDDEN


async def test_a_listed_worker_was_heard_when_its_gateway_was(world: World) -> None:
    await world.space("chat")
    await world.attach(Agent(await world.token("chat")), "chat")
    (listed,) = (await world.bus.request(ListConnections(actor=world.admin))).connections
    assert listed.heard_at is not None
    assert abs(listed.heard_at - listed.since) < timedelta(seconds=2)
