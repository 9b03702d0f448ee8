"""Tenants, credentials and tickets over the bus."""

import asyncpg
import pytest

from spaces_contracts.access import (
    AccessChanged,
    Authenticate,
    CreateCredential,
    CreateTenant,
    CreateTicket,
    ListCredentials,
    ListTenants,
    PrincipalKind,
    RedeemTicket,
    RevokeCredential,
    Tenant,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import new_key, sha256_of, shown_prefix
from spaces_contracts.problems import Code
from tests.integration.registry.conftest import World

ADMIN, API_KEY, TOKEN = PrincipalKind.ADMIN, PrincipalKind.API_KEY, PrincipalKind.WORKER_TOKEN
HASH = sha256_of("anything")


async def tenant(world: World, name: str) -> Tenant:
    return (await world.bus.request(CreateTenant(actor=world.admin, name=name))).tenant


async def test_an_unknown_secret_is_nobodys(world: World) -> None:
    problem = await world.refused(Authenticate(secret_sha256=HASH))
    assert problem.code is Code.UNAUTHENTICATED


async def test_a_key_acts_in_its_tenant_and_a_revoked_one_no_more(world: World) -> None:
    acme = await tenant(world, "acme")
    secret = await world.key(API_KEY, tenant_id=acme.tenant_id)
    principal = await world.who(secret)
    assert (principal.kind, principal.tenant_id) == (API_KEY, acme.tenant_id)
    async with world.hearing(AccessChanged) as changes:
        await world.bus.request(
            RevokeCredential(actor=world.admin, principal_id=principal.principal_id)
        )
        change = await changes.next()
    assert (change.what, change.changed_id) == ("principal", principal.principal_id)
    problem = await world.refused(Authenticate(secret_sha256=sha256_of(secret)))
    assert problem.code is Code.TOKEN_REVOKED


async def test_the_last_use_of_a_key_is_noted_but_not_written_each_time(
    world: World, tables: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    secret = await world.key(API_KEY)
    used = "SELECT last_used_at FROM registry.principal WHERE secret_sha256 = $1"
    assert await tables.fetchval(used, sha256_of(secret)) is None
    await world.who(secret)
    first = await tables.fetchval(used, sha256_of(secret))
    await world.who(secret)
    assert first is not None
    assert await tables.fetchval(used, sha256_of(secret)) == first


async def test_only_admins_make_tenants_and_see_those_of_others(world: World) -> None:
    acme = await tenant(world, "acme")
    key = await world.who(await world.key(API_KEY, tenant_id=acme.tenant_id))
    assert (await world.refused(CreateTenant(actor=key, name="mine"))).code is Code.FORBIDDEN
    problem = await world.refused(CreateTenant(actor=world.admin, name="acme"))
    assert problem.code is Code.TENANT_NAME_TAKEN
    seen = await world.bus.request(ListTenants(actor=key))
    assert [one.name for one in seen.tenants] == ["acme"]
    everything = await world.bus.request(ListTenants(actor=world.admin))
    assert [one.name for one in everything.tenants] == ["default", "acme"]


async def test_a_key_makes_keys_for_its_own_tenant_only(world: World) -> None:
    acme = await tenant(world, "acme")
    other = await tenant(world, "other")
    key = await world.who(await world.key(API_KEY, tenant_id=acme.tenant_id))
    mine = CreateCredential(
        actor=key, kind=API_KEY, name="second", secret_sha256=HASH, prefix="spk_abcdef"
    )
    made = (await world.bus.request(mine)).credential
    assert made.principal.tenant_id == acme.tenant_id
    foreign = mine.model_copy(update={"tenant_id": other.tenant_id, "secret_sha256": "0" * 64})
    assert (await world.refused(foreign)).code is Code.TENANT_NOT_FOUND
    missing = foreign.model_copy(update={"tenant_id": new_id(), "actor": world.admin})
    assert (await world.refused(missing)).code is Code.TENANT_NOT_FOUND
    admin = mine.model_copy(update={"kind": ADMIN, "secret_sha256": "1" * 64})
    assert (await world.refused(admin)).code is Code.FORBIDDEN


async def test_a_credential_sent_twice_is_made_once(world: World) -> None:
    command = CreateCredential(
        actor=world.admin, kind=API_KEY, name="ci", secret_sha256=HASH, prefix="spk_abcdef"
    )
    first = await world.bus.request(command)
    assert await world.bus.request(command) == first
    another = command.model_copy(update={"name": "another"})
    assert (await world.refused(another)).code is Code.INVALID_REQUEST


@pytest.mark.parametrize("sha256", ["", "x" * 64, "A" * 64, "0" * 63, "spk_plain"])
async def test_a_secret_that_is_no_hash_is_refused(world: World, sha256: str) -> None:
    command = CreateCredential(
        actor=world.admin, kind=API_KEY, name="ci", secret_sha256=sha256, prefix=""
    )
    assert (await world.refused(command)).code is Code.INVALID_REQUEST


async def test_credentials_are_listed_by_kind_newest_first_and_never_with_secrets(
    world: World,
) -> None:
    await world.space("chat")
    secrets = [await world.key(API_KEY) for _ in range(2)]
    await world.token("chat")
    listed = (await world.bus.request(ListCredentials(actor=world.admin, kind=API_KEY))).credentials
    assert [one.prefix for one in listed] == [shown_prefix(key) for key in reversed(secrets)]
    assert not any(key in one.model_dump_json() for key in secrets for one in listed)


async def test_a_key_of_another_tenant_does_not_exist(world: World) -> None:
    acme = await tenant(world, "acme")
    actor = await world.who(await world.key(API_KEY, tenant_id=acme.tenant_id))
    foreign = await world.who(await world.key(API_KEY))
    command = RevokeCredential(actor=actor, principal_id=foreign.principal_id)
    assert (await world.refused(command)).code is Code.KEY_NOT_FOUND
    listed = await world.bus.request(ListCredentials(actor=actor, kind=API_KEY))
    assert [one.principal.principal_id for one in listed.credentials] == [actor.principal_id]
    unknown = RevokeCredential(actor=world.admin, principal_id=new_id())
    assert (await world.refused(unknown)).code is Code.KEY_NOT_FOUND


async def test_the_last_admin_key_cannot_be_revoked(world: World) -> None:
    command = RevokeCredential(actor=world.admin, principal_id=world.admin.principal_id)
    assert (await world.refused(command)).code is Code.FORBIDDEN
    await world.key(ADMIN)
    assert (await world.bus.request(command)).credential.revoked_at is not None


async def test_a_worker_token_names_its_spaces_and_changes_nothing(world: World) -> None:
    space = await world.space("chat")
    token = await world.who(await world.token("chat", space.space_id, "default/chat"))
    assert token.space_ids == [space.space_id]
    assert token.tenant_id == space.tenant_id
    nothing = CreateCredential(
        actor=world.admin, kind=TOKEN, name="", secret_sha256=HASH, prefix="", spaces=[]
    )
    assert (await world.refused(nothing)).code is Code.INVALID_REQUEST
    unknown = nothing.model_copy(update={"spaces": ["nowhere"]})
    assert (await world.refused(unknown)).code is Code.SPACE_NOT_FOUND
    by_token = nothing.model_copy(update={"actor": token, "spaces": ["chat"]})
    assert (await world.refused(by_token)).code is Code.FORBIDDEN
    ticket = CreateTicket(actor=token, ticket_sha256=HASH)
    assert (await world.refused(ticket)).code is Code.FORBIDDEN


async def test_a_token_over_two_tenants_belongs_to_the_admins(world: World) -> None:
    acme = await tenant(world, "acme")
    await world.space("chat")
    await world.space("chat", tenant_id=acme.tenant_id)
    token = await world.who(await world.token("default/chat", "acme/chat"))
    assert token.tenant_id is None
    key = await world.who(await world.key(API_KEY, tenant_id=acme.tenant_id))
    revoke = RevokeCredential(actor=key, principal_id=token.principal_id)
    assert (await world.refused(revoke)).code is Code.KEY_NOT_FOUND


async def test_a_ticket_works_once(world: World) -> None:
    key = await world.who(await world.key(API_KEY))
    await world.bus.request(CreateTicket(actor=key, ticket_sha256=HASH))
    reply = await world.bus.request(RedeemTicket(ticket_sha256=HASH))
    assert reply.principal == key
    assert (await world.refused(RedeemTicket(ticket_sha256=HASH))).code is Code.TICKET_INVALID


async def test_an_old_ticket_and_one_of_a_revoked_key_are_invalid(
    world: World, tables: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    key = await world.who(await world.key(API_KEY))
    await world.bus.request(CreateTicket(actor=key, ticket_sha256=HASH))
    await tables.execute("UPDATE registry.ticket SET expires_at = clock_timestamp()")
    assert (await world.refused(RedeemTicket(ticket_sha256=HASH))).code is Code.TICKET_INVALID
    await world.bus.request(CreateTicket(actor=key, ticket_sha256=HASH))
    await world.bus.request(RevokeCredential(actor=world.admin, principal_id=key.principal_id))
    assert (await world.refused(RedeemTicket(ticket_sha256=HASH))).code is Code.TICKET_INVALID
    again = CreateTicket(actor=key, ticket_sha256="2" * 64)
    assert (await world.refused(again)).code is Code.UNAUTHENTICATED


async def test_no_secret_is_in_the_tables(
    world: World, tables: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    secret = new_key(API_KEY)
    await world.bus.request(
        CreateCredential(
            actor=world.admin,
            kind=API_KEY,
            name="ci",
            secret_sha256=sha256_of(secret),
            prefix=shown_prefix(secret),
        )
    )
    rows = await tables.fetch("SELECT principal::text AS row FROM registry.principal")
    assert not any(secret in row["row"] for row in rows)
