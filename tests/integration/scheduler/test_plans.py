"""Plans that were made on empty tables stay good: no call reads more when more is stored or waits."""

import asyncpg

from spaces_contracts.identifiers import new_id
from tests.integration.scheduler.world import Lanes, new_request

STORED = 30_000
WAITING = 2_000


async def test_the_cost_of_a_request_does_not_grow_with_what_is_stored_or_waits(
    lanes: Lanes,
) -> None:
    space_id, connection_id = await lanes.open(max_queue=WAITING * 2), new_id()
    await lanes.attach(space_id, connection_id, instance_id=new_id())
    await one_request(lanes, space_id, connection_id)  # makes the plans
    before = await blocks_of_one_request(lanes, space_id, connection_id)

    await store(lanes.tables, STORED)
    assert await blocks_of_one_request(lanes, space_id, connection_id) < 2 * before

    for _ in range(WAITING // 200):
        await lanes.submit_all(*(new_request(space_id) for _ in range(200)))
    assert await blocks_of_one_request(lanes, space_id, connection_id) < 3 * before


async def one_request(lanes: Lanes, space_id: str, connection_id: str) -> None:
    """Submits one and finishes the one that runs."""
    await lanes.submit(space_id)
    running = await lanes.as_scheduler.fetchrow(
        "SELECT request_id, attempt FROM scheduler.request WHERE space_id = $1 AND state = 'running'",
        space_id,
    )
    assert running is not None
    verdict = await lanes.finish(space_id, connection_id, running["request_id"], running["attempt"])
    assert verdict == "stored"


async def blocks_of_one_request(lanes: Lanes, space_id: str, connection_id: str) -> int:
    """How many blocks of tables and indexes submit_many and finish_many touch for one request."""
    request = new_request(space_id)
    await lanes.submit_all(request)
    running = await lanes.tables.fetchrow(
        "SELECT request_id, attempt FROM scheduler.request WHERE space_id = $1 AND state = 'running'",
        space_id,
    )
    assert running is not None
    connection = lanes.as_scheduler
    submitting = await explain(connection, _SUBMIT, new_id(), space_id)
    finishing = await explain(
        connection, _FINISH, space_id, connection_id, running["request_id"], running["attempt"]
    )
    return submitting + finishing


_SUBMIT = """
    SELECT * FROM scheduler.submit_many(ARRAY[$1::text], ARRAY[$2::text], '{t}', '{p}', '{x}', '{prompt}',
        '{NULL}', '{NULL}', '{0}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{x}', '{NULL}')
"""
_FINISH = """
    SELECT * FROM scheduler.finish_many(ARRAY[$1::text], ARRAY[$2::text], ARRAY[$3::text], ARRAY[$4::int],
        '{succeeded}', '{NULL}', '{NULL}', '{NULL}', '{0}', '{1}', '{NULL}')
"""


async def explain(
    connection: "asyncpg.Connection[asyncpg.Record]", sql: str, *arguments: object
) -> int:
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) {sql}", *arguments)
    line = next(row[0] for row in rows if "Buffers: shared" in row[0])
    return sum(int(word.split("=")[1]) for word in line.split() if word.startswith(("hit", "read")))


async def store(tables: "asyncpg.Connection[asyncpg.Record]", count: int) -> None:
    """Requests of long ago, in many spaces."""
    await tables.execute(
        """
        INSERT INTO scheduler.request (request_id, space_id, tenant_id, principal_id, state, priority, seq,
            queue_timeout_s, run_timeout_s, queued_at, due_at, total_due_at, created_at, finished_at, inputs, payload)
        SELECT lpad(g::text, 26, '0'), lpad((g % 100)::text, 26, '0'), 't', 'p', 'succeeded', 0, g, 1, 1,
            now(), now(), now(), now(), now(), '{prompt}', 'x'
        FROM generate_series(1, $1) AS g
        """,
        count,
    )
    await tables.execute(
        """
        INSERT INTO scheduler.assignment (request_id, attempt, space_id, connection_id, instance_id, claimed_at,
            offered_at, released_at)
        SELECT r.request_id, 1, r.space_id, r.space_id, 'i', now(), now(), now()
        FROM scheduler.request r WHERE r.state = 'succeeded'
        ON CONFLICT DO NOTHING
        """
    )
