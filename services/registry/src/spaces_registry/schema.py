"""The registry's tables: applying them, and refusing to run on older ones."""

from spaces_chassis.database import Database
from spaces_chassis.migrate import migrate, require_schema

PACKAGE = "spaces_registry"
SCHEMA = "registry"


async def apply(url: str) -> list[str]:
    """Applies what is missing; the files applied."""
    return await migrate(url, package=PACKAGE, schema=SCHEMA)


class SchemaCheck:
    """A Part that ends the start when the tables are older than this code."""

    name = "schema"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self) -> None:
        """Raises MigrationError."""
        await require_schema(self._database, package=PACKAGE, schema=SCHEMA)

    async def drain(self) -> None:
        """Nothing is in flight."""

    async def stop(self) -> None:
        """Nothing is held."""

    def healthy(self) -> bool:
        """A start that failed ended the process."""
        return True
