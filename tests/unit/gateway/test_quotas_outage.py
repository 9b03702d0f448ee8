"""Limits while the registry is away: who is known goes on with what was leased, whatever hints came."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from spaces_chassis.bus import serve
from spaces_chassis.errors import UnavailableError
from spaces_chassis.metrics import Metrics
from spaces_chassis.testing import MemoryBus
from spaces_contracts.access import Principal, PrincipalKind
from spaces_contracts.identifiers import new_id
from spaces_contracts.quotas import (
    WINDOW_S,
    Allowance,
    Allowances,
    Holder,
    QuotaChanged,
    TakeAllowance,
)
from spaces_gateway.quotas.quotas import Quotas
from tests.support.eventually import eventually

ACTOR = Principal(principal_id=new_id(), kind=PrincipalKind.API_KEY, tenant_id=new_id())
CHANGED = QuotaChanged(changed_id=ACTOR.tenant_id or "")


@dataclass
class World:
    """Quotas beside a registry that may be away."""

    quotas: Quotas
    limit: int = 100
    away: bool = False
    asked: int = 0

    async def submit(self) -> None:
        """Lets one request in. Raises what refuses it."""
        admission = self.quotas.admit(ACTOR)
        if admission is not None:
            await admission.enter()
            admission.leave()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    bus = MemoryBus()
    world = World(Quotas(bus, Metrics("gateway")))

    async def take(command: TakeAllowance) -> Allowances:
        world.asked += 1
        if world.away:
            raise UnavailableError("the registry is away")
        return Allowances(
            allowances=[
                Allowance(
                    holder=ask.holder,
                    holder_id=ask.holder_id,
                    ahead=ask.ahead,
                    limit=world.limit if ask.holder is Holder.TENANT else None,
                    granted=min(ask.amount, world.limit),
                    ends_in_s=WINDOW_S,
                )
                for ask in command.asks
            ]
        )

    bus.add_routes([serve(TakeAllowance, take, queue="q")])
    await bus.start()
    await world.quotas.start()
    yield world
    await world.quotas.stop()
    await bus.stop()


async def test_a_hint_that_comes_while_the_registry_is_away_shuts_nobody_out(world: World) -> None:
    await world.submit()
    tenant = world.quotas._accounts[ACTOR.principal_id].tenant.lease
    await eventually(lambda: tenant.left >= 5)
    world.away = True
    world.quotas.changed(CHANGED)
    for _ in range(5):
        await world.submit()


async def test_what_was_on_its_way_when_the_hint_came_counts_as_well(world: World) -> None:
    """The hint of a change that the lease is from already: it was only late."""
    await world.submit()
    world.quotas.changed(CHANGED)
    tenant = world.quotas._accounts[ACTOR.principal_id].tenant.lease
    await eventually(lambda: not tenant.asking)
    world.away = True
    for _ in range(5):
        await world.submit()


async def test_who_is_not_known_is_told_that_limits_cannot_be_read(world: World) -> None:
    world.away = True
    with pytest.raises(UnavailableError):
        await world.submit()


async def test_a_limit_that_was_lowered_holds_for_the_next_request(world: World) -> None:
    await world.submit()
    world.limit = 0
    world.quotas.changed(CHANGED)
    with pytest.raises(Exception, match="requests a minute"):
        await world.submit()
