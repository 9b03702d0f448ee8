"""The whole database on two pages: what pg_dump says of each schema after all migrations."""

import subprocess

from tests.support.servers import TEMPLATE, running_postgres

SCHEMAS = ("registry", "scheduler")
MADE = "-- Made by `make generate` from the services' migrations; do not edit.\n"


def schema_pages() -> dict[str, str]:
    """File name -> page, for each schema, as a migrated database has it."""
    with running_postgres() as postgres:
        program = str(postgres.server.program_path("pg_dump"))
        url = postgres.server.admin_url(TEMPLATE)
        return {f"{schema}.sql": MADE + _plain(_dump(program, url, schema)) for schema in SCHEMAS}


def _dump(program: str, url: str, schema: str) -> str:
    options = ["--schema-only", "--no-owner", f"--schema={schema}"]
    done = subprocess.run([program, *options, url], check=True, capture_output=True, text=True)
    return done.stdout


def _plain(dump: str) -> str:
    """Without what differs from run to run or from version to version: settings, banners, psql's own lines."""
    kept: list[str] = []
    for line in dump.splitlines():
        noise = line.startswith(("--", "\\", "SET ", "SELECT pg_catalog.set_config"))
        if not noise and (line or (kept and kept[-1])):
            kept.append(line)
    return "\n".join(kept).strip() + "\n"
