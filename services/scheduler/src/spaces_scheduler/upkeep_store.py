"""SQL of the loops: each call is one short transaction that does a part and returns what to announce."""

from dataclasses import dataclass
from datetime import datetime

from spaces_chassis.database import Database


@dataclass(frozen=True)
class Repairs:
    """What was found lying about."""

    lost_jobs: list[str]
    stranded: list[str]


class UpkeepStore:
    """Expires, forces, resumes, repairs and forgets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def expire(self, expected: datetime) -> list[str]:
        """Ends what is due in one lane; nothing when the clock is not what is expected."""
        return await self._ids("SELECT id FROM scheduler.expire_step($1) AS id", expected)

    async def force_cancel(self, expected: datetime) -> list[str]:
        """Cancels what its worker did not confirm in time, in one lane."""
        return await self._ids("SELECT id FROM scheduler.force_cancel_step($1) AS id", expected)

    async def stop_again(self) -> list[str]:
        """What ended but is still held by its worker, and was not asked lately."""
        return await self._ids("SELECT id FROM scheduler.stop_again_step() AS id")

    async def change_masses(self) -> list[str]:
        """Cancels what is queued in one lane that was disabled or closed."""
        return await self._ids("SELECT id FROM scheduler.mass_change_step() AS id")

    async def resume(self) -> list[str]:
        """Gives work to one lane's connections whose pause is over."""
        return await self._ids("SELECT id FROM scheduler.resume_step() AS id")

    async def repair(self) -> Repairs:
        """Jobs that nobody took, and requests that waited although a slot was free."""
        rows = await self._database.fetch("SELECT * FROM scheduler.repair_step()")
        return Repairs(
            lost_jobs=[row["request_id"] for row in rows if row["kind"] == "dispatch"],
            stranded=[row["request_id"] for row in rows if row["kind"] == "claim"],
        )

    async def forget(self) -> int:
        """Deletes idempotency keys that are too old; how many."""
        forgotten: int = await self._database.fetchval("SELECT scheduler.forget_step()")
        return forgotten

    async def wall_clock(self) -> tuple[datetime, int]:
        """The database's clock, and how many of its steps are accounted for."""
        row = await self._database.fetchrow(
            "SELECT clock_timestamp() AS wall, generation FROM scheduler.clock"
        )
        assert row is not None, "the migration made the row"
        return row["wall"], row["generation"]

    async def shift_clock(self, generation: int, step_s: float, since_s: float) -> int | None:
        """Accounts for a step that came `since_s` ago at the most; None when somebody else did.

        In the same transaction it corrects times that were written since, and tells how many rows that were:
        for a moment between the two, what is new would look too old.
        """
        mended: int | None = await self._database.fetchval(
            """
            SELECT CASE WHEN scheduler.shift_clock($1, $2) THEN scheduler.mend_times($2, $3) END
            """,
            generation,
            step_s,
            since_s,
        )
        return mended

    async def mend_times(self, step_s: float, since_s: float) -> int:
        """Corrects wrong times once more, of transactions that were under way; how many rows."""
        mended: int = await self._database.fetchval(
            "SELECT scheduler.mend_times($1, $2)", step_s, since_s
        )
        return mended

    async def _ids(self, sql: str, *arguments: object) -> list[str]:
        return [row["id"] for row in await self._database.fetch(sql, *arguments)]
