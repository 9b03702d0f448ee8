"""A private space exists for its maker and for who sees all private ones, and for nobody else."""

from typing import Any

import asyncpg

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import (
    AccessChanged,
    CreateCredential,
    ListCredentials,
    Permission,
    Principal,
    PrincipalKind,
    RevokeCredential,
    Role,
)
from spaces_contracts.connections import ControlAction, ControlConnection, ListConnections
from spaces_contracts.identifiers import new_id
from spaces_contracts.joins import ListJoinTokens, RevokeJoinToken
from spaces_contracts.keys import new_join_token, new_key, sha256_of, shown_prefix
from spaces_contracts.message import Command
from spaces_contracts.names import GetNames
from spaces_contracts.problems import Code
from spaces_contracts.spaces import (
    CheckSpaces,
    CoverPicture,
    CreateSpace,
    DeleteSpace,
    GetSpace,
    ListSpaces,
    SetCover,
    Space,
    UpdateSpace,
    Visibility,
)
from spaces_registry.actors import DEFAULT_TENANT_ID
from tests.integration.registry.conftest import Agent, World
from tests.integration.registry.test_joins import creation
from tests.integration.registry.test_logins import login, person, sign_in

PRIVATE = Visibility.PRIVATE


async def somebody(world: World, name: str, role: Role) -> Principal:
    await person(world, f"{name}@example.org", role)
    return (await sign_in(world, login(f"{name}@example.org"))).principal


async def key_with(world: World, maker: Principal, *scopes: Permission) -> Principal:
    secret = new_key(PrincipalKind.API_KEY)
    command = CreateCredential(
        actor=maker,
        kind=PrincipalKind.API_KEY,
        name="scoped",
        secret_sha256=sha256_of(secret),
        prefix=shown_prefix(secret),
        tenant_id=DEFAULT_TENANT_ID,
        scopes=list(scopes) or None,
    )
    await world.bus.request(command)
    return await world.who(secret)


async def private(world: World, maker: Principal, name: str = "secret") -> Space:
    command = CreateSpace(actor=maker, name=name, tenant_id=DEFAULT_TENANT_ID, visibility=PRIVATE)
    return (await world.bus.request(command)).space


async def sees(world: World, actor: Principal, space: Space) -> bool:
    """By every way there is, which must agree."""
    ways: list[Command[Any]] = [
        GetSpace(actor=actor, ref=space.space_id),
        GetSpace(actor=actor, ref=space.name),
        GetSpace(actor=actor, ref=f"default/{space.name}"),
        ListConnections(actor=actor, space_id=space.space_id),
    ]
    found = [await answered(world, command) for command in ways]
    listed = (await world.bus.request(ListSpaces(actor=actor))).spaces
    found.append(space.space_id in [one.space_id for one in listed])
    named = await world.bus.request(GetNames(actor=actor, space_ids=[space.space_id]))
    found.append(bool(named.spaces))
    assert len(set(found)) == 1, found
    return found[0]


async def answered(world: World, command: Command[Any]) -> bool:
    """Whether it was; a refusal is the one of a space that is not there."""
    try:
        await world.bus.request(command)
    except ProblemError as error:
        problem = error.problem
    else:
        return True
    assert problem.code is Code.SPACE_NOT_FOUND
    assert problem.facts.keys() == {"ref"}
    return False


async def test_a_private_space_is_its_makers_and_the_owners(world: World) -> None:
    maker = await somebody(world, "ada", Role.OWNER)
    owner = await somebody(world, "bob", Role.OWNER)
    member = await somebody(world, "eve", Role.MEMBER)
    space = await private(world, maker)
    assert (space.created_by, space.visibility) == (maker.user_id, PRIVATE)
    everything = await world.who(
        await world.key(PrincipalKind.API_KEY, tenant_id=DEFAULT_TENANT_ID)
    )
    for actor in (world.admin, maker, owner, everything, await key_with(world, owner)):
        assert await sees(world, actor, space), actor.name
    # A key of the maker's for this alone: what they made is theirs.
    reader = (Permission.SPACES_READ, Permission.WORKERS_READ)
    assert await sees(world, await key_with(world, maker, *reader), space)
    for actor in (
        member,
        await key_with(world, member),
        await key_with(world, owner, *reader),
        await key_with(world, world.admin, *reader),
    ):
        assert not await sees(world, actor, space), actor.name


async def test_who_made_it_sees_it_also_when_they_own_nothing_any_more(world: World) -> None:
    maker = await somebody(world, "ada", Role.OWNER)
    space = await private(world, maker)
    assert await sees(world, maker.model_copy(update={"role": Role.MEMBER}), space)


