"""SQL of looking for requests: through an index that leads to them, or a bounded walk through the newest.

A list is found in the order of ids, newest first. Requests that wait, run or did not succeed have indexes of their own.
All others are looked at one after the other, at most SCANNED at a time: who wants to look further asks again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from spaces_chassis.database import Database
from spaces_contracts.access import Sight
from spaces_contracts.identifiers import id_at
from spaces_contracts.request_lists import RequestFilter
from spaces_contracts.requests import RequestState, RequestView
from spaces_scheduler.request_store import SHORT_COLUMNS, view_of
from spaces_scheduler.sight_sql import seen

# Rows that are looked at for one page when no index names those that are wanted.
SCANNED = 20_000
_OPEN = (RequestState.QUEUED, RequestState.RUNNING)
_UNSUCCESSFUL = (RequestState.FAILED, RequestState.CANCELLED, RequestState.EXPIRED)
_HIGHEST = "z" * 32

# Longer queues are not counted through for a list: each of their requests tells its place by itself.
PLACED = 2_000

# The places of queued requests are counted once a space, not once a request.
_PAGE = f"""
    WITH wanted AS MATERIALIZED (
        SELECT r.* FROM scheduler.request r JOIN scheduler.lane l ON l.space_id = r.space_id
        WHERE r.request_id = ANY ($1) AND {seen("$2", "$3")}
    ), lanes AS MATERIALIZED (
        SELECT w.space_id, s.slots FROM (SELECT DISTINCT space_id FROM wanted WHERE state = 'queued') w
        JOIN scheduler.lane n ON n.space_id = w.space_id AND n.queued <= {PLACED}
        CROSS JOIN LATERAL scheduler.lane_slots(w.space_id) s
    ), places AS MATERIALIZED (
        SELECT q.request_id, q.position FROM (
            SELECT o.request_id, row_number() OVER (
                PARTITION BY o.space_id ORDER BY o.priority DESC, o.seq)::int AS position
            FROM lanes JOIN scheduler.request o ON o.space_id = lanes.space_id AND o.state = 'queued'
        ) q WHERE q.request_id = ANY ($1)
    )
    SELECT {SHORT_COLUMNS}, places.position, lanes.slots, NULL::bytea AS output, NULL::bytea AS payload
    FROM wanted r
    JOIN scheduler.lane l ON l.space_id = r.space_id
    LEFT JOIN scheduler.result t ON t.request_id = r.request_id
    LEFT JOIN lanes ON lanes.space_id = r.space_id AND r.state = 'queued'
    LEFT JOIN places ON places.request_id = r.request_id
    ORDER BY r.request_id DESC
