"""All SQL on windows: how much of a limit was taken in a stretch of time, by whichever process.

A window is fixed: those of a minute begin at whole minutes of the database's clock. No window ever gives more than its
limit, however many take from it; over any 60 seconds that overlap two windows up to two limits may pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from spaces_chassis.database import Database

# A window is of use to nobody soon after its end; kept a little for who looks.
_KEEP_S = 120.0


@dataclass(frozen=True)
class Take:
    """Wanted: `amount` of `limit` in the running window of `window_s`, or with `ahead` 1 in the one after it."""

    subject: str
    limit: int
    amount: int = 1
    window_s: int = 60
    ahead: int = 0


@dataclass(frozen=True)
class Taken:
    """Granted, out of what was left; `used` is what the window has given by now."""

    granted: int
    used: int
    starts_in_s: float  # counted from a moment after the take was asked for
    ends_in_s: float


class UsageStore:
    """Windows in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, takes: Sequence[Take]) -> list[Taken]:
        """Takes for many subjects at once; a subject and window may be named once.

        Rows are locked in the order of their subjects, so that no two takes wait for each other in a circle.
        """
        rows = await self._database.fetch(
            """
            WITH moment AS MATERIALIZED (
                SELECT extract(epoch FROM clock_timestamp())::float8 AS s
                 -- What a crash of the database forgets was taken a moment ago, and its window ends soon.
                 WHERE set_config('synchronous_commit', 'off', true) IS NOT NULL),
            wanted AS MATERIALIZED (
                SELECT w.nth, w.subject, w.amount, w.cap, w.window_s, moment.s,
                       (floor(moment.s / w.window_s) + w.ahead) * w.window_s AS starts
                  FROM moment, unnest($1::text[], $2::bigint[], $3::bigint[], $4::int[], $5::int[])
                       WITH ORDINALITY AS w (subject, amount, cap, window_s, ahead, nth)),
            taken AS (
                INSERT INTO registry.usage_window AS u
                       (subject, window_start, window_end, used, granted, cap)
                SELECT w.subject, to_timestamp(w.starts), to_timestamp(w.starts + w.window_s),
                       least(w.amount, w.cap), least(w.amount, w.cap), w.cap
                  FROM wanted w ORDER BY w.subject, w.starts
                ON CONFLICT (subject, window_start) DO UPDATE
                   SET granted = greatest(0, least(excluded.granted, excluded.cap - u.used)),
                       used = u.used + greatest(0, least(excluded.granted, excluded.cap - u.used)),
                       cap = excluded.cap
                RETURNING u.subject, u.window_start, u.used, u.granted)
            SELECT taken.granted, taken.used, w.starts - w.s AS starts_in_s,
                   w.starts + w.window_s - w.s AS ends_in_s
              FROM wanted w JOIN taken ON taken.subject = w.subject AND taken.window_start = to_timestamp(w.starts)
             ORDER BY w.nth
            """,
            [take.subject for take in takes],
            [take.amount for take in takes],
            [take.limit for take in takes],
            [take.window_s for take in takes],
            [take.ahead for take in takes],
        )
        return [_taken(row) for row in rows]

    async def used(self, subject: str, window_s: int = 60) -> int:
        """What the running window has given."""
        used: int | None = await self._database.fetchval(
            """
            SELECT used FROM registry.usage_window
             WHERE subject = $1 AND window_start <= clock_timestamp() AND window_end > clock_timestamp()
               AND window_end = window_start + make_interval(secs => $2)
            """,
            subject,
            float(window_s),
        )
        return used or 0

    async def forget(self) -> None:
        """Drops windows that are over."""
        await self._database.execute(
            """
            DELETE FROM registry.usage_window
             WHERE window_end < clock_timestamp() - make_interval(secs => $1)
            """,
            _KEEP_S,
        )


def _taken(row: asyncpg.Record) -> Taken:
    return Taken(row["granted"], row["used"], row["starts_in_s"], row["ends_in_s"])
