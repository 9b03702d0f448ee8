"""Everything at once: whatever the order, seats are held once and both services agree on who is live."""

import asyncio
import random
from typing import TypeAlias

import asyncpg
import pytest

from spaces_chassis.errors import ProblemError
from spaces_contracts.connections import (
    ConnectionEnded,
    ConnectionSuspected,
    ControlAction,
    ControlConnection,
    GatewayBeat,
)
from spaces_contracts.problems import Code
from spaces_contracts.spaces import SpacePolicy, UpdateSpace
from tests.integration.registry.conftest import Agent, World
from tests.integration.registry.test_leases import RESTED, pass_time

Tables: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SEATS = 2
EXPECTED = {Code.ALREADY_CONNECTED, Code.CONNECTION_NOT_FOUND, Code.SPACE_DISABLED}


class Storm:
    """Random operations on a few spaces by a few agents."""

    def __init__(self, world: World, agents: list[Agent], seed: int) -> None:
        self.world = world
        self.agents = agents
        self.chance = random.Random(seed)
        self.known: list[str] = []
        self.unexpected: list[str] = []

    async def one(self) -> None:
        """One operation."""
        operation = self.chance.choice(
            [
                self.attach,
                self.attach,
                self.take_over,
                self.end,
                self.suspect,
                self.kick,
                self.beat,
                self.die,
            ]
        )
        try:
            await operation()
        except ProblemError as error:
            self.note(error.problem.code)

    def note(self, code: Code) -> None:
        if code not in EXPECTED:
            self.unexpected.append(code)

    async def attach(self, *, takeover: bool = False) -> None:
        refs = self.chance.sample(["a", "b", "c"], self.chance.randint(1, 3))
        agent = self.chance.choice(self.agents)
        for verdict in await self.world.attach_all(agent, *refs, takeover=takeover):
            if verdict.problem is None:
                self.known.append(verdict.connection_id)
            else:
                self.note(verdict.problem.code)

    async def take_over(self) -> None:
        await self.attach(takeover=True)

    def some(self) -> list[str]:
        return self.chance.sample(self.known, min(3, len(self.known)))

    async def end(self) -> None:
        clean = self.chance.random() < 0.5
        await self.world.bus.request(ConnectionEnded(connection_ids=self.some(), clean=clean))

    async def suspect(self) -> None:
        await self.world.bus.publish(ConnectionSuspected(connection_ids=self.some()))

    async def kick(self) -> None:
        for connection_id in self.some()[:1]:
            await self.world.bus.request(
                ControlConnection(
                    actor=self.world.admin,
                    connection_id=connection_id,
                    action=self.chance.choice(list(ControlAction)),
                )
            )

    async def beat(self) -> None:
        agent = self.chance.choice(self.agents)
        await self.world.bus.request(GatewayBeat(gateway_id=agent.gateway_id, held=self.some()))

    async def die(self) -> None:
        await self.world.registry.deaths.step()


@pytest.mark.parametrize("seed", range(3))
async def test_in_a_storm_seats_are_held_once_and_the_scheduler_agrees(
    world: World, tables: Tables, seed: int
) -> None:
    spaces = [await world.space(name, max_connections=SEATS) for name in ("a", "b", "c")]
    token = await world.token("a", "b", "c")
    await world.seconds(RESTED)
    storm = Storm(world, [Agent(token) for _ in range(6)], seed)
    for round_number in range(4):
        await asyncio.gather(*(storm.one() for _ in range(40)))
        if round_number == 1:
            await pass_time(tables, 11)
        assert storm.unexpected == []
        registry = await live(tables, "registry.connection", "ended_at IS NULL")
        assert registry == await live(tables, "scheduler.connection", "live")
        for space in spaces:
            seats = [one.seat for one in await world.connections(space.space_id)]
            assert sorted(seats) == sorted(set(seats))
            assert all(seat < SEATS for seat in seats)


async def test_a_space_that_is_disabled_while_workers_race_for_it_ends_empty(
    world: World, tables: Tables
) -> None:
    space = await world.space("a", max_connections=20)
    token = await world.token("a")
    disable = UpdateSpace(
        actor=world.admin,
        space_id=space.space_id,
        enabled=False,
        policy=SpacePolicy(max_connections=20),
    )
    await asyncio.gather(
        *(world.attach(Agent(token), "a") for _ in range(10)),
        world.bus.request(disable),
        *(world.attach(Agent(token), "a") for _ in range(10)),
    )
    assert await world.connections() == []
    assert await live(tables, "scheduler.connection", "live") == set()


async def live(tables: Tables, table: str, condition: str) -> set[str]:
    rows = await tables.fetch(f"SELECT connection_id FROM {table} WHERE {condition}")
    return {row["connection_id"] for row in rows}
