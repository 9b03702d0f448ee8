"""Windows on a real PostgreSQL: many take at once and no window gives more than its limit."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from spaces_chassis.database import Database
from spaces_chassis.settings import DatabaseSettings
from spaces_registry.usage_store import Take, UsageStore

DAY_S = 86_400  # no test runs into the end of such a window


@pytest.fixture
async def usage(registry_database_url: str) -> AsyncIterator[UsageStore]:
    database = Database.from_settings(
        DatabaseSettings.model_validate({"postgres_url": registry_database_url}), name="usage"
    )
    await database.start()
    yield UsageStore(database)
    await database.stop()


async def test_what_is_left_is_granted_and_then_nothing(usage: UsageStore) -> None:
    wanted = Take("login:someone@example.com", limit=5, amount=3, window_s=DAY_S)
    granted = [(await usage.take([wanted]))[0] for _ in range(3)]
    assert [taken.granted for taken in granted] == [3, 2, 0]
    assert [taken.used for taken in granted] == [3, 5, 5]
    assert all(taken.starts_in_s <= 0 < taken.ends_in_s <= DAY_S for taken in granted)
    assert await usage.used(wanted.subject, DAY_S) == 5


async def test_subjects_do_not_share_a_limit_and_are_answered_in_order(usage: UsageStore) -> None:
    takes = [Take(name, limit=limit, amount=4, window_s=DAY_S)
             for name, limit in (("z", 2), ("a", 9), ("m", 0))]  # fmt: skip
    assert [taken.granted for taken in await usage.take(takes)] == [2, 4, 0]


async def test_the_next_window_is_another_one(usage: UsageStore) -> None:
    now, ahead = await usage.take(
        [Take("a", 5, 5, window_s=DAY_S), Take("a", 5, 5, window_s=DAY_S, ahead=1)]
    )
    assert (now.granted, ahead.granted) == (5, 5)
    assert ahead.starts_in_s == pytest.approx(now.ends_in_s)
    assert ahead.ends_in_s == pytest.approx(now.ends_in_s + DAY_S)


async def test_a_limit_that_was_lowered_gives_nothing_more(usage: UsageStore) -> None:
    await usage.take([Take("a", limit=100, amount=50, window_s=DAY_S)])
    (taken,) = await usage.take([Take("a", limit=20, amount=5, window_s=DAY_S)])
    assert (taken.granted, taken.used) == (0, 50)


async def test_many_who_take_at_once_never_get_more_than_the_limit(usage: UsageStore) -> None:
    async def one(number: int) -> list[int]:
        names = ["a", "b", "c"] if number % 2 else ["c", "b", "a"]
        takes = [Take(name, limit=100, amount=7, window_s=DAY_S) for name in names]
        granted = dict(zip(names, await usage.take(takes), strict=True))
        return [granted[name].granted for name in ("a", "b", "c")]

    given = await asyncio.gather(*[one(number) for number in range(40)])
    assert [sum(column) for column in zip(*given, strict=True)] == [100, 100, 100]


async def test_windows_that_are_over_are_forgotten(usage: UsageStore) -> None:
    await usage.take([Take("a", 5, window_s=DAY_S)])
    await usage.forget()
    assert await usage.used("a", DAY_S) == 1
