"""Limits over the bus: who sets and reads them, what gateways lease of them, what is stored."""

import asyncio
from typing import Any

import pytest

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import CreateCredential, CreateTenant, Principal, PrincipalKind
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import new_key, sha256_of, shown_prefix
from spaces_contracts.limits import Limits
from spaces_contracts.problems import Code
from spaces_contracts.quotas import (
    Allowance,
    AllowanceAsk,
    ForgetStorage,
    GetQuotas,
    Holder,
    LimitName,
    QuotaChanged,
    QuotasReply,
    SetQuotas,
    StorageAsk,
    TakeAllowance,
    TakeStorage,
)
from spaces_registry.settings import RegistrySettings
from tests.integration.registry.conftest import World

DAY = "2026-11-21"


async def tenant(world: World, name: str = "acme") -> str:
    return (await world.bus.request(CreateTenant(actor=world.admin, name=name))).tenant.tenant_id


async def member(world: World, tenant_id: str) -> Principal:
    return await world.who(await world.key(PrincipalKind.API_KEY, tenant_id=tenant_id))


async def limit(world: World, tenant_id: str, **limits: int | None) -> QuotasReply:
    changed: list[LimitName] = list(limits)  # type: ignore[arg-type]  # a test names limits only
    command = SetQuotas(
        actor=world.admin, tenant_id=tenant_id, changed=changed, limits=Limits(**limits)
    )
    return await world.bus.request(command)


async def lease(world: World, holder: Holder, holder_id: str, amount: int = 1) -> Allowance:
    ask = AllowanceAsk(holder=holder, holder_id=holder_id, amount=amount)
    reply = await world.bus.request(TakeAllowance(asks=[ask]))
    return reply.allowances[0]


async def store(world: World, tenant_id: str, size_bytes: int, day: str = DAY) -> None:
    ask = StorageAsk(tenant_id=tenant_id, size_bytes=size_bytes, day=day)
    await world.bus.request(TakeStorage(ask=ask))


async def test_an_admin_sets_some_limits_and_the_others_stay(world: World) -> None:
    tenant_id = await tenant(world)
    async with world.hearing(QuotaChanged) as changes:
        await limit(world, tenant_id, requests_per_minute=10, queued=3)
        assert (await changes.next()).changed_id == tenant_id
    reply = await limit(world, tenant_id, queued=None, concurrent=7)
    assert reply.limits == Limits(requests_per_minute=10, concurrent=7)
    assert reply.effective == reply.limits


async def test_members_read_their_own_and_nobody_elses_and_set_nothing(world: World) -> None:
    mine, other = await tenant(world), await tenant(world, "other")
    actor = await member(world, mine)
    await limit(world, mine, stored_bytes=100)
    await store(world, mine, 40)
    reply = await world.bus.request(GetQuotas(actor=actor, tenant_id=mine))
    assert (reply.effective.stored_bytes, reply.usage.stored_bytes) == (100, 40)
    problem = await world.refused(GetQuotas(actor=actor, tenant_id=other))
    assert problem.code is Code.TENANT_NOT_FOUND
    problem = await world.refused(SetQuotas(actor=actor, tenant_id=mine, changed=["queued"]))
    assert problem.code is Code.FORBIDDEN
    problem = await world.refused(SetQuotas(actor=world.admin, tenant_id=new_id(), changed=[]))
    assert problem.code is Code.TENANT_NOT_FOUND


async def test_gateways_lease_the_minute_and_no_more(world: World) -> None:
    tenant_id = await tenant(world)
    await limit(world, tenant_id, requests_per_minute=25, concurrent=4, queued=2)
    taken = await asyncio.gather(*[lease(world, Holder.TENANT, tenant_id, 10) for _ in range(4)])
    # A minute may begin in between: then the fourth got of the next.
    if len({round(one.ends_in_s - one.starts_in_s) for one in taken}) == 1:
        assert sorted(one.granted for one in taken)[-1] == 10
    assert {(one.limit, one.concurrent, one.queued) for one in taken} == {(25, 4, 2)}
    reply = await world.bus.request(GetQuotas(actor=world.admin, tenant_id=tenant_id))
    assert 0 < reply.usage.requests_this_minute <= 25


async def test_who_has_no_limit_is_told_so_without_being_counted(world: World) -> None:
    tenant_id = await tenant(world)
    given = await lease(world, Holder.TENANT, tenant_id)
    assert (given.limit, given.granted, given.used) == (None, 0, 0)


