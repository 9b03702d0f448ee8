"""What somebody tries who has no right to it, or more than they should have: each is refused."""

import asyncio
from functools import partial

import pytest

from tests.security.attacks import injection
from tests.security.attacks.campaign import ATTACKS, Attack
from tests.security.attacks.scene import Scene, built, opened
from tests.security.campaign import Campaign
from tests.security.matrix_world import World
from tests.support.platform import Platform

# Two payloads a place: `make security` tries them all.
_SMALL: dict[str, Attack] = {"sql injection": partial(injection.sql, payloads=2)}


@pytest.fixture(scope="module")
def world(attacked: Platform) -> World:
    """Made once: a dozen people sign in."""
    return asyncio.run(built(attacked))


@pytest.mark.parametrize("name", ATTACKS)
async def test_is_refused(attacked: Platform, world: World, name: str) -> None:
    found = Campaign("attacks")
    async with asyncio.timeout(100), opened(world):
        await _SMALL.get(name, ATTACKS[name])(Scene(attacked, world, found))
    wrong = [*found.wrongly_allowed, *found.wrongly_refused, *found.errors]
    assert wrong == [], "\n".join(wrong)
    assert found.attempts > 0
