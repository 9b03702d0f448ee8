"""The command: it refuses what it cannot work with, and leaves in order."""

import asyncio
import os
import signal
import sys

import asyncpg
import pytest

from tests.support.servers import RunningNats, RunningPostgres


async def start(environ: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    base = {name: value for name, value in os.environ.items() if not name.startswith("SPACES_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from spaces_scheduler.main import main; main()",
        *arguments,
        env=base | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


@pytest.fixture
def environ(
    database: str, postgres_server: RunningPostgres, nats_server: RunningNats
) -> dict[str, str]:
    return {
        "SPACES_POSTGRES_URL": postgres_server.role_url("spaces_scheduler", database),
        "SPACES_NATS_URL": nats_server.url,
        "SPACES_NATS_USER": "scheduler",
        "SPACES_NATS_PASSWORD": nats_server.password("scheduler"),
        "SPACES_LOG_FORMAT": "json",
    }


async def test_a_setting_it_does_not_know_ends_it_with_the_nearest_name() -> None:
    process = await start({"SPACES_SCHEDULER_PROT": "1"})
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert b"SPACES_SCHEDULER_PORT" in output


async def test_without_its_tables_it_says_which_command_makes_them(
    environ: dict[str, str], database_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute("DROP SCHEMA scheduler CASCADE")
    await owner.execute("DELETE FROM spaces_migration.applied WHERE schema = 'scheduler'")
    await owner.close()
    process = await start(environ)
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert b"run its migrate command" in output

    migrating = await start(environ | {"SPACES_POSTGRES_URL": database_url}, "migrate")
    await migrating.communicate()
    assert migrating.returncode == 0


async def test_it_starts_and_leaves_in_order_when_asked(environ: dict[str, str]) -> None:
    process = await start(environ)
    assert process.stdout is not None
    lines: list[bytes] = []
    async for line in process.stdout:
        lines.append(line)
        if b'"started"' in line and b'"parts"' in line:
            process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0, b"".join(lines).decode()
    assert b'"stopped"' in lines[-1]
