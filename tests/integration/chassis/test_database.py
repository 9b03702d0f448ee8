"""The database: statements, transactions, hot statements, and what is an outage."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from pydantic import SecretStr

from spaces_chassis.database import Database
from spaces_chassis.errors import DatabaseUnavailable
from spaces_chassis.settings import DatabaseSettings
from tests.integration.chassis.conftest import BarePostgres
from tests.support.eventually import eventually


@pytest.fixture
async def database(bare_url: str) -> AsyncIterator[Database]:
    made = Database(bare_url, name="test", pool_size=3, lock_timeout_ms=100)
    await made.start()
    await made.execute("CREATE SCHEMA t")
    await made.execute("CREATE TABLE t.counter (id int PRIMARY KEY, n int NOT NULL)")
    yield made
    await made.stop()


async def test_statements_give_rows_row_value_and_tag(database: Database) -> None:
    assert await database.execute("INSERT INTO t.counter VALUES (1, 10), (2, 20)") == "INSERT 0 2"
    rows = await database.fetch("SELECT n FROM t.counter WHERE id > $1 ORDER BY id", 0)
    assert [row["n"] for row in rows] == [10, 20]
    row = await database.fetchrow("SELECT n FROM t.counter WHERE id = $1", 2)
    assert row is not None
    assert row["n"] == 20
    assert await database.fetchrow("SELECT n FROM t.counter WHERE id = $1", 3) is None
    assert await database.fetchval("SELECT n FROM t.counter WHERE id = $1", 1) == 10


async def test_a_transaction_commits_at_its_end(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO t.counter VALUES (1, 1)")
    assert await database.fetchval("SELECT count(*) FROM t.counter") == 1


async def test_a_transaction_that_raises_leaves_nothing_behind(database: Database) -> None:
    async def insert_and_fail() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO t.counter VALUES (1, 1)")
            raise LookupError

    with pytest.raises(LookupError):
        await insert_and_fail()
    assert await database.fetchval("SELECT count(*) FROM t.counter") == 0


async def test_a_statements_own_error_goes_through(database: Database) -> None:
    await database.execute("INSERT INTO t.counter VALUES (1, 1)")
    with pytest.raises(asyncpg.UniqueViolationError):
        await database.execute("INSERT INTO t.counter VALUES (1, 1)")


async def test_the_session_has_our_name_and_limits(database: Database) -> None:
    assert await database.fetchval("SHOW application_name") == "test"
    assert await database.fetchval("SHOW lock_timeout") == "100ms"
    assert await database.fetchval("SHOW jit") == "off"


async def test_a_statement_costs_no_other(database: Database) -> None:
    for _ in range(10):
        assert await database.fetchval("SELECT 42") == 42
    own = await database.connect()
    last = await own.fetch(
        "SELECT query FROM pg_stat_activity"
        " WHERE application_name = 'test' AND state = 'idle' AND query LIKE '%RESET ALL%'"
    )
    await own.close()
    assert last == []


async def test_a_lock_that_is_not_given_in_time_counts_as_unavailable(database: Database) -> None:
    await database.execute("INSERT INTO t.counter VALUES (1, 1)")
    async with database.transaction() as holder:
        await holder.execute("UPDATE t.counter SET n = 2 WHERE id = 1")
        with pytest.raises(DatabaseUnavailable):
            await database.execute("UPDATE t.counter SET n = 3 WHERE id = 1")
    assert await database.fetchval("SELECT n FROM t.counter") == 2


async def test_a_deadlock_counts_as_unavailable(bare_url: str) -> None:
    database = Database(bare_url, name="test", pool_size=3, lock_timeout_ms=60_000)
    await database.start()
    await database.execute("CREATE SCHEMA t; CREATE TABLE t.pair (id int PRIMARY KEY, n int)")
    await database.execute("INSERT INTO t.pair VALUES (1, 0), (2, 0)")
    both = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with database.transaction() as connection:
            await connection.execute("SET LOCAL deadlock_timeout = '20ms'")
            await connection.execute("UPDATE t.pair SET n = n + 1 WHERE id = $1", first)
            await both.wait()
            await connection.execute("UPDATE t.pair SET n = n + 1 WHERE id = $1", second)

    results = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert sum(isinstance(result, DatabaseUnavailable) for result in results) == 1
    await database.stop()


async def test_a_hot_statement_is_prepared_at_start_on_a_connection_of_its_own(
    bare_url: str,
) -> None:
    database = Database(bare_url, name="test", pool_size=1)
    hot = database.hot("SELECT pg_backend_pid() AS pid, $1::int * 2 AS n")
    await database.start()
    first = await hot.fetchrow(4)
    assert first is not None
    assert first["n"] == 8
    assert await hot.fetchval(5) == first["pid"], "always the same connection"
    async with database.transaction() as connection:
        pooled = await connection.fetchval("SELECT pg_backend_pid()")
        assert pooled != first["pid"]
        assert len(await hot.fetch(1)) == 1, "the pool's single connection is taken meanwhile"
    await database.stop()


async def test_calls_of_a_hot_statement_wait_for_each_other(database: Database) -> None:
    hot = database.hot("SELECT $1::int AS n, pg_sleep(0.001)")
    rows = await asyncio.gather(*(hot.fetchrow(n) for n in range(20)))
    assert [row["n"] for row in rows if row is not None] == list(range(20))


async def test_a_hot_statement_that_is_wrong_stops_the_start(bare_url: str) -> None:
    database = Database(bare_url, name="test")
    database.hot("SELECT no_such_function()")
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await database.start()
    await database.stop()


async def test_a_hot_statement_survives_the_loss_of_its_connection(database: Database) -> None:
    hot = database.hot("SELECT pg_backend_pid()")
    first = await hot.fetchval()
    await database.execute("SELECT pg_terminate_backend($1)", first)

    async def answered() -> int:
        try:
            return int(await hot.fetchval())
        except DatabaseUnavailable:
            return 0

    assert await eventually(answered) != first


@pytest.mark.parametrize("plan_cache", ["force_generic_plan", "force_custom_plan"])
async def test_a_hot_statements_plans_can_be_pinned(database: Database, plan_cache: str) -> None:
    hot = database.hot("SHOW plan_cache_mode", settings={"plan_cache_mode": plan_cache})
    assert await hot.fetchval() == plan_cache


async def test_a_database_that_was_not_started_is_unavailable_and_can_be_stopped() -> None:
    settings = DatabaseSettings(postgres_url=SecretStr("postgresql://127.0.0.1:1/none"))
    database = Database.from_settings(settings, name="test")
    with pytest.raises(DatabaseUnavailable):
        await database.fetchval("SELECT 1")
    assert not database.healthy()
    await database.drain()
    await database.stop()


async def test_a_full_pool_is_unavailable_instead_of_waiting_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spaces_chassis.database.CONNECT_TIMEOUT_S", 0.05)
    async with database.transaction(), database.transaction(), database.transaction():
        with pytest.raises(DatabaseUnavailable):
            await database.fetchval("SELECT 1")
    assert await database.fetchval("SELECT 1") == 1


async def test_an_outage_fails_fast_and_everything_works_again_afterwards(
    bare_postgres: BarePostgres,
) -> None:
    database = Database(bare_postgres.url, name="test")
    hot = database.hot("SELECT $1::int + 1")
    await database.start()
    assert await hot.fetchval(1) == 2
    assert database.healthy()
    assert database.connected_for_s >= 0

    await asyncio.to_thread(bare_postgres.kill)
    await eventually(lambda: not database.healthy())
    assert database.connected_for_s == 0.0
    for _ in range(5):
        with pytest.raises(DatabaseUnavailable):
            await hot.fetchval(1)
        with pytest.raises(DatabaseUnavailable):
            await database.fetchval("SELECT 1")
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as connection:
                await connection.execute("SELECT 1")

    await asyncio.to_thread(bare_postgres.revive)
    await eventually(database.healthy, timeout_s=10.0)
    assert await hot.fetchval(2) == 3
    assert await database.fetchval("SELECT 1") == 1
    await database.stop()


async def test_a_statement_that_runs_when_the_server_dies_is_unavailable(
    bare_postgres: BarePostgres,
) -> None:
    database = Database(bare_postgres.url, name="test")
    await database.start()
    running = asyncio.create_task(database.fetchval("SELECT pg_sleep(60)"))
    count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    await eventually(lambda: database.fetchval(count))

    await asyncio.to_thread(bare_postgres.kill)
    with pytest.raises(DatabaseUnavailable):
        await running
    await asyncio.to_thread(bare_postgres.revive)
    await database.stop()


async def test_the_start_waits_for_a_server_that_comes_late(
    bare_postgres: BarePostgres,
) -> None:
    await asyncio.to_thread(bare_postgres.kill)
    database = Database(bare_postgres.url, name="test")
    starting = asyncio.create_task(database.start())
    with pytest.raises(DatabaseUnavailable):
        await database.connect()
    assert not starting.done()

    await asyncio.to_thread(bare_postgres.revive)
    await asyncio.wait_for(starting, 10.0)
    assert await database.fetchval("SELECT 1") == 1
    await database.stop()
