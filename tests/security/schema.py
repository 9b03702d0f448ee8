"""Schemathesis against the running gateway: generated calls on every operation, signed in and not.

A call is wrong when the server fails, or answers what the OpenAPI document does not promise.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.security.campaign import Campaign
from tests.security.matrix_world import Credential, World

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance",
)  # fmt: skip
# Its answer ends only with the request, which nobody here ends.
_ENDLESS = "stream_request_events"
_MOST_SHOWN = 20
# `?wait=60` answers after a minute where nobody works.
_LONGER_THAN_A_WAIT = "75"


async def run(
    url: str, admin_key: str, folder: Path, *, examples: int, most_callers: int = 4
) -> Campaign:
    """`examples` calls an operation and phase, as each of four callers, or of fewer."""
    found = Campaign("schema")
    world = World(url, admin_key)
    try:
        tenant_id = (await world.made(world.admin, "/api/tenants", name="schema"))["tenant_id"]
        key = await world.key_of(world.admin, tenant_id=tenant_id)
        callers = [
            Credential("key", key["secret"]),
            Credential("admin key", admin_key),
            Credential("nobody"),
            Credential("key for requests:read", (
                await world.key_of(world.admin, tenant_id=tenant_id, scopes=["requests:read"])
            )["secret"]),
        ]  # fmt: skip
    finally:
        await world.close()
    for number, caller in enumerate(callers[:most_callers]):
        report = folder / f"schema-{number}.json"
        output = await _schemathesis(url, caller, report, examples, number + 1)
        _count(found, caller, report, output)
    return found


async def _schemathesis(
    url: str, caller: Credential, report: Path, examples: int, seed: int
) -> str:
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/openapi.json",
        "--checks", ",".join(CHECKS), "--max-examples", str(examples), "--seed", str(seed), "--workers", "1",
        "--no-color", "--request-timeout", _LONGER_THAN_A_WAIT, "--generation-database", "none",
        "--continue-on-failure", "--exclude-operation-id", _ENDLESS,
        "--report", "json", "--report-json-path", str(report),
    ]  # fmt: skip
    for name, value in caller.headers.items():
        command += ["--header", f"{name}: {value}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=report.parent,
    )
    output, _ = await process.communicate()
    return output.decode(errors="replace")


def _count(found: Campaign, caller: Credential, report: Path, output: str) -> None:
    if not report.exists():
        found.errors.append(f"as {caller.name}: no report; {output[-2000:]}")
        return
    written: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    found.attempts += int(written["test_cases"]["generated"])
    found.errors += [
        f"as {caller.name}: {json.dumps(one)[:2000]}"
        for one in (*written["failures"], *written["errors"])[:_MOST_SHOWN]
    ]
    if not written["complete"]:
        found.errors.append(f"as {caller.name}: stopped because of {written['stop_reason']}")
