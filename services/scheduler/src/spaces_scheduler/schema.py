"""The scheduler's tables: applying them, and refusing to run on older ones."""

from spaces_chassis.database import Database
from spaces_chassis.migrate import migrate, require_schema
from spaces_chassis.settings import DatabaseSettings

PACKAGE = "spaces_scheduler"
SCHEMA = "scheduler"


async def apply(url: str) -> list[str]:
    """Applies what is missing; the files applied."""
    return await migrate(url, package=PACKAGE, schema=SCHEMA)


class SchemaCheck:
    """A Part that ends the start when the tables are older than this code.

    It comes before the database, whose hot statements name functions that may not exist yet.
    """

    name = "schema"

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings

    async def start(self) -> None:
        """Raises MigrationError."""
        database = Database.from_settings(self._settings, name="scheduler schema check")
        await database.start()
        try:
            await require_schema(database, package=PACKAGE, schema=SCHEMA)
        finally:
            await database.stop()

    async def drain(self) -> None:
        """Nothing is in flight."""

    async def stop(self) -> None:
        """Nothing is held."""

    def healthy(self) -> bool:
        """A start that failed ended the process."""
        return True
