"""The tables of the real database and of the model, brought into one form that can be compared."""

import json
from typing import Any

from tests.model.tables import Tables

# All rows in one answer. Times are seconds of the deadline clock, which a test sets.
SNAPSHOT = """
SELECT json_build_object(
 'lane', (SELECT json_agg(json_build_array(space_id, enabled, closed_at IS NOT NULL, next_seq, queued, running)
          ORDER BY space_id) FROM scheduler.lane),
 'connection', (SELECT json_agg(json_build_array(connection_id, space_id, instance_id, slots, live,
          ended_at IS NULL, draining, refusals, extract(epoch FROM paused_until)) ORDER BY connection_id)
          FROM scheduler.connection),
 'request', (SELECT json_agg(json_build_array(request_id, space_id, principal_id, state, priority, seq, attempt,
          tries, extract(epoch FROM queued_at), extract(epoch FROM due_at), extract(epoch FROM total_due_at),
          extract(epoch FROM cancel_requested_at), finished_at IS NOT NULL) ORDER BY request_id)
          FROM scheduler.request),
 'assignment', (SELECT json_agg(json_build_array(request_id, attempt, space_id, connection_id, instance_id,
          extract(epoch FROM claimed_at), extract(epoch FROM offered_at), extract(epoch FROM accepted_at),
          extract(epoch FROM stop_asked_at), extract(epoch FROM released_at)) ORDER BY request_id, attempt)
          FROM scheduler.assignment),
 'result', (SELECT json_agg(json_build_array(request_id, attempt, from_worker, convert_from(output, 'UTF8'),
          CASE WHEN NOT from_worker THEN convert_from(error, 'UTF8')::json->>'code' END) ORDER BY request_id)
          FROM scheduler.result),
 'key', (SELECT json_agg(json_build_array(principal_id, key, body_sha256, request_id)
          ORDER BY principal_id, key) FROM scheduler.idempotency)
)::text
"""

Rows = dict[str, list[list[Any]]]


def stored(text: str) -> Rows:
    """What the database has."""
    return {name: rows or [] for name, rows in json.loads(text).items()}


def believed(tables: Tables) -> Rows:
    """What the model has, in the same form."""
    return {
        "lane": sorted(
            [x.space_id, x.enabled, x.closed, x.next_seq, x.queued, x.running]
            for x in tables.lanes.values()
        ),
        "connection": [_connection(tables, c) for c in sorted(tables.connections)],
        "request": [_request(tables, r) for r in sorted(tables.requests)],
        "assignment": [_assignment(tables, key) for key in sorted(tables.assignments)],
        "result": [[r, *tables.results[r]] for r in sorted(tables.results)],
        "key": [[*key, *tables.keys[key]] for key in sorted(tables.keys)],
    }


def _connection(tables: Tables, connection_id: str) -> list[Any]:
    c = tables.connections[connection_id]
    ids = [c.connection_id, c.space_id, c.instance_id]
    return [*ids, c.slots, c.live, c.live, c.draining, c.refusals, c.paused_until]


def _request(tables: Tables, request_id: str) -> list[Any]:
    r = tables.requests[request_id]
    times = [r.queued_at, r.due_at, r.total_due_at, r.cancel_requested_at]
    what = [
        r.request_id,
        r.space_id,
        r.principal_id,
        r.state,
        r.priority,
        r.seq,
        r.attempt,
        r.tries,
    ]
    return [*what, *times, r.state.terminal]


def _assignment(tables: Tables, key: tuple[str, int]) -> list[Any]:
    a = tables.assignments[key]
    ids = [a.request_id, a.attempt, a.space_id, a.connection_id, a.instance_id]
    return [*ids, a.claimed_at, a.offered_at, a.accepted_at, a.stop_asked_at, a.released_at]


def differences(tables: Tables, text: str) -> list[str]:
    """What is not the same, row by row."""
    mine, theirs = believed(tables), stored(text)
    found = []
    for name, rows in mine.items():
        if rows != theirs[name]:
            found += [f"{name}: model {row}" for row in rows if row not in theirs[name]]
            found += [f"{name}: database {row}" for row in theirs[name] if row not in rows]
    return found
