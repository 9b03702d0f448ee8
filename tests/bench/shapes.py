"""Does the cost grow with what is idle? `python -m tests.bench.shapes`.

The same load, echo at 64 clients, without and with a lot that does nothing: spaces, stored requests, open sockets.
And with two of a service instead of one. Each row says how throughput and p99 changed: 1.0 is no change.
Beside them what many sockets do when they move: all reconnect at once, or a share comes and goes all the time.
"""

import argparse
import asyncio
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from spaces_stack.postgres_server import DATABASE
from spaces_stack.state_dir import StateDir
from tests.bench import environment
from tests.bench.accounting import memory_of
from tests.bench.load.process import start_load
from tests.bench.product import Product
from tests.bench.shape_rig import Bench, compared, ready_product
from tests.bench.socket_shapes import reconnect_storm, socket_churn

REPORT = Path("build/reports/shapes.json")

_SPACES = """
    WITH made AS (
        INSERT INTO registry.space (space_id, tenant_id, name, inputs, policy)
        SELECT 'idle' || lpad(n::text, 22, '0'), t.tenant_id, 'idle-' || n, '{prompt}', '{}'
        FROM generate_series(1, $1) AS n CROSS JOIN (SELECT tenant_id FROM registry.tenant LIMIT 1) t
        RETURNING space_id, tenant_id, inputs
    )
    SELECT count(scheduler.lane_open(space_id, tenant_id, true, inputs, '{}') IS NULL) FROM made
"""
_REQUESTS = """
    WITH made AS (
        INSERT INTO scheduler.request (request_id, space_id, tenant_id, principal_id, state, priority, seq, attempt,
            tries, queue_timeout_s, run_timeout_s, queued_at, due_at, total_due_at, created_at, started_at,
            finished_at, inputs, payload)
        SELECT '0' || lpad(n::text, 25, '0'), l.space_id, l.tenant_id, 'stored0000000000000000000a', 'succeeded', 0,
            n, 1, 1, 120, 120, now(), now(), now(), now(), now(), now(), '{prompt}',
            convert_to('{"prompt":"' || repeat('x', 180) || '"}', 'UTF8')
        FROM generate_series($1::int, $2::int) AS n
        CROSS JOIN (SELECT space_id, tenant_id FROM scheduler.lane LIMIT 1) l
        RETURNING request_id
    )
    INSERT INTO scheduler.result (request_id, attempt, from_worker, output)
    SELECT request_id, 1, true, convert_to(repeat('y', 200), 'UTF8') FROM made
"""


def main() -> int:
    """Measures the shapes asked for; the report keeps the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=list(SHAPES), help="these shapes")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements before and after")
    parser.add_argument("--scale", type=float, default=1.0, help="share of what is idle")
    parser.add_argument("--churn-seconds", type=float, default=150.0)
    arguments = parser.parse_args()
    environment.take_cores()
    _open_many_files()
    known = json.loads(REPORT.read_text())["shapes"] if REPORT.exists() else {}
    for name in arguments.only or list(SHAPES):
        bench = Bench(arguments.seconds, arguments.rounds, arguments.scale, arguments.churn_seconds)
        known[name] = SHAPES[name](bench)
        print(f"{name:<20}{json.dumps(known[name])}", flush=True)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(
        json.dumps({"environment": environment.describe(), "shapes": known}, indent=1)
    )
    return 0


def _open_many_files() -> None:
    """A socket is a file at both ends; what is started from here inherits the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def idle_spaces(bench: Bench) -> dict[str, Any]:
    """100,000 spaces that nobody uses."""
    with ready_product() as (_, plain), ready_product() as (product, system):
        count = bench.many(100_000)
        asyncio.run(_execute(product, _SPACES, count))
        _settle(product)
        return bench.in_turn(plain, system, spaces=count)


def stored_requests(bench: Bench) -> dict[str, Any]:
    """1,000,000 requests that have ended."""
    with ready_product() as (_, plain), ready_product() as (product, system):
        count = bench.many(1_000_000)
        for first in range(1, count + 1, 50_000):
            last = min(first + 49_999, count)
            asyncio.run(_execute(product, _REQUESTS, first, last))
        _settle(product)
        return bench.in_turn(plain, system, requests=count)


def idle_sockets(bench: Bench) -> dict[str, Any]:
    """10,000 signed-in browser sockets that only listen; they share the load's two processors."""
    with ready_product() as (product, system):
        before = bench.echo(system)
        count = bench.many(10_000)
        gateway = product.processes["gateway"]
        empty = memory_of(gateway)
        idle = start_load(product.load("product-idle", (), clients=count, seconds=600, warm_s=5))
        try:
            assert idle.stdout is not None
            idle.stdout.readline()  # all are connected, and had time to sign in
            full = memory_of(gateway)
            after = bench.echo(system)
        finally:
            idle.kill()
            idle.communicate()
        before += bench.echo(system)  # the machine's own drift is then in both
    return compared(before, after, sockets=count, per_socket=full.kib_more_than(empty, count))


def two_gateways(bench: Bench) -> dict[str, Any]:
    """Two gateways and two schedulers in place of one; the load meets the first gateway."""
    two = ready_product(gateways=2, schedulers=2)
    with ready_product() as (_, plain), two as (_, system):
        return bench.in_turn(plain, system)


def _settle(product: Product) -> None:
    """What was loaded at once has to look as if it had come in the course of time."""
    for statement in ("VACUUM ANALYZE", "CHECKPOINT"):
        asyncio.run(_execute(product, statement))


async def _execute(product: Product, sql: str, *arguments: int) -> None:
    port = product.platform.processes.ports[0]
    secret = StateDir(product.platform.folder).secrets.get("postgres-admin")
    connection = await asyncpg.connect(
        f"postgresql://spaces_admin:{secret}@127.0.0.1:{port}/{DATABASE}", timeout=10
    )
    try:
        await connection.execute(sql, *arguments, timeout=600)
    finally:
        await connection.close()


SHAPES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "idle_spaces": idle_spaces,
    "stored_requests": stored_requests,
    "idle_sockets": idle_sockets,
    "two_gateways": two_gateways,
    "reconnect_storm": reconnect_storm,
    "socket_churn": socket_churn,
}

if __name__ == "__main__":
    sys.exit(main())
