"""All SQL on duties that one registry at a time has."""

from spaces_chassis.database import Database

_LEADS_FOR_S = 15.0


class LeaderStore:
    """Who has which duty, in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lead(self, duty: str, me: str) -> bool:
        """Takes or keeps the duty; false while another has it."""
        won = await self._database.fetchval(
            """
            INSERT INTO registry.leader AS l (duty, holder, lease_until)
            VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
            ON CONFLICT (duty) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
             WHERE l.holder = excluded.holder OR l.lease_until < clock_timestamp()
                OR l.lease_until > clock_timestamp() + make_interval(secs => 2 * $3)
            RETURNING true
            """,
            duty,
            me,
            _LEADS_FOR_S,
        )
        return bool(won)
