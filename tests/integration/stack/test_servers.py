"""The servers that everything else stands on."""

import asyncpg
import nats

from tests.support.observed_nats import OBSERVER
from tests.support.servers import RunningNats, running_cluster, running_nats


async def test_a_fresh_database_has_both_schemas_owned_by_the_migrator(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    owners = await connection.fetch(
        "SELECT nspname, pg_get_userbyid(nspowner) AS owner FROM pg_namespace"
        " WHERE nspname IN ('registry', 'scheduler') ORDER BY 1"
    )
    await connection.close()
    assert [tuple(row) for row in owners] == [
        ("registry", "spaces_migrator"),
        ("scheduler", "spaces_migrator"),
    ]


async def test_accepted_means_committed(scheduler_database_url: str) -> None:
    connection = await asyncpg.connect(scheduler_database_url)
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    await connection.close()


async def test_services_reach_each_other_and_the_stream(nats_server: RunningNats) -> None:
    gateway = await nats.connect(
        nats_server.url, user=OBSERVER, password=nats_server.password(OBSERVER)
    )
    await gateway.jetstream().add_stream(name="TEST", subjects=["test.>"])
    stored = await gateway.jetstream().publish("test.one", b"1")
    await gateway.jetstream().delete_stream("TEST")
    await gateway.close()
    assert stored.seq == 1


async def test_a_killed_postgres_comes_back_on_its_port_with_what_was_committed() -> None:
    with running_cluster() as (server, supervisor):
        before = await asyncpg.connect(server.admin_url())
        await before.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        supervisor.kill("postgres")
        supervisor.revive("postgres")
        after = await asyncpg.connect(server.admin_url())
        assert await after.fetchval("SELECT n FROM kept") == 7
        await after.close()
        before.terminate()


async def test_a_killed_nats_comes_back_on_its_port_with_its_stream() -> None:
    with running_nats() as server:
        client = await nats.connect(server.url, user=OBSERVER, password=server.password(OBSERVER))
        await client.jetstream().add_stream(name="KEPT", subjects=["kept.>"])
        await client.close()
        server.kill()
        server.revive()
        client = await nats.connect(server.url, user=OBSERVER, password=server.password(OBSERVER))
        assert (await client.jetstream().stream_info("KEPT")).config.subjects == ["kept.>"]
        await client.close()