async def test_a_key_is_limited_from_its_first_moment(world: World) -> None:
    tenant_id = await tenant(world)
    secret = new_key(PrincipalKind.API_KEY)
    command = CreateCredential(
        actor=world.admin,
        kind=PrincipalKind.API_KEY,
        name="limited",
        secret_sha256=sha256_of(secret),
        prefix=shown_prefix(secret),
        tenant_id=tenant_id,
        limits=Limits(requests_per_minute=3),
    )
    principal = (await world.bus.request(command)).credential.principal
    given = await lease(world, Holder.KEY, principal.principal_id, 5)
    assert (given.limit, given.granted) == (3, 3)
    reply = await world.bus.request(GetQuotas(actor=world.admin, tenant_id=tenant_id))
    assert [(key.principal_id, key.limits) for key in reply.keys] == [
        (principal.principal_id, Limits(requests_per_minute=3))
    ]
    nobodys = {"tenant_id": None, "kind": PrincipalKind.ADMIN, "secret_sha256": "1" * 64}
    problem = await world.refused(command.model_copy(update=nobodys))
    assert problem.code is Code.INVALID_REQUEST


async def test_bytes_are_counted_in_refused_and_given_back(world: World) -> None:
    tenant_id = await tenant(world)
    await limit(world, tenant_id, stored_bytes=100)
    await store(world, tenant_id, 60)
    ask = StorageAsk(tenant_id=tenant_id, size_bytes=41, day=DAY)
    problem = await world.refused(TakeStorage(ask=ask))
    assert (problem.code, problem.facts) == (Code.STORAGE_FULL, {"limit": 100, "used": 60})
    await store(world, tenant_id, -30)
    await store(world, tenant_id, 41, "2026-11-22")
    await world.bus.request(ForgetStorage(day=DAY))
    reply = await world.bus.request(GetQuotas(actor=world.admin, tenant_id=tenant_id))
    assert reply.usage.stored_bytes == 41


async def test_uploads_at_once_do_not_fit_together_when_they_do_not(world: World) -> None:
    tenant_id = await tenant(world)
    await limit(world, tenant_id, stored_bytes=100)

    async def fits() -> bool:
        try:
            await store(world, tenant_id, 30)
        except ProblemError:
            return False
        return True

    assert sum(await asyncio.gather(*[fits() for _ in range(12)])) == 3


async def test_a_key_fills_its_own_room_within_its_tenants(world: World) -> None:
    tenant_id = await tenant(world)
    await limit(world, tenant_id, stored_bytes=100)
    small = await world.key(
        PrincipalKind.API_KEY, tenant_id=tenant_id, limits=Limits(stored_bytes=30)
    )
    free = await member(world, tenant_id)
    key_id = (await world.who(small)).principal_id

    async def take(key_id: str, size_bytes: int) -> dict[str, Any] | None:
        ask = StorageAsk(tenant_id=tenant_id, key_id=key_id, size_bytes=size_bytes, day=DAY)
        try:
            await world.bus.request(TakeStorage(ask=ask))
        except ProblemError as refused:
            return {"code": refused.problem.code, **refused.problem.facts}
        return None

    def full(limit: int, used: int) -> dict[str, Any]:
        return {"code": Code.STORAGE_FULL, "limit": limit, "used": used}

    assert await take(key_id, 20) is None
    assert await take(key_id, 11) == full(30, 20)
    assert await take(free.principal_id, 60) is None
    assert await take(key_id, 11) == full(30, 20)
    assert await take(free.principal_id, 21) == full(100, 80)
    assert await take(key_id, -20) is None
    assert await take(key_id, 30) is None
    await world.bus.request(ForgetStorage(day=DAY))
    assert await take(key_id, 30) is None


async def test_a_day_that_is_none_is_refused(world: World) -> None:
    ask = StorageAsk(tenant_id=new_id(), size_bytes=1, day="2026-02-30")
    assert (await world.refused(TakeStorage(ask=ask))).code is Code.INVALID_REQUEST


@pytest.mark.parametrize("settings_of", [{"default_requests_per_minute": 7}])
async def test_the_platforms_default_is_for_who_has_no_limit_set(
    settings: RegistrySettings, settings_of: dict[str, int]
) -> None:
    limits = settings.model_copy(update=settings_of).default_limits()
    assert limits == Limits(requests_per_minute=7)