async def test_who_does_not_see_it_can_do_nothing_with_it(world: World) -> None:
    space = await private(world, world.admin)
    verdict = await world.attach(Agent(await world.token("secret")), "secret")
    actor = await key_with(
        world, world.admin, Permission.SPACES_WRITE, Permission.WORKERS_MANAGE,
        Permission.WORKERS_READ, Permission.SPACES_READ,
    )  # fmt: skip
    for command in (
        UpdateSpace(actor=actor, space_id=space.space_id, visibility=Visibility.TENANT),
        SetCover(actor=actor, space_id=space.space_id),
        DeleteSpace(actor=actor, space_id=space.space_id),
        creation(actor, new_join_token(), "secret"),
        CreateCredential(
            actor=actor, kind=PrincipalKind.WORKER_TOKEN, name="mine", secret_sha256="0" * 64, prefix="spw_",
            spaces=[space.space_id],
        ),
    ):  # fmt: skip
        assert (await world.refused(command)).code is Code.SPACE_NOT_FOUND
    kick = ControlConnection(
        actor=actor, connection_id=verdict.connection_id, action=ControlAction.KICK
    )
    assert (await world.refused(kick)).code is Code.CONNECTION_NOT_FOUND
    assert (await world.bus.request(ListConnections(actor=actor))).connections == []
    named = GetNames(actor=actor, connection_ids=[verdict.connection_id])
    assert (await world.bus.request(named)).workers == []
    # Only that a name is taken can be found out: names are one tenant's.
    taken = await world.refused(CreateSpace(actor=actor, name="secret"))
    assert taken.code is Code.SPACE_NAME_TAKEN


async def test_tokens_for_it_are_of_those_who_see_it(world: World) -> None:
    await private(world, world.admin)
    await world.space("chat")
    both = await world.who(await world.token("secret", "chat"))
    await world.token("chat")
    secret = new_join_token()
    join = (await world.bus.request(creation(world.admin, secret, "secret"))).join_token
    actor = await key_with(world, world.admin, Permission.WORKERS_MANAGE)
    kind = PrincipalKind.WORKER_TOKEN
    assert (
        len((await world.bus.request(ListCredentials(actor=world.admin, kind=kind))).credentials)
        == 2
    )
    listed = (await world.bus.request(ListCredentials(actor=actor, kind=kind))).credentials
    assert [one.principal.space_ids for one in listed] != [both.space_ids]
    assert len(listed) == 1
    revoked = RevokeCredential(actor=actor, principal_id=both.principal_id)
    assert (await world.refused(revoked)).code is Code.KEY_NOT_FOUND
    assert (await world.bus.request(ListJoinTokens(actor=actor))).join_tokens == []
    taken_back = RevokeJoinToken(actor=actor, join_id=join.join_id)
    assert (await world.refused(taken_back)).code is Code.KEY_NOT_FOUND
    assert (await world.bus.request(ListJoinTokens(actor=world.admin))).join_tokens[
        0
    ].revoked_at is None


async def test_a_worker_token_serves_what_it_names_and_learns_of_no_other_private_space(
    world: World,
) -> None:
    mine = await private(world, world.admin, "mine")
    await private(world, world.admin, "other")
    await world.space("shown")
    secret = await world.token("mine")
    token = await world.who(secret)
    assert (await world.attach(Agent(secret), "mine")).problem is None
    found = await world.bus.request(GetSpace(actor=token, ref="mine"))
    assert found.space.space_id == mine.space_id
    assert (await world.refused(GetSpace(actor=token, ref="shown"))).code is Code.TOKEN_SCOPE
    assert (await world.refused(GetSpace(actor=token, ref="other"))).code is Code.SPACE_NOT_FOUND


async def test_a_change_is_told_with_who_sees_it_now_and_reaches_the_scheduler(
    world: World, tables: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    maker = await somebody(world, "ada", Role.OWNER)
    space = (await world.bus.request(CreateSpace(actor=maker, name="chat"))).space
    read = "SELECT private_to FROM scheduler.lane WHERE space_id = $1"
    assert await tables.fetchval(read, space.space_id) is None
    for visibility, private_to in ((PRIVATE, maker.user_id), (Visibility.TENANT, None)):
        async with world.hearing(AccessChanged) as changes:
            command = UpdateSpace(actor=maker, space_id=space.space_id, visibility=visibility)
            reply = await world.bus.request(command)
            told = await changes.next()
        assert reply.space.visibility is visibility
        assert (told.changed_id, told.tenant_id, told.private_to) == (
            space.space_id,
            space.tenant_id,
            private_to,
        )
        assert await tables.fetchval(read, space.space_id) == private_to
        asked = CheckSpaces(space_ids=[space.space_id, new_id()])
        (now,) = (await world.bus.request(asked)).spaces
        assert (now.tenant_id, now.private_to) == (space.tenant_id, private_to)


async def test_a_space_of_before_that_becomes_private_is_the_owners(
    world: World, tables: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    space = await world.space("chat")
    await tables.execute("UPDATE registry.space SET created_by = NULL")
    owner = await somebody(world, "ada", Role.OWNER)
    member = await somebody(world, "eve", Role.MEMBER)
    assert await sees(world, member, space)
    await world.bus.request(UpdateSpace(actor=owner, space_id=space.space_id, visibility=PRIVATE))
    assert await sees(world, owner, space)
    assert not await sees(world, member, space)
    assert await tables.fetchval("SELECT private_to FROM scheduler.lane") == ""


async def test_a_cover_is_given_shown_and_taken_away(world: World) -> None:
    space = await world.space("chat")
    cover = CoverPicture(cover_id=new_id(), sha256="0" * 64, media_type="image/png", size_bytes=7)
    given = SetCover(actor=world.admin, space_id=space.space_id, cover=cover)
    assert (await world.bus.request(given)).space.cover == cover
    assert (await world.bus.request(GetSpace(actor=world.admin, ref="chat"))).space.cover == cover
    renamed = UpdateSpace(actor=world.admin, space_id=space.space_id, name="talk")
    assert (await world.bus.request(renamed)).space.cover == cover
    taken = SetCover(actor=world.admin, space_id=space.space_id)
    assert (await world.bus.request(taken)).space.cover is None
