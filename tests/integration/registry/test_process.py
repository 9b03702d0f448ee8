"""The command `spaces-registry` as people start it, and the first admin key."""

import asyncio
import json
import signal
import stat
import sys
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from spaces_chassis.bus import Bus
from spaces_contracts.access import Authenticate, PrincipalKind
from spaces_contracts.keys import kind_of, sha256_of
from spaces_stack.ports import free_ports
from tests.support.eventually import eventually
from tests.support.servers import RunningNats, RunningPostgres

Tables: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
COMMAND = str(Path(sys.executable).with_name("spaces-registry"))


@pytest.fixture
def environ(
    nats_server: RunningNats,
    postgres_server: RunningPostgres,
    database: str,
    tmp_path: Path,
) -> dict[str, str]:
    return {
        "SPACES_NATS_URL": nats_server.url,
        "SPACES_NATS_USER": "registry",
        "SPACES_NATS_PASSWORD": nats_server.password("registry"),
        "SPACES_POSTGRES_URL": postgres_server.role_url("spaces_registry", database),
        "SPACES_REGISTRY_PORT": str(free_ports(1)[0]),
        "SPACES_REGISTRY_ADMIN_KEY_FILE": str(tmp_path / "admin-key"),
        "SPACES_LOG_FORMAT": "json",
    }


async def finished(*arguments: str, environ: Mapping[str, str]) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, env=dict(environ), stdout=PIPE, stderr=PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def serving(environ: Mapping[str, str], log: Path) -> AsyncIterator[Process]:
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(COMMAND, env=dict(environ), stderr=file)
    try:
        await eventually(lambda: ready(environ), timeout_s=20)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ready(environ: Mapping[str, str]) -> bool:
    try:
        return bool(json.loads(await page(environ, "/health/ready"))["status"] == "ready")
    except OSError:
        return False


def keys(folder: Path) -> list[str]:
    return [file.read_text().strip() for file in folder.glob("key-*")]


async def shows_connections(environ: Mapping[str, str]) -> bool:
    return 'spaces_connections{state="live"} 0.0' in await page(environ, "/metrics")


async def page(environ: Mapping[str, str], path: str) -> str:
    url = f"http://127.0.0.1:{environ['SPACES_REGISTRY_PORT']}{path}"

    def get() -> str:
        with urllib.request.urlopen(url, timeout=5) as answer:
            body: bytes = answer.read()
            return body.decode()

    return await asyncio.to_thread(get)


async def test_it_serves_shows_itself_and_leaves_cleanly_on_sigterm(
    environ: dict[str, str], bus: Bus, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    key_file = tmp_path / "admin-key"
    async with serving(environ, log) as process:
        key = key_file.read_text().strip()
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        reply = await bus.request(Authenticate(secret_sha256=sha256_of(key)))
        assert reply.principal.kind is PrincipalKind.ADMIN
        assert "spaces_leases_lost_total 0.0" in await page(environ, "/metrics")
        await eventually(lambda: shows_connections(environ))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert key not in log.read_text()


async def test_the_first_key_survives_a_restart(
    environ: dict[str, str], tables: Tables, tmp_path: Path
) -> None:
    key_file = tmp_path / "admin-key"
    async with serving(environ, tmp_path / "log"):
        key = key_file.read_text()
    async with serving(environ, tmp_path / "log"):
        assert key_file.read_text() == key
    admins = "SELECT count(*) FROM registry.principal WHERE kind = 'admin'"
    assert await tables.fetchval(admins) == 1


async def test_registries_that_start_together_make_one_key(
    environ: dict[str, str], tables: Tables, tmp_path: Path
) -> None:
    others = [
        environ
        | {
            "SPACES_REGISTRY_PORT": str(port),
            "SPACES_REGISTRY_ADMIN_KEY_FILE": str(tmp_path / f"key-{port}"),
        }
        for port in free_ports(2)
    ]
    assert keys(tmp_path) == []
    async with serving(others[0], tmp_path / "log0"), serving(others[1], tmp_path / "log1"):
        hashes = await tables.fetch("SELECT secret_sha256 FROM registry.principal")
    assert len(hashes) == 1
    assert [row["secret_sha256"] for row in hashes] == [sha256_of(key) for key in keys(tmp_path)]


async def test_a_key_whose_hash_was_never_stored_is_stored_at_the_next_start(
    environ: dict[str, str], tables: Tables, tmp_path: Path
) -> None:
    key_file = tmp_path / "admin-key"
    async with serving(environ, tmp_path / "log"):
        key = key_file.read_text()
    # As after a kill between the file and the commit.
    await tables.execute("DELETE FROM registry.principal")
    async with serving(environ, tmp_path / "log"):
        assert key_file.read_text() == key
        assert await tables.fetchval("SELECT secret_sha256 FROM registry.principal") == sha256_of(
            key.strip()
        )


async def test_one_more_admin_key_is_printed_to_who_asked(
    environ: dict[str, str], tables: Tables
) -> None:
    status, out, err = await finished("admin-key", environ=environ)
    assert status == 0
    assert kind_of(out.strip()) is PrincipalKind.ADMIN
    assert out.strip() not in err
    stored = "SELECT kind FROM registry.principal WHERE secret_sha256 = $1"
    assert await tables.fetchval(stored, sha256_of(out.strip())) == "admin"


async def test_it_does_not_run_on_older_tables(environ: dict[str, str], tables: Tables) -> None:
    await tables.execute("DELETE FROM spaces_migration.applied WHERE schema = 'registry'")
    status, _, err = await finished("serve", environ=environ)
    assert status == 1
    assert "run its migrate command" in err


async def test_migrate_brings_the_tables_up_to_date(
    environ: dict[str, str], database_url: str, tables: Tables
) -> None:
    await tables.execute("DROP SCHEMA registry CASCADE")
    await tables.execute("DELETE FROM spaces_migration.applied WHERE schema = 'registry'")
    status, _, err = await finished(
        "migrate", environ=environ | {"SPACES_POSTGRES_URL": database_url}
    )
    assert (status, "0004_sessions.sql" in err) == (0, True)
    assert await tables.fetchval("SELECT count(*) FROM registry.tenant") == 1


async def test_a_setting_that_does_not_exist_is_named(environ: dict[str, str]) -> None:
    wrong = environ | {"SPACES_REGISTRY_ADMIN_KEY_FIEL": "x"}
    status, _, err = await finished("serve", environ=wrong)
    assert status != 0
    assert "SPACES_REGISTRY_ADMIN_KEY_FIEL" in err
    assert "SPACES_REGISTRY_ADMIN_KEY_FILE" in err
