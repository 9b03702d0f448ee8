"""Spaces over the bus, against a real registry."""

import asyncpg

from spaces_contracts.access import AccessChanged, CreateTenant, Principal, PrincipalKind
from spaces_contracts.files import InputKind
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.spaces import (
    CreateSpace,
    DeleteSpace,
    GetSpace,
    ListSpaces,
    SpacePolicy,
    UpdateSpace,
    WhenOffline,
)
from tests.integration.registry.conftest import World


async def key_of_new_tenant(world: World, name: str) -> Principal:
    tenant = (await world.bus.request(CreateTenant(actor=world.admin, name=name))).tenant
    return await world.who(await world.key(PrincipalKind.API_KEY, tenant_id=tenant.tenant_id))


async def test_a_space_is_found_by_id_name_and_full_name(world: World) -> None:
    space = await world.space("chat")
    for ref in (space.space_id, "chat", "default/chat"):
        reply = await world.bus.request(GetSpace(actor=world.admin, ref=ref))
        assert reply.space == space


async def test_a_taken_name_is_refused_and_free_again_after_the_deletion(world: World) -> None:
    first = await world.space("chat")
    taken = await world.refused(CreateSpace(actor=world.admin, name="chat"))
    assert taken.code is Code.SPACE_NAME_TAKEN
    await world.bus.request(DeleteSpace(actor=world.admin, space_id=first.space_id))
    assert (await world.space("chat")).space_id != first.space_id
    gone = await world.refused(DeleteSpace(actor=world.admin, space_id=first.space_id))
    assert gone.code is Code.SPACE_NOT_FOUND


async def test_one_name_in_two_tenants_must_be_said_in_full_by_who_sees_both(world: World) -> None:
    acme = await key_of_new_tenant(world, "acme")
    ours = await world.space("chat")
    theirs = await world.space("chat", tenant_id=acme.tenant_id)
    problem = await world.refused(GetSpace(actor=world.admin, ref="chat"))
    assert problem.code is Code.MULTIPLE_SPACES
    assert problem.message.startswith(
        "Multiple spaces with name 'chat' found: acme/chat, default/chat"
    )
    assert {one["space_id"] for one in problem.facts["candidates"]} == {
        ours.space_id,
        theirs.space_id,
    }
    full = await world.bus.request(GetSpace(actor=world.admin, ref="acme/chat"))
    assert full.space.space_id == theirs.space_id
    own = await world.bus.request(GetSpace(actor=acme, ref="chat"))
    assert own.space.space_id == theirs.space_id


async def test_a_space_of_another_tenant_does_not_exist(world: World) -> None:
    acme = await key_of_new_tenant(world, "acme")
    space = await world.space("chat")
    for command in (
        GetSpace(actor=acme, ref="chat"),
        GetSpace(actor=acme, ref="default/chat"),
        GetSpace(actor=acme, ref=space.space_id),
        UpdateSpace(actor=acme, space_id=space.space_id, name="mine"),
        DeleteSpace(actor=acme, space_id=space.space_id),
    ):
        assert (await world.refused(command)).code is Code.SPACE_NOT_FOUND
    assert (await world.bus.request(ListSpaces(actor=acme))).spaces == []
    into = CreateSpace(actor=acme, name="x", tenant_id=space.tenant_id)
    assert (await world.refused(into)).code is Code.TENANT_NOT_FOUND
    nowhere = CreateSpace(actor=world.admin, name="x", tenant_id=new_id())
    assert (await world.refused(nowhere)).code is Code.TENANT_NOT_FOUND


async def test_a_worker_token_finds_its_spaces_and_changes_none(world: World) -> None:
    space = await world.space("chat")
    await world.space("other")
    token = await world.who(await world.token("chat"))
    assert (await world.bus.request(GetSpace(actor=token, ref="chat"))).space == space
    assert (await world.refused(GetSpace(actor=token, ref="other"))).code is Code.TOKEN_SCOPE
    for command in (
        ListSpaces(actor=token),
        CreateSpace(actor=token, name="new"),
        UpdateSpace(actor=token, space_id=space.space_id, name="new"),
        DeleteSpace(actor=token, space_id=space.space_id),
    ):
        assert (await world.refused(command)).code is Code.FORBIDDEN


async def test_a_change_keeps_what_it_does_not_name(world: World) -> None:
    space = await world.space("chat", max_queue=7, when_offline=WhenOffline.QUEUE)
    async with world.hearing(AccessChanged) as changes:
        reply = await world.bus.request(
            UpdateSpace(
                actor=world.admin,
                space_id=space.space_id,
                name="talk",
                inputs=[InputKind.AUDIO, InputKind.PROMPT, InputKind.AUDIO],
            )
        )
        assert (await changes.next()).changed_id == space.space_id
    assert reply.space.name == "talk"
    assert reply.space.inputs == [InputKind.PROMPT, InputKind.AUDIO]
    assert reply.space.policy == space.policy
    assert reply.space.updated_at > space.updated_at
    await world.space("chat")
    rename = UpdateSpace(actor=world.admin, space_id=space.space_id, name="chat")
    assert (await world.refused(rename)).code is Code.SPACE_NAME_TAKEN


async def test_a_space_without_inputs_is_refused(world: World) -> None:
    command = CreateSpace(actor=world.admin, name="mute", inputs=[])
    assert (await world.refused(command)).code is Code.INVALID_REQUEST


async def test_spaces_are_listed_in_pages_oldest_first(world: World) -> None:
    spaces = [await world.space(f"space {number}") for number in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for size in (2, 2, 1):
        page = await world.bus.request(ListSpaces(actor=world.admin, limit=2, cursor=cursor))
        assert len(page.spaces) == size
        seen += [space.space_id for space in page.spaces]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == [space.space_id for space in spaces]
    named = await world.bus.request(ListSpaces(actor=world.admin, name="space 3"))
    assert [space.name for space in named.spaces] == ["space 3"]


async def test_the_scheduler_has_a_lane_for_each_space_with_its_rules(
    world: World, tables: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    space = await world.space("chat", max_queue=7)
    lane = "SELECT max_queue, enabled, closed_at FROM scheduler.lane WHERE space_id = $1"
    assert tuple(await tables.fetchrow(lane, space.space_id) or ()) == (7, True, None)
    await world.bus.request(
        UpdateSpace(
            actor=world.admin,
            space_id=space.space_id,
            enabled=False,
            policy=SpacePolicy(max_queue=8),
        )
    )
    assert tuple(await tables.fetchrow(lane, space.space_id) or ()) == (8, False, None)
    await world.bus.request(DeleteSpace(actor=world.admin, space_id=space.space_id))
    row = await tables.fetchrow(lane, space.space_id)
    assert row is not None
    assert row["closed_at"] is not None