"""


@dataclass(frozen=True)
class Found:
    """Ids, newest first, and where to go on; None when everything was looked at."""

    request_ids: list[str]
    cursor: str | None


class ListStore:
    """Looks for requests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self,
        wanted: RequestFilter,
        limit: int,
        cursor: str | None = None,
        *,
        not_retried: bool = False,
    ) -> Found:
        """At most `limit` of them, those before the cursor."""
        search = _search(wanted, limit, cursor, not_retried=not_retried)
        if search is None:
            return Found([], None)
        rows = await self._database.fetch(search.sql, *search.arguments)
        return _merged(rows, limit)

    async def views(self, request_ids: Sequence[str], sight: Sight) -> list[RequestView]:
        """Without payloads and outputs, newest first; what is out of sight is left out."""
        if not request_ids:
            return []
        rows = await self._database.fetch(_PAGE, list(request_ids), sight.tenant_id, sight.makers)
        return [view_of(row) for row in rows]

    async def by_space(self, request_ids: Sequence[str]) -> list[list[str]]:
        """Requests that share a space, together."""
        rows = await self._database.fetch(
            "SELECT array_agg(request_id) AS ids FROM scheduler.request"
            " WHERE request_id = ANY ($1) GROUP BY space_id ORDER BY space_id",
            list(request_ids),
        )
        return [row["ids"] for row in rows]

    async def audiences_of(self, space_ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """Whose spaces these are, and to whom they are private."""
        rows = await self._database.fetch(
            "SELECT space_id, tenant_id, private_to FROM scheduler.lane WHERE space_id = ANY ($1)",
            list(space_ids),
        )
        return {row["space_id"]: (row["tenant_id"], row["private_to"]) for row in rows}

    async def cancelled(self, request_ids: Sequence[str]) -> int:
        """How many are cancelled, or asked to end."""
        found: int = await self._database.fetchval(
            "SELECT count(*) FROM scheduler.request WHERE request_id = ANY ($1)"
            " AND (state = 'cancelled' OR state = 'running' AND cancel_requested_at IS NOT NULL)",
            list(request_ids),
        )
        return found


@dataclass
class _Search:
    """One statement: each part is a walk along one index, and gives one row."""

    arguments: list[object] = field(default_factory=list)
    along: list[str] = field(default_factory=list)  # what the indexes hold
    beside: list[str] = field(default_factory=list)  # what only the rows hold
    parts: list[str] = field(default_factory=list)

    def bind(self, value: object) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def walk(self, which: Sequence[str], limit: int, *, gathered: bool = False) -> None:
        """Reads one more than is wanted; where only some rows are wanted, looks at SCANNED of them at most.

        `gathered` are few by their state: collected first and put in order then, whatever the planner thinks.
        """
        where = " AND ".join([*which, *self.along]) or "true"
        rows = f"scheduler.request r WHERE {where}"
        if gathered:
            rows = f"(SELECT r.request_id, r.principal_id, r.space_id FROM {rows} OFFSET 0) r"
        along = f"FROM {rows} ORDER BY r.request_id DESC"
        if not self.beside:
            self.parts.append(
                f"SELECT ARRAY(SELECT r.request_id {along} LIMIT {limit + 1}) AS ids, NULL::text AS reached"
            )
            return
        wanted = " AND ".join(self.beside)
        # Where it stopped is only asked for when too little was found, and the index alone knows.
        self.parts.append(
            f"""
            SELECT f.ids, CASE WHEN cardinality(f.ids) <= {limit} THEN
                       (SELECT r.request_id {along} OFFSET {SCANNED - 1} LIMIT 1) END AS reached
            FROM (SELECT ARRAY(
                SELECT w.request_id FROM (SELECT r.request_id, {wanted} AS wanted {along} LIMIT {SCANNED}) w
                WHERE w.wanted LIMIT {limit + 1}) AS ids OFFSET 0) f
            """
        )

    @property
    def sql(self) -> str:
        return " UNION ALL ".join(self.parts)


def _search(
    wanted: RequestFilter, limit: int, cursor: str | None, *, not_retried: bool
) -> _Search | None:
    """None when nothing can be found."""
    if wanted.principal_ids == []:
        return None
    search = _Search()
    if wanted.space_id is not None:
        search.along.append(f"r.space_id = {search.bind(wanted.space_id)}")
    _bound_sight(search, wanted)
    _bound_ids(search, wanted, cursor)
    if wanted.principal_ids is not None:
        search.beside.append(f"r.principal_id = ANY ({search.bind(wanted.principal_ids)}::text[])")
    if not_retried:
        search.beside.append(
            "NOT EXISTS (SELECT FROM scheduler.retry n JOIN scheduler.request o ON o.request_id = n.request_id"
            " WHERE n.retry_of = r.request_id)"
        )
    _walk_states(search, set(wanted.states), limit)
    return search


def _bound_sight(search: _Search, wanted: RequestFilter) -> None:
    if wanted.space_id is not None:
        if wanted.tenant_id is not None or wanted.makers is not None:
            # Asked once, not of each row: the planner walks along the space's.
            tenant_id, makers = search.bind(wanted.tenant_id), search.bind(wanted.makers)
            lane = (
                f"SELECT FROM scheduler.lane l WHERE l.space_id = $1 AND {seen(tenant_id, makers)}"
            )
            search.along.append(f"EXISTS ({lane})")
        return
    tenant_id = "l.tenant_id"
    if wanted.tenant_id is not None:
        tenant_id = search.bind(wanted.tenant_id)
        search.along.append(f"r.tenant_id = {tenant_id}")
    if wanted.makers is not None:
        # The few spaces that are hidden are read once; a row is looked at for nothing but its space.
        makers = search.bind(wanted.makers)
        search.beside.append(
            "r.space_id <> ALL (ARRAY(SELECT l.space_id FROM scheduler.lane l WHERE l.private_to IS NOT NULL"
            f" AND l.tenant_id = {tenant_id} AND l.private_to <> ALL ({makers}::text[])))"
        )


def _walk_states(search: _Search, states: set[RequestState], limit: int) -> None:
    if not states or RequestState.SUCCEEDED in states:
        if states:
            search.beside.append(f"r.state = ANY ({search.bind(sorted(states))}::text[])")
        search.walk([], limit)
        return
    # States are written out: only then does the planner know that a partial index holds all that is asked for.
    if found_open := [f"'{state.value}'" for state in _OPEN if state in states]:
        search.walk([f"r.state IN ({', '.join(found_open)})"], limit, gathered=True)
    for state in _UNSUCCESSFUL:
        if state in states:
            search.walk([f"r.state = '{state.value}'"], limit)


def _bound_ids(search: _Search, wanted: RequestFilter, cursor: str | None) -> None:
    """Times and the beginning of an id are ranges of ids."""
    if cursor is not None:
        search.along.append(f"r.request_id < {search.bind(cursor)}")
    if wanted.since is not None:
        search.along.append(f"r.request_id >= {search.bind(_first_id(wanted.since))}")
    if wanted.until is not None:
        search.along.append(f"r.request_id < {search.bind(_first_id(wanted.until))}")
    if wanted.id_prefix is not None:
        last = (wanted.id_prefix + _HIGHEST)[: len(_HIGHEST)]
        search.along.append(f"r.request_id >= {search.bind(wanted.id_prefix)}")
        search.along.append(f"r.request_id <= {search.bind(last)}")


def _first_id(moment: datetime) -> str:
    aware = moment if moment.tzinfo is not None else moment.astimezone()
    return id_at(int(aware.timestamp() * 1000))


def _merged(rows: Sequence[asyncpg.Record], limit: int) -> Found:
    """One order of several walks: as far as the walk that was stopped first."""
    stopped = [row["ids"][limit] if len(row["ids"]) > limit else row["reached"] for row in rows]
    reached = max((one for one in stopped if one is not None), default=None)
    ids = sorted({one for row in rows for one in row["ids"]}, reverse=True)
    if reached is not None:
        ids = [one for one in ids if one >= reached]
    if len(ids) > limit:
        return Found(ids[:limit], ids[limit - 1])
    return Found(ids, reached)
