"""The bare limits, NATS request/reply and PostgreSQL commits: tasks, because their clients are libraries."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import asyncpg
import nats

from tests.bench.load.flow import Load, clock, prompt
from tests.bench.load.recorder import Recorder

Task = Callable[[Load, Recorder], Awaitable[None]]


async def nats_requests(load: Load, recorder: Recorder) -> None:
    """So many requests under way at once on one connection."""
    connection = await nats.connect(f"nats://127.0.0.1:{load.port}")

    async def client(number: int) -> None:
        count = 0
        while True:
            count += 1
            body = json.dumps({"prompt": prompt(number, count)}).encode()
            started = clock()
            answer = await connection.request("echo", body, timeout=10)
            if answer.data != body:
                recorder.failed("not the echo")
            recorder.record(clock() - started)

    await asyncio.gather(*(client(number) for number in range(load.clients)))


async def postgres_commits(load: Load, recorder: Recorder) -> None:
    """One connection, one prepared statement: each commit has a row of every client."""
    connection = await asyncpg.connect(load.options["url"])
    await connection.execute("CREATE TABLE IF NOT EXISTS work (id text PRIMARY KEY, body bytea)")
    insert = await connection.prepare(
        "INSERT INTO work SELECT * FROM unnest($1::text[], $2::bytea[])"
    )
    stamp, batch = clock(), 0
    while True:
        batch += 1
        ids = [f"{stamp}-{batch}-{number}" for number in range(load.clients)]
        bodies = [
            json.dumps({"prompt": prompt(number, batch)}).encode() for number in range(load.clients)
        ]
        started = clock()
        await insert.fetch(ids, bodies)
        took = clock() - started
        for _ in ids:
            recorder.record(took)
