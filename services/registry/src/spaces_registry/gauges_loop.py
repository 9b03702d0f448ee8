"""Figures that are read from the database; one registry at a time shows them, so that sums are right."""

from spaces_contracts.identifiers import new_id
from spaces_registry.meters import Meters
from spaces_registry.stores import Stores

EVERY_S = 5.0
_LEADS_FOR_S = 15.0
_DUTY = "gauges"


class GaugesLoop:
    """Holds the duty while it keeps renewing it."""

    def __init__(self, stores: Stores, meters: Meters) -> None:
        self._database = stores.database
        self._connections = stores.connections
        self._meters = meters
        self._me = new_id()

    async def step(self) -> bool:
        """Whether this registry shows the figures now."""
        leads = await self._lead()
        if leads:
            self._meters.show_connections(await self._connections.states())
        else:
            self._meters.show_connections({})
        return leads

    async def _lead(self) -> bool:
        won = await self._database.fetchval(
            """
            INSERT INTO registry.leader AS l (duty, holder, lease_until)
            VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
            ON CONFLICT (duty) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
             WHERE l.holder = excluded.holder OR l.lease_until < clock_timestamp()
                OR l.lease_until > clock_timestamp() + make_interval(secs => 2 * $3)
            RETURNING true
            """,
            _DUTY,
            self._me,
            _LEADS_FOR_S,
        )
        return bool(won)
